import { expect } from 'chai';
import { nadName } from '../api/identity.ts';
import type { ObjectRef, Patch } from '../kube/client.ts';
import { ApiError } from '../kube/errors.ts';
import { FakeClock } from '../kube/fake-clock.ts';
import type { KubeObject, NetworkAttachmentDefinition } from '../kube/resources.ts';
import { Store } from '../kube/store.ts';
import type { Plan } from '../split/plan.ts';
import { split } from '../split/split.ts';
import { formatMoves, holdMs, MoveBook, movesOf, needsOf, remembersFor, withMove, type Moves } from './moves.ts';
import { readPod, type LivePod } from './piece-pod.ts';

const now = Date.parse('2026-01-01T00:00:00Z');
const workload = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: 'web', uid: 'd-1' };
const said = 'Beside the primary on node a there is no room for the piece of cache (0/2 nodes are available).';

function pod(cpu: string, spec: object = {}): { readonly plan: Plan; readonly primary: LivePod } {
  const raw = {
    apiVersion: 'v1' as const,
    kind: 'Pod' as const,
    metadata: {
      name: 'web-1',
      namespace: 'shop',
      uid: 'p-1',
      annotations: { 'podsplit.io/mode': 'split' },
    },
    spec: {
      containers: [{ name: 'web' }, { name: 'cache', resources: { requests: { cpu } } }],
      ...spec,
    },
  };
  const plan = split(raw, {
    image: 'podsplit:test',
    maxContainers: 8,
    install: { otherwise: 'node', byNetwork: new Map() },
  });
  if (plan.kind !== 'split') throw new Error(JSON.stringify(plan));
  const { apiVersion, kind, name, uid } = workload;
  const primary = readPod({
    ...raw,
    metadata: {
      ...raw.metadata,
      labels: { 'podsplit.io/role': 'primary' },
      ownerReferences: [{ apiVersion, kind, name, uid, controller: true }],
    },
    spec: { ...raw.spec, nodeName: 'a', readinessGates: [{ conditionType: 'podsplit.io/pieces-ready' }] },
  });
  if (primary === undefined) throw new Error('not a piece');
  return { plan, primary };
}

function holding(moves: Moves): KubeObject {
  return { metadata: { name: 'nad', annotations: { 'podsplit.io/moves': formatMoves(moves) } } };
}

describe('moves of Pods that did not fit', () => {
  it('hold the next back for longer each time, and not for more than five minutes', () => {
    expect([1, 2, 3, 4, 5, 6, 7, 100].map(holdMs)).to.deep.equal(
      [10, 20, 40, 80, 160, 300, 300, 300].map((seconds) => seconds * 1000),
    );
  });

  it('count once while the next is held back anyway', () => {
    const once = withMove({}, 'n', { node: 'a', said, now });
    const both = withMove(once, 'n', { node: 'b', said, now: now + 1000 });
    expect(both['n']).to.include({ count: 1, until: once['n']?.until });
    expect(both['n']?.nodes).to.deep.equal(['b', 'a']);
    expect(withMove(both, 'n', { node: 'a', said, now: now + 11_000 })['n']).to.deep.include({
      count: 2,
      until: now + 31_000,
      nodes: ['a', 'b'],
    });
  });

  it('are forgotten, and what does not read holds nobody', () => {
    const moves = withMove({}, 'n', { node: 'a', said, now });
    expect(movesOf(holding(moves), now + 60_000)).to.deep.equal(moves);
    expect(movesOf(holding(moves), now + 611_000)).to.deep.equal({});
    for (const text of [
      '',
      '[]',
      '{"n":1}',
      '{"n":{"count":"1"}}',
      '{"n":{"count":1,"until":"x","nodes":[]}}',
      'null',
    ]) {
      const nad = { metadata: { name: 'nad', annotations: { 'podsplit.io/moves': text } } };
      expect(movesOf(nad, now), text).to.deep.equal({});
    }
  });

  it('hold nobody back for longer than a hold is, where the clock was set back since', () => {
    let moves: Moves = {};
    for (let i = 0; i < 10; i++) moves = withMove(moves, 'n', { node: 'a', said, now: now + i * 300_000 });
    expect(moves['n']).to.include({ count: 10, until: now + 10 * 300_000 });
    const back = moves['n']!.until - 3_600_000;
    expect(movesOf(holding(moves), back)).to.deep.equal({});
    expect(remembersFor(holding(moves), back)).to.equal(0);
    expect(movesOf(holding(moves), moves['n']!.until - 301_000), 'two leaders differ').to.deep.equal(moves);
  });

  it('keep a network as long as the next Pod may be on its way', () => {
    const nad = holding(withMove({}, 'n', { node: 'a', said, now }));
    expect(remembersFor(nad, now)).to.equal(70_000);
    expect(remembersFor(nad, now + 70_000)).to.equal(0);
    expect(remembersFor({ metadata: { name: 'nad' } }, now)).to.equal(0);
  });

  it('stay bounded', () => {
    let moves: Moves = {};
    for (let i = 0; i < 100; i++) moves = withMove(moves, `n${i}`, { node: 'a', said: 'x'.repeat(5000), now });
    expect(Object.keys(moves)).to.have.length(16);
    expect(formatMoves(moves).length).to.be.below(16_000);
  });

  it('are of Pods with the same needs', () => {
    const needs = ({ plan, primary }: ReturnType<typeof pod>) => needsOf(plan, primary);
    expect(needs(pod('1'))).to.equal(needs(pod('1')));
    expect(needs(pod('1'))).to.not.equal(needs(pod('2')));
    expect(needs(pod('1', { nodeSelector: { disk: 'ssd' } }))).to.not.equal(needs(pod('1')));
    // What podsplit adds to the next Pod itself changes nothing.
    const preferredDuringSchedulingIgnoredDuringExecution = [
      { weight: 100, preference: { matchFields: [{ key: 'metadata.name', operator: 'NotIn', values: ['a'] }] } },
    ];
    const avoiding = { affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution } } };
    expect(needs(pod('1', avoiding))).to.equal(needs(pod('1')));
  });
});

describe('the book of moves', () => {
  const { plan, primary } = pod('1');
  const name = nadName(workload, 'node');
  let clock: FakeClock;
  let cache: Store<NetworkAttachmentDefinition>;
  let nad: NetworkAttachmentDefinition | undefined;

  beforeEach(() => {
    clock = new FakeClock();
    cache = new Store({});
    nad = { metadata: { name, namespace: 'shop', uid: 'n', resourceVersion: '1' } };
  });

  /** An API server with one NAD, and compare-and-swap. */
  function book(): MoveBook {
    const client = {
      get: () =>
        nad === undefined
          ? Promise.reject(
              new ApiError({ code: 'NotFound', status: 404, message: 'gone', path: name, maybeHappened: false }),
            )
          : Promise.resolve(nad),
      patch: (_resource: unknown, _ref: ObjectRef, patch: Patch) => {
        const { metadata } = patch.body as { metadata: KubeObject['metadata'] };
        if (nad === undefined || nad.metadata.resourceVersion !== metadata.resourceVersion) throw new Error('Conflict');
        const patched = { ...nad, metadata: { ...nad.metadata, ...metadata, resourceVersion: '2' } };
        nad = patched;
        return Promise.resolve(patched);
      },
    };
    return new MoveBook({ client: client as never, world: { nads: { store: cache } }, clock });
  }

  it('holds a Pod back before the watch cache knows, and until its time has come', async () => {
    const moves = book();
    expect(moves.held(workload, plan, primary)).to.equal(undefined);
    await moves.record(primary, plan, said);
    const held = moves.held(workload, plan, primary);
    expect(held).to.include({ reason: 'PieceDoesNotFit', retryMs: 10_000 });
    expect(held?.message).to.contain(said);
    expect(moves.nodesToAvoid(workload, plan, primary)).to.deep.equal(['a']);
    expect(moves.held(workload, pod('2').plan, primary)).to.equal(undefined);
    await clock.advance(10_000);
    expect(moves.held(workload, plan, primary)).to.equal(undefined);
    expect(moves.nodesToAvoid(workload, plan, primary)).to.deep.equal(['a']);
  });

  it('is read by whoever leads next', async () => {
    await book().record(primary, plan, said);
    if (nad !== undefined) cache.set(nad);
    expect(book().held(workload, plan, primary)).to.include({ retryMs: 10_000 });
  });

  it('does not keep a Pod whose network is gone already', async () => {
    nad = undefined;
    const moves = book();
    await moves.record(primary, plan, said);
    expect(moves.held(workload, plan, primary)).to.equal(undefined);
  });
});
