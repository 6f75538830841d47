import { expect } from 'chai';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { splitId } from '../api/identity.ts';
import { FakeClock } from '../kube/fake-clock.ts';
import { calmMs, nextStep, settleMs, type Observed, type Step } from './lifecycle.ts';
import { Memories } from './memory.ts';
import { readPod, type LivePod } from './piece-pod.ts';
import { unplacedMs } from './placement.ts';

const hour = 3_600_000;
const uid = 'c0ffee00-0000-4000-8000-000000000001';
const key = `ns/${splitId(uid)}`;

interface Facts {
  readonly ip?: string;
  /** Hash of the wiring that its init container has loaded. */
  readonly loaded?: string;
  readonly unschedulable?: true;
  readonly metadata?: IPod['metadata'];
}

function piece(role: 'primary' | 'sibling', { ip, loaded, unschedulable, metadata }: Facts = {}): LivePod {
  const container = role === 'primary' ? 'web' : 'cache';
  const owner = { apiVersion: 'v1', kind: 'Owner', name: 'owner', uid: 'owner', controller: true };
  const read = readPod({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: container,
      namespace: 'ns',
      uid: role === 'primary' ? uid : `${uid}-${container}`,
      labels: { 'podsplit.io/role': role, 'podsplit.io/container': container, 'podsplit.io/split': splitId(uid) },
      annotations: { 'podsplit.io/wiring': '{"release":"go"}' },
      ownerReferences: [owner],
      ...metadata,
    },
    spec: {
      containers: [{ name: container }],
      initContainers: [{ name: 'podsplit-init' }],
      ...(role === 'primary' ? { readinessGates: [{ conditionType: 'podsplit.io/pieces-ready' }] } : {}),
      ...(unschedulable === true ? {} : { nodeName: 'a' }),
    },
    status: {
      podIPs: ip === undefined ? [] : [{ ip }],
      conditions:
        unschedulable === true ? [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message: '' }] : [],
      initContainerStatuses: loaded === undefined ? [] : [initStatus(loaded)],
    },
  });
  if (read === undefined) throw new Error('not a piece');
  return read;
}

function initStatus(message: string) {
  const state = { terminated: { exitCode: 0, message } };
  return { name: 'podsplit-init', image: '', imageID: '', ready: true, restartCount: 0, state };
}

describe('what is remembered of a split Pod', () => {
  let clock: FakeClock;
  let memories: Memories;

  beforeEach(() => {
    clock = new FakeClock();
    memories = new Memories({ clock, world: { splitsOn: () => [] } });
  });

  function look(primary: LivePod | undefined, sibling: LivePod, over: Partial<Observed> = {}): Step {
    const times = memories.timesOf(memories.look(key, primary, [sibling]));
    const seen = { primary, siblings: [sibling], claimed: true, expected: ['cache'], told: true, ...times, ...over };
    return nextStep(seen, clock.now());
  }

  /** All from the first look on, whatever the clock says. */
  const waits: readonly {
    readonly what: string;
    readonly ms: number;
    readonly waiting: Step['kind'];
    readonly then: Step['kind'];
    readonly look: () => Step;
  }[] = [
    {
      what: 'rules that are outdated',
      ms: settleMs,
      waiting: 'settle',
      then: 'replace',
      look: () => look(piece('primary', { ip: '10.0.0.1', loaded: 'old' }), piece('sibling', { ip: '10.0.0.2' })),
    },
    {
      what: 'a piece that does not fit',
      ms: unplacedMs,
      waiting: 'look-again',
      then: 'replace',
      look: () => look(piece('primary', { ip: '10.0.0.1' }), piece('sibling', { unschedulable: true })),
    },
    {
      what: 'addresses that change',
      ms: calmMs,
      waiting: 'settle',
      then: 'tell',
      look: () =>
        look(piece('primary', { ip: '10.0.0.1', loaded: 'old' }), piece('sibling', { ip: '10.0.0.2' }), {
          told: false,
          outdatedSince: undefined,
        }),
    },
  ];

  for (const { what, ms, waiting, then, look } of waits) {
    for (const byMs of [0, hour, -hour]) {
      const how = byMs === 0 ? 'goes' : byMs > 0 ? 'is set forward' : 'is set back';
      it(`${what}: ${waiting} for ${ms / 1000} s, then ${then}, while the clock ${how}`, async () => {
        expect(look().kind).to.equal(waiting);
        clock.jump(byMs);
        await clock.advance(ms - 1000);
        expect(look()).to.include({ kind: waiting, forMs: 1000 });
        await clock.advance(1000);
        expect(look().kind).to.equal(then);
      });
    }
  }

  describe('once it is deleted', () => {
    const grace = 30;

    /** As the API server marks it, by a clock that is ahead of ours by so much. */
    function deleted(aheadMs = 0): LivePod {
      const deletionTimestamp = new Date(clock.now() + aheadMs + grace * 1000).toISOString();
      return piece('primary', { metadata: { deletionTimestamp, deletionGracePeriodSeconds: grace } });
    }

    for (const byMs of [0, hour, -hour]) {
      it(`gives the siblings what is left of its grace, the clock being set by ${byMs / 1000} s meanwhile`, async () => {
        const primary = deleted();
        expect(look(primary, piece('sibling'))).to.include({ kind: 'end-siblings', graceSeconds: grace });
        clock.jump(byMs);
        await clock.advance(10_000);
        expect(look(primary, piece('sibling'))).to.include({ graceSeconds: grace - 10 });
        expect(look(undefined, piece('sibling')), 'the primary is gone').to.include({ graceSeconds: grace - 10 });
        await clock.advance(60_000);
        expect(look(undefined, piece('sibling'))).to.include({ graceSeconds: 1 });
      });
    }

    it('gives never more than its grace, though the API server is ahead', () => {
      expect(look(deleted(hour), piece('sibling'))).to.include({ graceSeconds: grace });
    });

    it('follows a second deletion that leaves less', async () => {
      look(deleted(), piece('sibling'));
      await clock.advance(1000);
      const deletionTimestamp = new Date(clock.now() + 5000).toISOString();
      const sooner = piece('primary', { metadata: { deletionTimestamp, deletionGracePeriodSeconds: 5 } });
      expect(look(sooner, piece('sibling'))).to.include({ graceSeconds: 5 });
    });

    it('is told of nobody who was forgotten', () => {
      look(deleted(), piece('sibling'));
      memories.forget(key);
      expect(look(undefined, piece('sibling'))).to.include({ kind: 'end-siblings', graceSeconds: undefined });
    });
  });
});
