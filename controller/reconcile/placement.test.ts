import { expect } from 'chai';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { splitId } from '../api/identity.ts';
import { FakeClock } from '../kube/fake-clock.ts';
import { nextStep, type Observed } from './lifecycle.ts';
import { readPod, type LivePod } from './piece-pod.ts';
import { goesAfter, longestWaitMs, misfitsOf, sayMisfits, unplacedMs, waitOf } from './placement.ts';

const now = Date.parse('2026-01-01T00:00:00Z');
const words = '0/2 nodes are available: 1 Insufficient cpu, 1 node(s) did not match pod affinity rules.';
const unschedulable = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: words } as const;

interface Facts {
  readonly metadata?: IPod['metadata'];
  readonly spec?: Partial<IPod['spec']>;
  readonly status?: IPod['status'];
}

function piece(role: 'primary' | 'sibling', name: string, { metadata, spec, status }: Facts = {}): LivePod {
  const uid = role === 'primary' ? name : `${name}-helper`;
  const owner = { apiVersion: 'v1', kind: 'Owner', name: 'owner', uid: 'owner', controller: true };
  const labels = {
    'podsplit.io/role': role,
    'podsplit.io/container': role === 'primary' ? 'app' : 'helper',
    'podsplit.io/split': splitId(name),
  };
  const read = readPod({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: uid, namespace: 'ns', uid, labels, ownerReferences: [owner], ...metadata },
    spec: {
      containers: [{ name: 'main' }],
      ...(role === 'primary' ? { nodeName: 'a', readinessGates: [{ conditionType: 'podsplit.io/pieces-ready' }] } : {}),
      ...spec,
    },
    ...(status === undefined ? {} : { status }),
  });
  if (read === undefined) throw new Error('not a piece');
  return read;
}

const unplaced = (name = 'web'): LivePod => piece('sibling', name, { status: { conditions: [unschedulable] } });
const rejected = piece('sibling', 'web', {
  spec: { nodeName: 'a' },
  status: {
    phase: 'Failed',
    reason: 'OutOfcpu',
    message: 'Pod was rejected: Node did not have enough resource: cpu, requested: 500, used: 900, capacity: 1000',
  },
});

describe('a piece that does not fit', () => {
  const others: readonly (readonly [what: string, LivePod])[] = [
    ['is still gated', piece('sibling', 'web', { spec: { schedulingGates: [{ name: 'podsplit.io/network' }] } })],
    ['was not looked at by the scheduler yet', piece('sibling', 'web')],
    [
      'has room made for it, by preemption',
      piece('sibling', 'web', { status: { conditions: [unschedulable], nominatedNodeName: 'a' } }),
    ],
    ['is being deleted', piece('sibling', 'web', { metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } })],
    ['runs', piece('sibling', 'web', { spec: { nodeName: 'a' }, status: { phase: 'Running' } })],
    [
      'was evicted after it ran',
      piece('sibling', 'web', {
        spec: { nodeName: 'a' },
        status: { phase: 'Failed', reason: 'Evicted', message: 'low' },
      }),
    ],
  ];
  for (const [what, pod] of others) {
    it(`is none that ${what}`, () => {
      expect(misfitsOf([pod])).to.deep.equal([]);
    });
  }

  it("is named with the scheduler's words, or the kubelet's", () => {
    expect(sayMisfits(misfitsOf([unplaced()]), 'a')).to.equal(
      'Beside the primary on node a there is no room for the piece of helper (0/2 nodes are available: ' +
        '1 Insufficient cpu, 1 node(s) did not match pod affinity rules).',
    );
    const [found] = misfitsOf([rejected]);
    expect(found?.words).to.match(/^OutOfcpu: Node did not have enough resource: cpu/);
  });
});

describe('a split Pod of which a piece does not fit', () => {
  function stepOf(over: Partial<Observed>) {
    const seen: Observed = {
      primary: piece('primary', 'web'),
      siblings: [unplaced()],
      claimed: true,
      expected: ['helper'],
      told: true,
      addressesSince: now,
      outdatedSince: undefined,
      misfitSince: now,
      endBy: undefined,
      ...over,
    };
    return nextStep(seen, now);
  }

  it('waits whether the scheduler finds room after all, and then moves as a whole', () => {
    expect(stepOf({ misfitSince: now - 4_000 })).to.deep.equal({ kind: 'look-again', forMs: unplacedMs - 4_000 });
    expect(stepOf({ misfitSince: now - unplacedMs })).to.include({ kind: 'replace', reason: 'PieceDoesNotFit' });
  });

  it('moves at once where the kubelet has spoken', () => {
    expect(stepOf({ siblings: [rejected] })).to.include({ kind: 'replace', reason: 'PieceDoesNotFit' });
  });

  it('is told of changes meanwhile', () => {
    expect(stepOf({ told: false })).to.include({ kind: 'tell' });
  });

  it('stays where nothing would make it anew, and is told of changes all the same', () => {
    const primary = piece('primary', 'web', { metadata: { ownerReferences: [] } });
    const stuck = { kind: 'stuck', reason: 'PieceDoesNotFit' };
    expect(stepOf({ primary, misfitSince: now - unplacedMs })).to.include(stuck);
    expect(stepOf({ primary, siblings: [rejected] })).to.include(stuck);
    expect(stepOf({ primary, misfitSince: now - unplacedMs, told: false })).to.include({ kind: 'tell' });
  });
});

describe('two split Pods of which neither fits beside the other', () => {
  const made = (name: string, second: number, priority?: number, metadata = {}) => ({
    primary: piece('primary', name, {
      metadata: { creationTimestamp: `2026-01-01T00:00:0${second}Z`, ...metadata },
      spec: priority === undefined ? {} : { priority },
    }),
    siblings: [unplaced(name)],
  });
  const after = (one: ReturnType<typeof made>, other: ReturnType<typeof made>) =>
    goesAfter(one.primary, [one, other], now);

  const pairs: readonly (readonly [what: string, first: ReturnType<typeof made>, last: ReturnType<typeof made>])[] = [
    ['the younger', made('a', 2), made('b', 1)],
    ['the less important', made('a', 1, 5), made('b', 2, 10)],
    ['one of two that were made in the same second', made('b', 1), made('a', 1)],
  ];
  for (const [what, first, last] of pairs) {
    it(`move one after the other: ${what} first`, () => {
      expect([after(first, last), after(last, first)]).to.deep.equal([false, true]);
    });
  }

  it('do not wait for one that fits, has ended, or never moves', () => {
    const one = made('a', 1);
    const fits = { ...made('b', 2), siblings: [piece('sibling', 'b', { spec: { nodeName: 'a' } })] };
    const bare = made('b', 2, undefined, { ownerReferences: [] });
    const ended = { primary: piece('primary', 'b', { status: { phase: 'Failed' } }), siblings: [unplaced('b')] };
    expect([fits, bare, ended].map((other) => goesAfter(one.primary, [other], now))).to.deep.equal([
      false,
      false,
      false,
    ]);
  });

  it('wait for one that is going, but not without end', () => {
    const going = (deletionTimestamp: string) => made('b', 0, undefined, { deletionTimestamp });
    expect(after(made('a', 1), going('2025-12-31T23:59:50Z'))).to.equal(true);
    expect(after(made('a', 1), going('2025-12-31T23:50:00Z'))).to.equal(false);
  });

  it('begin anew when others have moved away, and wait for no stream of others', async () => {
    const clock = new FakeClock(now);
    const [first, last] = [made('a', 2), made('b', 1)];
    const world = (...splits: (typeof first)[]) => ({ splitsOn: (node: string) => (node === 'a' ? splits : []) });
    const crowded = world(first, last);
    const began = waitOf(last, undefined, { world: crowded, clock });
    expect(began).to.deep.equal({ began: 0, since: 0 });
    await clock.advance(8_000);
    const waited = waitOf(last, began, { world: crowded, clock });
    expect(waited).to.deep.equal({ began: 0, since: 8_000 });
    await clock.advance(1_000);
    expect(waitOf(last, waited, { world: world(last), clock })).to.deep.equal(waited);
    await clock.advance(longestWaitMs - 9_000);
    expect(waitOf(last, waited, { world: crowded, clock })).to.deep.equal(waited);
    expect(waitOf({ ...last, siblings: [] }, waited, { world: crowded, clock })).to.equal(undefined);
  });
});
