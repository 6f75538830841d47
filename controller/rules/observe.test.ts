import { expect } from 'chai';
import { formatFlow, type Flow } from '../api/flow.ts';
import { maxListening, observedFlows, type Listening } from './observe.ts';
import { formatWiring, parseWiring, WiringError } from './wiring-json.ts';
import type { Wiring } from './wiring.ts';

const declared: Flow = { from: 'app', to: 'cache', port: 6379, protocol: 'tcp' };
const endpoint = (n: number) => ({ mac: `0a:58:c6:12:00:0${n}`, ipv4: `198.18.0.${n}` });
const wiring: Wiring = {
  version: 1,
  split: 's',
  piece: 'app',
  role: 'primary',
  release: 'go',
  self: endpoint(1),
  peers: [
    { name: 'cache', role: 'sibling', ...endpoint(2) },
    { name: 'log', role: 'sibling', ...endpoint(3) },
  ],
  pool: { ipv4: '198.18.0.0/15' },
  flows: [declared],
  facade: [],
  observe: { from: ['app', 'cache', 'log'], to: ['app', 'cache', 'log'] },
};
const tcp = (...ports: number[]): readonly Listening[] => ports.map((port) => ({ protocol: 'tcp', port }));

describe('flows of a Pod that is observed', () => {
  const cases: readonly (readonly [
    what: string,
    listening: Readonly<Record<string, readonly Listening[]>>,
    ...string[],
  ])[] = [
    ['nobody listens', {}],
    ['one piece listens: all others reach it', { cache: tcp(9000) }, 'app->cache:9000', 'log->cache:9000'],
    ['what is declared for one caller is open to the other', { cache: tcp(6379) }, 'log->cache:6379'],
    ['two listen: nobody can say who is meant, and each calls itself', { app: tcp(8080), cache: tcp(8080) }],
    [
      'at one port, by different protocols',
      { app: [{ protocol: 'udp', port: 53 }], cache: tcp(53) },
      'cache->app:53/udp',
      'log->app:53/udp',
      'app->cache:53',
      'log->cache:53',
    ],
    ['a caller whose port is declared to be another piece keeps that', { log: tcp(6379) }, 'cache->log:6379'],
  ];
  for (const [what, listening, ...flows] of cases) {
    it(what, () => {
      const found = observedFlows(wiring, new Map(Object.entries(listening)));
      expect(found.map(formatFlow)).to.deep.equal(flows);
      // What a piece gets to load reads as any wiring does: no caller with two peers at one port.
      expect(() => parseWiring(formatWiring({ ...wiring, flows: [...wiring.flows, ...found] }))).to.not.throw();
    });
  }

  it('open nothing that a policy closes, at either end', () => {
    const listening = new Map([
      ['cache', tcp(9000)],
      ['log', tcp(9001)],
    ]);
    const found = observedFlows({ ...wiring, observe: { from: ['app', 'log'], to: ['cache'] } }, listening);
    expect(found.map(formatFlow)).to.deep.equal(['app->cache:9000', 'log->cache:9000']);
    expect(observedFlows({ ...wiring, observe: { from: [], to: ['cache'] } }, listening)).to.deep.equal([]);
  });

  it('are bounded, whoever listens everywhere', () => {
    const all = tcp(...Array.from({ length: 5000 }, (_, i) => i + 1));
    expect(observedFlows(wiring, new Map([['cache', all]]))).to.have.lengthOf.at.most(2 * maxListening);
  });

  it('travel with the wiring, which has no other way to say that it is not observed', () => {
    expect(parseWiring(formatWiring(wiring)).observe).to.deep.equal(wiring.observe);
    const { observe: _observe, ...enforced } = wiring;
    expect(formatWiring(enforced)).to.not.contain('observe');
    const odd = formatWiring(wiring).replace(/"observe":\{[^}]*\}/, '"observe":true');
    expect(() => parseWiring(odd)).to.throw(WiringError);
  });
});
