import { expect } from 'chai';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { splitId } from '../api/identity.ts';
import { FakeClock } from '../kube/fake-clock.ts';
import { calmMs, nextStep, nudgeMs, outdated, readiness, settleMs, type Observed, type Step } from './lifecycle.ts';
import { formatWiring } from '../rules/wiring-json.ts';
import { installOf, readPod, wiredPeers, type LivePod } from './piece-pod.ts';
import { released } from './start-order.ts';

const now = Date.parse('2026-01-01T00:00:00Z');
const uid = 'c0ffee00-0000-4000-8000-000000000001';

interface PodFacts {
  readonly gated?: boolean;
  readonly node?: string;
  readonly ips?: readonly string[];
  readonly deletingAt?: string;
  readonly reason?: string;
  readonly restartPolicy?: 'Always' | 'Never';
  readonly phase?: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
  readonly ready?: boolean;
  readonly initialized?: boolean;
  readonly ownInit?: boolean;
  readonly owned?: boolean;
  readonly wiring?: string;
  readonly loaded?: string;
  readonly nudged?: string;
  /** As `podsplit.io/install` says; without it the Pod has an init container of ours, and no annotation. */
  readonly install?: 'node';
  /** Its environment has the primary's Pod IP. */
  readonly readsPodIP?: boolean;
  readonly grace?: number;
}

function ownersOf(role: 'primary' | 'sibling', facts: PodFacts) {
  const owner = { apiVersion: 'v1', kind: 'Owner', name: 'owner', uid: 'owner', controller: true };
  return role === 'sibling' || facts.owned === true ? [owner] : [];
}

function annotationsOf(role: 'primary' | 'sibling', facts: PodFacts): Record<string, string> {
  return {
    ...(facts.wiring === undefined ? {} : { 'podsplit.io/wiring': facts.wiring }),
    ...(facts.nudged === undefined ? {} : { 'podsplit.io/nudged': facts.nudged }),
    ...(facts.install === undefined || role === 'sibling' ? {} : { 'podsplit.io/install': facts.install }),
  };
}

function initStatus({ loaded }: PodFacts) {
  return {
    name: 'podsplit-init',
    image: '',
    imageID: '',
    ready: true,
    restartCount: 0,
    state: loaded === undefined ? { running: {} } : { terminated: { exitCode: 0, message: loaded } },
  };
}

const podIPVariable = {
  name: 'POD_IP',
  valueFrom: { fieldRef: { fieldPath: "metadata.annotations['podsplit.io/pod-ip']" } },
};

function pod(role: 'primary' | 'sibling', container: string, facts: PodFacts = {}): LivePod {
  const raw: IPod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: role === 'primary' ? 'web' : `web-${container}`,
      namespace: 'ns',
      uid: role === 'primary' ? uid : `${uid}-${container}`,
      labels: { 'podsplit.io/role': role, 'podsplit.io/container': container, 'podsplit.io/split': splitId(uid) },
      annotations: annotationsOf(role, facts),
      ...(facts.deletingAt === undefined ? {} : { deletionTimestamp: facts.deletingAt }),
      ownerReferences: ownersOf(role, facts),
    },
    spec: {
      containers: [{ name: container, ...(facts.readsPodIP === true ? { env: [podIPVariable] } : {}) }],
      ...(role === 'primary' ? { readinessGates: [{ conditionType: 'podsplit.io/pieces-ready' }] } : {}),
      restartPolicy: facts.restartPolicy ?? 'Always',
      initContainers: [
        ...(facts.install === 'node' ? [] : [{ name: 'podsplit-init' }]),
        ...(facts.ownInit === true ? [{ name: 'migrate' }] : []),
      ],
      ...(facts.gated === true ? { schedulingGates: [{ name: 'podsplit.io/network' }] } : {}),
      ...(facts.node === undefined ? {} : { nodeName: facts.node }),
      ...(facts.grace === undefined ? {} : { terminationGracePeriodSeconds: facts.grace }),
    },
    status: {
      phase: facts.phase ?? 'Pending',
      ...(facts.reason === undefined ? {} : { reason: facts.reason }),
      podIPs: (facts.ips ?? []).map((ip) => ({ ip })),
      conditions: [
        { type: 'Ready', status: facts.ready === true ? 'True' : 'False' },
        { type: 'Initialized', status: facts.initialized === true ? 'True' : 'False' },
      ],
      initContainerStatuses: facts.install === 'node' ? [] : [initStatus(facts)],
    },
  };
  const read = readPod(raw);
  if (read === undefined) throw new Error('not a piece');
  return read;
}

function seen(over: Partial<Observed>): Observed {
  const deadline = over.primary?.raw.metadata?.deletionTimestamp;
  return {
    primary: undefined,
    siblings: [],
    claimed: true,
    expected: ['cache'],
    told: true,
    addressesSince: now - 60_000,
    outdatedSince: undefined,
    misfitSince: undefined,
    endBy: deadline === undefined ? undefined : Date.parse(deadline),
    ...over,
  };
}

const running: PodFacts = { node: 'a', ips: ['10.0.0.1'], wiring: '{"release":"go"}', loaded: 'h', owned: true };
const sibling = pod('sibling', 'cache', { node: 'a', ips: ['10.0.0.2'] });
/** Released, and its init container has not seen it. */
const waiting: PodFacts = { node: 'a', ips: ['10.0.0.2'], wiring: '{"release":"go"}' };
const node: PodFacts = { install: 'node', node: 'a', wiring: '{"release":"go"}', owned: true };
const gatedOnNode: PodFacts = { install: 'node', gated: true };

/** Given these objects and this time, what is the next step? */
const table: readonly { readonly given: string; readonly when: Observed; readonly then: Step['kind'] }[] = [
  { given: 'nothing but a claim', when: seen({}), then: 'release' },
  { given: 'nothing at all', when: seen({ claimed: false }), then: 'report' },
  { given: 'siblings whose primary is gone', when: seen({ siblings: [sibling] }), then: 'end-siblings' },
  {
    given: 'siblings that are ending, and no primary',
    when: seen({ siblings: [pod('sibling', 'cache', { deletingAt: '2026-01-01T00:00:05Z' })] }),
    then: 'report',
  },
  { given: 'a gated primary', when: seen({ primary: pod('primary', 'web', { gated: true }) }), then: 'wire' },
  {
    given: 'a gated primary that is being deleted',
    when: seen({
      primary: pod('primary', 'web', { gated: true, deletingAt: '2026-01-01T00:00:00Z' }),
      siblings: [pod('sibling', 'cache', { gated: true })],
    }),
    then: 'end-siblings',
  },
  {
    given: 'a primary that waits for a node',
    when: seen({ primary: pod('primary', 'web'), siblings: [pod('sibling', 'cache', { gated: true })] }),
    then: 'report',
  },
  {
    given: 'a bound primary and gated siblings',
    when: seen({ primary: pod('primary', 'web', { node: 'a' }), siblings: [pod('sibling', 'cache', { gated: true })] }),
    then: 'lift-siblings',
  },
  {
    given: 'a completed primary',
    when: seen({ primary: pod('primary', 'web', { ...running, phase: 'Succeeded' }), siblings: [sibling] }),
    then: 'end-siblings',
  },
  {
    given: 'Pod IPs that are not told yet',
    when: seen({ primary: pod('primary', 'web', { node: 'a', ips: ['10.0.0.1'] }), siblings: [sibling], told: false }),
    then: 'tell',
  },
  {
    given: 'a sibling without Pod IP',
    when: seen({
      primary: pod('primary', 'web', { node: 'a', ips: ['10.0.0.1'] }),
      siblings: [pod('sibling', 'cache', { node: 'a' })],
      told: false,
    }),
    then: 'report',
  },
  {
    given: 'addresses that changed a moment ago under running pieces',
    when: seen({
      primary: pod('primary', 'web', running),
      siblings: [sibling],
      told: false,
      addressesSince: now - calmMs + 1,
    }),
    then: 'settle',
  },
  {
    given: 'addresses that changed and are still now',
    when: seen({
      primary: pod('primary', 'web', running),
      siblings: [sibling],
      told: false,
      addressesSince: now - calmMs,
    }),
    then: 'tell',
  },
  {
    given: 'rules that are outdated for a moment',
    when: seen({ primary: pod('primary', 'web', running), siblings: [sibling], outdatedSince: now - settleMs + 1 }),
    then: 'settle',
  },
  {
    given: 'rules that stay outdated',
    when: seen({ primary: pod('primary', 'web', running), siblings: [sibling], outdatedSince: now - settleMs }),
    then: 'replace',
  },
  {
    given: 'rules that stay outdated in a Pod that nothing makes anew',
    when: seen({
      primary: pod('primary', 'web', { ...running, owned: false }),
      siblings: [sibling],
      outdatedSince: now - settleMs,
    }),
    then: 'stuck',
  },
  { given: 'a lost sibling', when: seen({ primary: pod('primary', 'web', running) }), then: 'replace' },
  {
    given: 'a sibling that is being deleted',
    when: seen({
      primary: pod('primary', 'web', running),
      siblings: [pod('sibling', 'cache', { deletingAt: '2026-01-01T00:00:30Z' })],
    }),
    then: 'replace',
  },
  {
    given: 'a sibling that was evicted',
    when: seen({
      primary: pod('primary', 'web', running),
      siblings: [pod('sibling', 'cache', { node: 'a', phase: 'Failed', reason: 'Evicted', restartPolicy: 'Never' })],
    }),
    then: 'replace',
  },
  {
    given: 'a sibling of a Job that has done its work',
    when: seen({
      primary: pod('primary', 'web', { ...running, restartPolicy: 'Never' }),
      siblings: [pod('sibling', 'cache', { node: 'a', ips: ['10.0.0.2'], phase: 'Succeeded', restartPolicy: 'Never' })],
    }),
    then: 'report',
  },
  {
    given: 'a lost sibling of a bare Pod',
    when: seen({ primary: pod('primary', 'web', { ...running, owned: false }) }),
    then: 'stuck',
  },
  {
    given: 'all as it should be',
    when: seen({ primary: pod('primary', 'web', running), siblings: [sibling] }),
    then: 'report',
  },
  {
    given: 'a released piece that was not nudged yet',
    when: seen({
      primary: pod('primary', 'web', running),
      siblings: [pod('sibling', 'cache', waiting)],
    }),
    then: 'nudge',
  },
  {
    given: 'a piece that is held',
    when: seen({
      primary: pod('primary', 'web', running),
      siblings: [pod('sibling', 'cache', { ...waiting, wiring: '{"release":"hold"}' })],
    }),
    then: 'report',
  },
  {
    given: 'rules that stay outdated while another piece waits for the kubelet',
    when: seen({
      primary: pod('primary', 'web', running),
      siblings: [pod('sibling', 'cache', { ...waiting, nudged: new Date(now).toISOString() })],
      outdatedSince: now - settleMs,
    }),
    then: 'replace',
  },
];

/** In install mode `node` the agent loads the rules, and knows the Pod IPs. */
const nodeTable: readonly { readonly given: string; readonly when: Observed; readonly then: Step['kind'] }[] = [
  { given: 'a gated primary', when: seen({ primary: pod('primary', 'web', { ...node, gated: true }) }), then: 'wire' },
  {
    given: 'a bound primary and gated siblings',
    when: seen({ primary: pod('primary', 'web', node), siblings: [pod('sibling', 'cache', gatedOnNode)] }),
    then: 'lift-siblings',
  },
  {
    given: 'init containers of the Pod that run',
    when: seen({
      primary: pod('primary', 'web', { ...node, ownInit: true }),
      siblings: [pod('sibling', 'cache', gatedOnNode)],
    }),
    then: 'report',
  },
  {
    given: 'init containers of the Pod that have run',
    when: seen({
      primary: pod('primary', 'web', { ...node, ownInit: true, initialized: true }),
      siblings: [pod('sibling', 'cache', gatedOnNode)],
    }),
    then: 'lift-siblings',
  },
  {
    given: 'a gated sibling that reads a Pod IP which is not there yet',
    when: seen({
      primary: pod('primary', 'web', node),
      siblings: [pod('sibling', 'cache', { ...gatedOnNode, readsPodIP: true })],
    }),
    then: 'report',
  },
  {
    given: 'a gated sibling that reads a Pod IP which is there',
    when: seen({
      primary: pod('primary', 'web', { ...node, ips: ['10.0.0.1'] }),
      siblings: [pod('sibling', 'cache', { ...gatedOnNode, readsPodIP: true })],
    }),
    then: 'lift-siblings',
  },
  {
    given: 'flows that changed a moment ago under running pieces',
    when: seen({
      primary: pod('primary', 'web', { ...node, ips: ['10.0.0.1'] }),
      siblings: [pod('sibling', 'cache', { install: 'node', node: 'a', ips: ['10.0.0.2'] })],
      told: false,
      addressesSince: now,
    }),
    then: 'tell',
  },
  {
    given: 'a sandbox that is made anew',
    when: seen({
      primary: pod('primary', 'web', { ...node, ips: ['10.0.0.1'] }),
      siblings: [pod('sibling', 'cache', { install: 'node', node: 'a' })],
      addressesSince: now,
    }),
    then: 'report',
  },
  { given: 'a lost sibling', when: seen({ primary: pod('primary', 'web', node) }), then: 'replace' },
  {
    given: 'a completed primary',
    when: seen({
      primary: pod('primary', 'web', { ...node, phase: 'Succeeded' }),
      siblings: [pod('sibling', 'cache', { install: 'node', node: 'a' })],
    }),
    then: 'end-siblings',
  },
];

describe('nextStep', () => {
  for (const { given, when, then } of table) {
    it(`given ${given}: ${then}`, () => {
      expect(nextStep(when, now).kind).to.equal(then);
    });
  }

  for (const { given, when, then } of nodeTable) {
    it(`in mode node, given ${given}: ${then}`, () => {
      expect(nextStep(when, now).kind).to.equal(then);
    });
  }

  it('nudges the kubelet at intervals for as long as a released piece waits, and no longer', async () => {
    const clock = new FakeClock(now);
    let nudged = new Date(clock.now()).toISOString();
    const look = (facts: PodFacts = {}): Step =>
      nextStep(
        seen({
          primary: pod('primary', 'web', running),
          siblings: [pod('sibling', 'cache', { ...waiting, nudged, ...facts })],
        }),
        clock.now(),
      );
    expect(look(), 'released a moment ago').to.deep.equal({ kind: 'look-again', forMs: nudgeMs });
    for (const round of [1, 2, 3]) {
      await clock.advance(nudgeMs - 1);
      expect(look(), `round ${round}`).to.deep.equal({ kind: 'look-again', forMs: 1 });
      await clock.advance(1);
      const step = look();
      if (step.kind !== 'nudge') throw new Error(step.kind);
      expect(step.pieces.map(({ container }) => container)).to.deep.equal(['cache']);
      nudged = new Date(clock.now()).toISOString();
    }
    await clock.advance(60_000);
    expect(look({ loaded: 'h' }).kind, 'it has loaded its rules').to.equal('report');
    expect(look({ nudged: new Date(clock.now() + 60_000).toISOString() }).kind, 'by a clock ahead').to.equal('nudge');
  });

  it('gives siblings what is left of the primary’s grace, and at least a second', () => {
    const ending = (deletingAt: string) =>
      nextStep(seen({ primary: pod('primary', 'web', { ...running, deletingAt }), siblings: [sibling] }), now);
    expect(ending('2026-01-01T00:00:17Z')).to.include({ graceSeconds: 17 });
    expect(ending('2025-12-31T23:59:00Z')).to.include({ graceSeconds: 1 });
  });
});

describe('installOf', () => {
  it('is what admission recorded, else what the Pod carries', () => {
    expect(installOf(pod('primary', 'web', { install: 'node' }))).to.equal('node');
    expect(installOf(pod('primary', 'web'))).to.equal('init');
    expect(installOf(pod('sibling', 'cache', { install: 'node' }))).to.equal('node');
    expect(installOf(pod('sibling', 'cache'))).to.equal('init');
  });
});

describe('wiredPeers', () => {
  it('are the other containers, and nobody where it does not read', () => {
    const end = (last: number) => ({ mac: `0a:58:c6:12:00:0${last}`, ipv4: `198.18.0.${last}` });
    const wiring = formatWiring({
      version: 1,
      split: splitId(uid),
      piece: 'web',
      role: 'primary',
      release: 'go',
      self: end(2),
      peers: ['cache', 'log'].map((name, index) => ({ name, role: 'sibling', ...end(3 + index) })),
      pool: { ipv4: '198.18.0.0/15' },
      flows: [],
      facade: [],
    });
    expect(wiredPeers(pod('primary', 'web', { wiring }))).to.deep.equal(['cache', 'log']);
    expect(wiredPeers(pod('primary', 'web', { wiring: '{}' }))).to.deep.equal([]);
    expect(wiredPeers(pod('primary', 'web'))).to.deep.equal([]);
  });
});

describe('readiness', () => {
  it('is ready when every expected sibling is', () => {
    const ready = pod('sibling', 'cache', { node: 'a', ready: true });
    expect(readiness(seen({ siblings: [ready] }))).to.include({ ready: true, reason: 'PiecesReady' });
  });

  it('names the pieces it waits for, and those that nobody runs', () => {
    expect(readiness(seen({ siblings: [sibling] })).message).to.contain('cache is');
    expect(readiness(seen({ siblings: [] }))).to.include({ ready: false, reason: 'SiblingLost' });
  });

  it('does not count a ready sibling that is being deleted', () => {
    const leaving = pod('sibling', 'cache', { ready: true, deletingAt: '2026-01-01T00:00:30Z' });
    expect(readiness(seen({ siblings: [leaving] })).ready).to.equal(false);
  });
});

describe('released', () => {
  it('keeps siblings back until the Pod’s own init containers have run', () => {
    const before = pod('primary', 'web', { ...running, ownInit: true });
    const after = pod('primary', 'web', { ...running, ownInit: true, initialized: true });
    expect(released(before, [sibling])).to.deep.equal([before]);
    expect(released(after, [sibling])).to.deep.equal([after, sibling]);
    expect(released(pod('primary', 'web', running), [sibling])).to.have.length(2);
  });
});

describe('outdated', () => {
  const hash = (text: string): string => `hash of ${text}`;

  it('is a piece that loaded another wiring than it carries', () => {
    expect(outdated([pod('primary', 'web', { wiring: 'new', loaded: 'hash of old' })], hash)).to.equal(true);
  });

  it('is not one that loaded its own, or is still waiting', () => {
    expect(outdated([pod('primary', 'web', { wiring: 'new', loaded: 'hash of new' })], hash)).to.equal(false);
    expect(outdated([pod('primary', 'web', { wiring: 'new' })], hash)).to.equal(false);
  });
});

describe('readPod', () => {
  const without = (pod: LivePod, field: 'readinessGates' | 'ownerReferences'): IPod => ({
    ...pod.raw,
    metadata: { ...pod.raw.metadata, ...(field === 'ownerReferences' ? { ownerReferences: [] } : {}) },
    spec: { ...pod.raw.spec!, ...(field === 'readinessGates' ? { readinessGates: [] } : {}) },
  });

  it('passes over pieces that were printed offline: nobody may end them as strays', () => {
    expect(readPod(without(pod('primary', 'web'), 'readinessGates'))).to.equal(undefined);
    expect(readPod(without(pod('sibling', 'cache'), 'ownerReferences'))).to.equal(undefined);
  });
});
