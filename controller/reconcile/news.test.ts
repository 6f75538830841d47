import { expect } from 'chai';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { InstallMode } from '../api/install.ts';
import type { SplitNetwork } from '../api/resources.ts';
import { parseWiring } from '../rules/wiring-json.ts';
import type { Wiring } from '../rules/wiring.ts';
import { cutPod } from '../split/cut.ts';
import type { SplitOptions } from '../split/plan.ts';
import { siblingPod } from '../split/sibling.ts';
import { split } from '../split/split.ts';
import { carries, newsOf, type Annotations } from './news.ts';
import { readPod, type LivePod } from './piece-pod.ts';
import { planOf } from './plan-of.ts';

const options: SplitOptions = {
  image: 'podsplit:test',
  maxContainers: 8,
  install: { otherwise: 'init', byNetwork: new Map() },
};
const network: SplitNetwork = {
  apiVersion: 'podsplit.io/v1alpha1',
  kind: 'SplitNetwork',
  metadata: { name: 'default' },
  spec: { ipv4: '198.18.0.0/15', blockSize: 8 },
};
const addresses = {
  web: { mac: '0a:58:c6:12:00:01', ipv4: '198.18.0.1' },
  cache: { mac: '0a:58:c6:12:00:02', ipv4: '198.18.0.2' },
};

interface Pieces {
  readonly primary: LivePod;
  readonly siblings: readonly LivePod[];
}

function live(pod: IPod, ips: readonly string[]): LivePod {
  const read = readPod({ ...pod, status: { podIPs: ips.map((ip) => ({ ip })) } });
  if (read === undefined) throw new Error('not a piece');
  return read;
}

/** A split Pod of `web` and `cache` as the controller made it. */
function piecesOf(
  install: InstallMode,
  ips: { readonly web?: string; readonly cache?: string } = {},
  more: Annotations = {},
): Pieces {
  const cache = {
    name: 'cache',
    image: 'c',
    env: [{ name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
  };
  const pod: IPod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'p',
      namespace: 'shop',
      uid: 'u-1',
      annotations: {
        'podsplit.io/mode': 'split',
        'podsplit.io/install': install,
        'podsplit.io/flows': 'web->cache:6379',
        ...more,
      },
    },
    spec: { containers: [{ name: 'web', image: 'w' }, cache] },
  };
  const plan = split(pod, options);
  if (plan.kind !== 'split') throw new Error(JSON.stringify(plan));
  const cut = cutPod(pod, plan, options);
  const siblings = plan.siblings.map((piece) =>
    siblingPod({
      primary: cut,
      plan,
      piece,
      workloadKey: 'k',
      wiring: undefined,
      networks: undefined,
      owner: true,
      gated: false,
      options,
    }),
  );
  return {
    primary: live(cut, ips.web === undefined ? [] : [ips.web]),
    siblings: siblings.map((sibling) =>
      live({ ...sibling, metadata: { ...sibling.metadata, uid: 'u-2' } }, ips.cache === undefined ? [] : [ips.cache]),
    ),
  };
}

function news(
  { primary, siblings }: Pieces,
  resolvers: readonly string[] | 'unknown' = [],
): ReadonlyMap<string, Annotations> {
  const plan = planOf(primary, options);
  if (plan === undefined) throw new Error('no plan');
  return newsOf({
    primary,
    siblings,
    plan,
    network,
    addresses,
    resolvers: resolvers === 'unknown' ? undefined : resolvers,
    policies: { kind: 'none' },
  });
}

function wiringOf(all: ReadonlyMap<string, Annotations>, container: string): Wiring {
  return parseWiring(all.get(container)?.['podsplit.io/wiring'] ?? '');
}

/** The piece once it carries what it was told. */
function told(piece: LivePod, all: ReadonlyMap<string, Annotations>, more: Annotations = {}): LivePod {
  const annotations = { ...piece.raw.metadata?.annotations, ...all.get(piece.container), ...more };
  return { ...piece, raw: { ...piece.raw, metadata: { ...piece.raw.metadata, annotations } } };
}

describe('news for the pieces of a Pod', () => {
  it('in mode node are there before any Pod IP, released, and without Pod IPs', () => {
    const all = news(piecesOf('node'));
    for (const container of ['web', 'cache']) {
      const wiring = wiringOf(all, container);
      expect(wiring.release).to.equal('go');
      expect(JSON.stringify(wiring)).to.not.contain('podIPs');
    }
    const later = news(piecesOf('node', { web: '10.0.0.1', cache: '10.0.0.2' }));
    expect(wiringOf(later, 'cache'), 'Pod IPs do not change it').to.deep.equal(wiringOf(all, 'cache'));
  });

  it("in mode node tell a sibling that reads it the primary's Pod IP, once it is known and when it changes", () => {
    expect(news(piecesOf('node')).get('cache')).to.not.have.property('podsplit.io/pod-ip');
    for (const web of ['10.0.0.1', '10.0.0.7']) {
      expect(news(piecesOf('node', { web })).get('cache')).to.include({ 'podsplit.io/pod-ip': web });
    }
  });

  it('in mode init are none before every piece has its Pod IPs', () => {
    expect(news(piecesOf('init', { web: '10.0.0.1' })).size).to.equal(0);
    const all = news(piecesOf('init', { web: '10.0.0.1', cache: '10.0.0.2' }));
    expect(wiringOf(all, 'web')).to.include({ release: 'go' });
    expect(wiringOf(all, 'web').peers[0]?.podIPs).to.deep.equal(['10.0.0.2']);
    expect(all.get('cache')).to.include({ 'podsplit.io/pod-ip': '10.0.0.1' });
  });

  it("tell all pieces of a way out, with the addresses of the cluster's DNS, the last ones while nobody knows them", () => {
    const pieces = piecesOf(
      'node',
      {},
      { 'podsplit.io/egress-via': 'web->cache', 'podsplit.io/egress-dns': 'cluster' },
    );
    const via = [{ from: 'web', to: 'cache', dns: 'cluster', resolvers: ['10.96.0.10'] }];
    const all = news(pieces, ['10.96.0.10']);
    for (const container of ['web', 'cache']) expect(wiringOf(all, container).via).to.deep.equal(via);
    expect(wiringOf(news(pieces, 'unknown'), 'web').via).to.deep.equal([{ ...via[0], resolvers: [] }]);
    const running = { ...pieces, primary: told(pieces.primary, all, { 'podsplit.io/flows': 'none' }) };
    const later = wiringOf(news(running, 'unknown'), 'web');
    expect(later.via).to.deep.equal(via);
    expect(later.flows).to.deep.equal([]);
  });

  it('follow the flows that the primary says now, for pieces that run', () => {
    const pieces = piecesOf('node', { web: '10.0.0.1', cache: '10.0.0.2' });
    const first = news(pieces);
    const running = {
      primary: told(pieces.primary, first),
      siblings: pieces.siblings.map((sibling) => told(sibling, first)),
    };
    const all = [running.primary, ...running.siblings];
    const unchanged = news(running);
    expect(all.every((piece) => carries(piece, unchanged.get(piece.container) ?? {}))).to.equal(true);

    const primary = told(running.primary, first, { 'podsplit.io/flows': 'cache->web:80' });
    const changed = news({ ...running, primary });
    expect(all.some((piece) => carries(piece, changed.get(piece.container) ?? {}))).to.equal(false);
    for (const container of ['web', 'cache']) {
      const flow = { from: 'cache', to: 'web', port: 80, protocol: 'tcp' };
      expect(wiringOf(changed, container).flows).to.deep.equal([flow]);
    }
  });
});
