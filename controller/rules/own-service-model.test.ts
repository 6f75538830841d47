import { expect } from 'chai';
import type { Flow } from '../api/flow.ts';
import { model } from './model.ts';
import { parseWiring, formatWiring } from './wiring-json.ts';
import type { Peer, Wiring } from './wiring.ts';

const peer = (name: string, n: number, ipv6 = true): Peer => ({
  name,
  role: name === 'app' ? 'primary' : 'sibling',
  mac: `0a:00:00:00:00:0${n}`,
  ipv4: `198.18.0.${n}`,
  ...(ipv6 ? { ipv6: `fd99::${n}` } : {}),
  podIPs: [`10.0.0.${n}`, `fd00::${n}`],
});

const flow = (from: string, to: string, port: number, protocol: 'tcp' | 'udp' = 'tcp'): Flow => ({
  from,
  to,
  port,
  protocol,
});

function primary(changed: Partial<Wiring> = {}): Wiring {
  const { name: _name, role: _role, ...self } = peer('app', 1);
  return {
    version: 1,
    split: '0a1b2c3d4e',
    piece: 'app',
    role: 'primary',
    release: 'go',
    self,
    peers: [peer('cache', 2), peer('log', 3)],
    pool: { ipv4: '198.18.0.0/15', ipv6: 'fd99::/64' },
    flows: [],
    facade: [],
    ...changed,
  };
}

/** What the other pieces may call at the Pod's address, over IPv4. */
function calls(wiring: Wiring, family: 'ipv4' | 'ipv6' = 'ipv4'): readonly string[] {
  const read = parseWiring(formatWiring(wiring));
  return model(read, { podIPs: read.self.podIPs ?? [], nodeIPs: [] })[family].ownService.calls;
}

describe("what a piece may call by the Pod's own Service", () => {
  const served = { piece: 'cache', port: 6379, protocol: 'tcp' } as const;
  const entering = { to: 'cache', port: 15006, direct: [6379], probes: [8080] };

  for (const [what, changed, ...expected] of [
    ['is nothing where nothing is declared', {}],
    [
      'is what a flow to the primary opens, by its protocol, to its caller',
      { flows: [flow('cache', 'app', 8080), flow('log', 'app', 53, 'udp')] },
      '10.0.0.2 . tcp . 8080',
      '10.0.0.3 . udp . 53',
    ],
    ['is its own port', { facade: [served] }, '10.0.0.2 . tcp . 6379'],
    [
      "is another sibling's port by a flow, where the Pod's address serves it",
      { facade: [served], flows: [flow('log', 'cache', 6379), flow('log', 'cache', 6380)] },
      '10.0.0.3 . tcp . 6379',
      '10.0.0.2 . tcp . 6379',
    ],
    [
      'is nothing of the primary at a port that leads to a sibling',
      { facade: [served], flows: [flow('log', 'app', 6379)] },
      '10.0.0.2 . tcp . 6379',
    ],
    ['is nothing that the primary or others may call', { flows: [flow('app', 'cache', 80), flow('cache', 'log', 80)] }],
    [
      'is nothing for a piece that has but one way out',
      {
        facade: [served],
        flows: [flow('log', 'app', 8080)],
        via: [{ from: 'log', to: 'cache', dns: 'none', resolvers: [] }],
      },
      '10.0.0.2 . tcp . 6379',
    ],
    [
      "is of TCP the proxy's own ports alone where clients enter by a proxy",
      {
        facade: [served],
        ingressVia: entering,
        flows: [flow('log', 'app', 8080), flow('log', 'app', 53, 'udp'), flow('log', 'cache', 6379)],
      },
      '10.0.0.3 . udp . 53',
      '10.0.0.3 . tcp . 6379',
      '10.0.0.2 . tcp . 6379',
    ],
  ] satisfies readonly (readonly [string, Partial<Wiring>, ...string[]])[]) {
    it(what, () => {
      expect(calls(primary(changed))).to.have.members(expected);
    });
  }

  it("is not a sibling's port in a family that the peer network lacks", () => {
    const { ipv6: _ipv6, ...self } = primary().self;
    const wiring = primary({
      self,
      peers: [peer('cache', 2, false), peer('log', 3, false)],
      pool: { ipv4: '198.18.0.0/15' },
      facade: [served],
      flows: [flow('log', 'cache', 6379), flow('log', 'app', 8080)],
    });
    expect(calls(wiring, 'ipv6')).to.deep.equal(['fd00::3 . tcp . 8080']);
  });

  it('is judged in the primary', () => {
    const { name: _name, role: _role, ...self } = peer('cache', 2);
    const wiring = primary({
      piece: 'cache',
      role: 'sibling',
      self,
      peers: [peer('app', 1), peer('log', 3)],
      facade: [served],
    });
    expect(calls(wiring)).to.deep.equal([]);
  });

  it('is recorded where policies that audit would refuse it', () => {
    const audited = [flow('log', 'app', 8080)];
    const wiring = primary({ flows: [...audited, flow('cache', 'app', 8080)], auditedFlows: audited });
    expect(model(wiring, { podIPs: [], nodeIPs: [] }).ipv4.ownService.audited).to.deep.equal(['10.0.0.3 . tcp . 8080']);
  });
});
