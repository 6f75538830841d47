import { expect } from 'chai';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { splitId, waitName } from '../api/identity.ts';
import { formatStarted } from '../split/started.ts';
import { deadlineOf } from './ending.ts';
import { nextStep, nudgeMs, readiness, type Observed, type Step } from './lifecycle.ts';
import { readPod, type LivePod } from './piece-pod.ts';
import { released, startedNews } from './start-order.ts';

const now = Date.parse('2026-01-01T00:00:00Z');
const uid = 'c0ffee00-0000-4000-8000-000000000001';

type State = 'waiting' | 'running' | 'ended';

/** The Pod starts migrate, native sidecar proxy, warm, native sidecar shipper, then app and cache. */
const order = ['migrate', waitName('proxy'), 'warm', waitName('shipper')];
const places: Readonly<Record<string, number>> = { proxy: 1, shipper: 3 };

interface Facts {
  readonly gated?: boolean;
  readonly started?: boolean;
  readonly deletingAt?: string;
  readonly stopped?: boolean;
  readonly annotations?: Record<string, string>;
}

function read(raw: Omit<IPod, 'apiVersion' | 'kind'>): LivePod {
  const pod = readPod({ apiVersion: 'v1', kind: 'Pod', ...raw });
  if (pod === undefined) throw new Error('not a piece');
  return pod;
}

function metadata(role: string, container: string, { deletingAt, annotations = {} }: Facts) {
  return {
    name: role === 'primary' ? 'web' : `web-${container}`,
    namespace: 'ns',
    uid: role === 'primary' ? uid : `${uid}-${container}`,
    labels: { 'podsplit.io/role': role, 'podsplit.io/container': container, 'podsplit.io/split': splitId(uid) },
    annotations: {
      ...annotations,
      ...(role === 'sibling' && places[container] !== undefined
        ? { 'podsplit.io/sidecar': String(places[container]) }
        : {}),
    },
    ...(deletingAt === undefined ? {} : { deletionTimestamp: deletingAt }),
    ownerReferences: [{ apiVersion: 'v1', kind: 'Owner', name: 'owner', uid: 'owner', controller: true }],
  };
}

function statusOf(name: string, state: object, started = false) {
  return { name, state, started, image: '', imageID: '', ready: started, restartCount: 0 };
}

const states: Readonly<Record<State, object>> = {
  waiting: { waiting: { reason: 'PodInitializing' } },
  running: { running: {} },
  ended: { terminated: { exitCode: 0 } },
};

/** @param inits state of each, in their order; the rest waits */
function primary(inits: readonly State[], facts: Facts = {}): LivePod {
  const done = inits.length === order.length && inits.every((state) => state === 'ended');
  return read({
    metadata: {
      ...metadata('primary', 'app', facts),
      annotations: { 'podsplit.io/install': 'node', ...facts.annotations },
    },
    spec: {
      nodeName: 'a',
      containers: [{ name: 'app' }],
      initContainers: order.map((name) => ({ name })),
      readinessGates: [{ conditionType: 'podsplit.io/pieces-ready' }],
    },
    status: {
      phase: done ? 'Running' : 'Pending',
      podIPs: [{ ip: '10.0.0.1' }],
      conditions: [{ type: 'Initialized', status: done ? 'True' : 'False' }],
      initContainerStatuses: order.map((name, i) => statusOf(name, states[inits[i] ?? 'waiting'])),
      containerStatuses: [statusOf('app', states[facts.stopped === true ? 'ended' : done ? 'running' : 'waiting'])],
    },
  });
}

function sibling(container: string, facts: Facts = {}): LivePod {
  const { gated = false, started = true, stopped = false } = facts;
  return read({
    metadata: metadata('sibling', container, facts),
    spec: {
      containers: [{ name: container }],
      restartPolicy: 'Always',
      ...(gated ? { schedulingGates: [{ name: 'podsplit.io/network' }] } : { nodeName: 'a' }),
    },
    status: {
      phase: 'Running',
      containerStatuses: gated ? [] : [statusOf(container, states[stopped ? 'ended' : 'running'], started && !stopped)],
    },
  });
}

const names = ['cache', 'proxy', 'shipper'];
const gated = names.map((name) => sibling(name, { gated: true }));

function seen(primary: LivePod | undefined, siblings: readonly LivePod[], endBy?: number): Observed {
  const deadline = primary?.raw.metadata?.deletionTimestamp;
  return {
    primary,
    siblings,
    claimed: true,
    expected: names,
    told: true,
    addressesSince: now - 60_000,
    outdatedSince: undefined,
    misfitSince: undefined,
    endBy: endBy ?? (deadline === undefined ? undefined : Date.parse(deadline)),
  };
}

/** The step with the containers it is about. */
function step(observed: Observed, at = now): string {
  const next: Step = nextStep(observed, at);
  const pieces = 'siblings' in next ? next.siblings : 'pieces' in next ? next.pieces : [];
  return [next.kind, ...pieces.map(({ container }) => container)].join(' ');
}

describe('the start of a Pod with native sidecars', () => {
  const names = (pieces: readonly LivePod[]): string => pieces.map(({ container }) => container).join(' ');

  it('lets each piece start in its turn', () => {
    expect(names(released(primary([]), gated))).to.equal('app');
    expect(names(released(primary(['running']), gated))).to.equal('app');
    expect(names(released(primary(['ended']), gated))).to.equal('app proxy');
    expect(names(released(primary(['ended', 'running']), gated))).to.equal('app proxy');
    expect(names(released(primary(['ended', 'ended', 'running']), gated))).to.equal('app proxy');
    expect(names(released(primary(['ended', 'ended', 'ended', 'running']), gated))).to.equal('app proxy shipper');
    expect(names(released(primary(['ended', 'ended', 'ended', 'ended']), gated))).to.equal('app cache proxy shipper');
  });

  it('does not take an init container that failed for one that ended', () => {
    const failed = primary(['ended']);
    failed.raw.status!.initContainerStatuses![0]!.state = { terminated: { exitCode: 1 } };
    expect(names(released(failed, gated))).to.equal('app');
  });

  it('tells the primary which have started, and nothing twice', () => {
    const [cache, proxy, shipper] = [
      sibling('cache', { gated: true }),
      sibling('proxy'),
      sibling('shipper', { gated: true }),
    ];
    const slow = sibling('proxy', { started: false });
    const waiting = primary(['ended', 'running']);
    expect(startedNews(waiting, [cache, slow, shipper])).to.equal(undefined);
    const text = startedNews(waiting, [cache, proxy, shipper]);
    expect(text).to.equal(formatStarted({ podIP: '10.0.0.1', containers: ['proxy'] }));
    const told = (started: string): LivePod =>
      primary(['ended', 'running'], { annotations: { 'podsplit.io/started': started } });
    expect(startedNews(told(text!), [cache, proxy, shipper])).to.equal(undefined);
    expect(startedNews(told(text!), [cache, slow, shipper]), 'it has crashed').to.equal(
      formatStarted({ podIP: '10.0.0.1', containers: [] }),
    );
    const ofOldSandbox = formatStarted({ podIP: '10.0.0.9', containers: ['proxy'] });
    expect(startedNews(told(ofOldSandbox), [cache, proxy, shipper]), 'another sandbox was told').to.equal(text);
    expect(startedNews(told(ofOldSandbox), [cache, slow, shipper])).to.equal(undefined);
  });

  it('tells a Pod nothing more once it is initialized', () => {
    const initialized = primary(['ended', 'ended', 'ended', 'ended']);
    expect(startedNews(initialized, [sibling('proxy'), sibling('shipper', { started: false })])).to.equal(undefined);
  });

  it('lifts a gate, says what has started, nudges the kubelet, and waits, in this order', () => {
    const [cache, proxy, shipper] = gated;
    expect(step(seen(primary([]), gated))).to.equal('report');
    expect(step(seen(primary(['ended']), gated))).to.equal('lift-siblings proxy');
    const waiting = primary(['ended', 'running']);
    expect(step(seen(waiting, [cache!, sibling('proxy', { started: false }), shipper!]))).to.equal('report');
    expect(step(seen(waiting, [cache!, sibling('proxy'), shipper!]))).to.equal('say-started');
    const annotations = { 'podsplit.io/started': formatStarted({ podIP: '10.0.0.1', containers: ['proxy'] }) };
    const nudged = { ...annotations, 'podsplit.io/nudged': new Date(now).toISOString() };
    const told = seen(primary(['ended', 'running'], { annotations: nudged }), [cache!, sibling('proxy'), shipper!]);
    expect(step(told)).to.equal('look-again');
    expect(step(told, now + nudgeMs)).to.equal('nudge app');
    const next = primary(['ended', 'ended', 'running'], { annotations: nudged });
    expect(step(seen(next, [cache!, sibling('proxy'), shipper!]))).to.equal('report');
    expect(proxy).not.to.equal(undefined);
    const all = primary(['ended', 'ended', 'ended', 'ended'], { annotations: nudged });
    expect(step(seen(all, [cache!, sibling('proxy'), sibling('shipper')]))).to.equal('lift-siblings cache');
  });

  it('says which native sidecar holds it', () => {
    const [cache, , shipper] = gated;
    const crashing = sibling('proxy', { started: false });
    crashing.raw.status!.containerStatuses![0]!.state = { waiting: { reason: 'CrashLoopBackOff' } };
    const held = readiness(seen(primary(['ended', 'running']), [cache!, crashing, shipper!]));
    expect(held).to.include({ ready: false, reason: 'SidecarNotStarted' });
    expect(held.message).to.contain('proxy').and.to.contain('CrashLoopBackOff').and.not.to.contain('shipper');
    const going = readiness(seen(primary(['ended', 'ended', 'running']), [cache!, sibling('proxy'), shipper!]));
    expect(going.reason).to.equal('PiecesNotReady');
  });
});

describe('the end of a Pod with native sidecars', () => {
  const inTenSeconds = new Date(now + 10_000).toISOString();
  const deleted = primary(['ended', 'ended', 'ended', 'ended'], { deletingAt: inTenSeconds });
  const ending = { deletingAt: inTenSeconds };

  it('ends the containers at once and the native sidecars after them, the last to start first', () => {
    const all = names.map((name) => sibling(name));
    expect(step(seen(deleted, all))).to.equal('end-siblings cache');
    const [, proxy, shipper] = all;
    expect(step(seen(deleted, [sibling('cache', ending), proxy!, shipper!])), 'both run').to.equal('look-again');
    const stopped = primary(['ended', 'ended', 'ended', 'ended'], { deletingAt: inTenSeconds, stopped: true });
    expect(step(seen(stopped, [sibling('cache', ending), proxy!, shipper!])), 'cache runs').to.equal('look-again');
    expect(step(seen(deleted, [proxy!, shipper!])), 'app runs').to.equal('look-again');
    expect(step(seen(stopped, [proxy!, shipper!]))).to.equal('end-siblings shipper');
    const gone = now + 10_000;
    expect(step(seen(undefined, [sibling('cache', ending), proxy!, shipper!], gone))).to.equal('look-again');
    expect(step(seen(undefined, [proxy!, shipper!], gone))).to.equal('end-siblings shipper');
    expect(step(seen(undefined, [proxy!, sibling('shipper', ending)], gone))).to.equal('look-again');
    expect(step(seen(undefined, [proxy!], gone))).to.equal('end-siblings proxy');
    expect(step(seen(undefined, [sibling('proxy', ending)], gone))).to.equal('report');
  });

  it('gives them what is left of the grace, and ends all that is left when it is over', () => {
    const [proxy, shipper] = [sibling('proxy'), sibling('shipper')];
    const endBy = now + 10_000;
    expect(nextStep(seen(undefined, [proxy, shipper], endBy), now + 4_000)).to.include({ graceSeconds: 6 });
    expect(nextStep(seen(deleted, [proxy, shipper]), now + 4_000)).to.deep.equal({ kind: 'look-again', forMs: 6_000 });
    const over = nextStep(seen(deleted, [proxy, shipper]), endBy);
    expect(over).to.deep.include({ kind: 'end-siblings', graceSeconds: 1 });
    expect(step(seen(deleted, [proxy, shipper]), endBy)).to.equal('end-siblings proxy shipper');
  });

  it('reads the deadline of a deletion, and not of what the kubelet takes away when all has ended', () => {
    const { raw } = deleted;
    const at = (deletionGracePeriodSeconds: number, deletionTimestamp: string): number | undefined =>
      deadlineOf(read({ ...raw, metadata: { ...raw.metadata, deletionGracePeriodSeconds, deletionTimestamp } }));
    expect(at(25, inTenSeconds)).to.equal(now + 10_000);
    expect(at(0, new Date(now).toISOString())).to.equal(undefined);
    expect(deadlineOf(primary([]))).to.equal(undefined);
  });

  it('shortens the grace that the garbage collector gives', () => {
    const collected = sibling('proxy', { deletingAt: new Date(now + 60_000).toISOString() });
    expect(step(seen(undefined, [collected], now + 10_000))).to.equal('end-siblings proxy');
    expect(step(seen(undefined, [collected]))).to.equal('report');
  });

  it('ends a native sidecar that never started with the others', () => {
    const [cache, proxy, shipper] = [sibling('cache'), sibling('proxy'), sibling('shipper', { gated: true })];
    expect(step(seen(deleted, [cache, proxy, shipper]))).to.equal('end-siblings cache shipper');
  });

  it('comes for them when a Job has completed', () => {
    const completed = primary(['ended', 'ended', 'ended', 'ended'], { stopped: true });
    completed.raw.status!.phase = 'Succeeded';
    const [cache, proxy, shipper] = names.map((name) => sibling(name));
    expect(step(seen(completed, [cache!, proxy!, shipper!]))).to.equal('end-siblings cache');
    expect(nextStep(seen(completed, [proxy!, shipper!]), now)).to.deep.equal({
      kind: 'end-siblings',
      siblings: [shipper],
      graceSeconds: undefined,
    });
    expect(step(seen(completed, [proxy!]))).to.equal('end-siblings proxy');
  });

  it('knows a native sidecar whose primary is gone, and that only other pieces own', () => {
    const { raw } = sibling('proxy');
    const owner = { apiVersion: 'v1', kind: 'Pod', name: 'web-cache', uid: 'cache' };
    expect(readPod({ ...raw, metadata: { ...raw.metadata, ownerReferences: [owner] } })?.role).to.equal('sibling');
  });
});
