import { expect } from 'chai';
import { ownLabels, schedulingGate } from '../api/names.ts';
import type { Condition, PodSplitStatus } from '../api/resources.ts';
import { isolateStatus } from './isolate-status.ts';
import { readPod, type LivePod } from './piece-pod.ts';

const now = '2030-01-01T00:00:00Z';
const earlier = '2029-12-31T00:00:00Z';

function isolatedPod(gated: boolean, ready: boolean): LivePod {
  const found = readPod({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      namespace: 'shop',
      name: 'web',
      uid: 'u',
      labels: { [ownLabels.role]: 'isolated', [ownLabels.split]: '0a1b2c3d4e' },
    },
    spec: {
      containers: [{ name: 'web' }],
      ...(gated ? { schedulingGates: [{ name: schedulingGate }] } : { nodeName: 'node1' }),
    },
    status: { containerStatuses: [{ name: 'web', ready, image: '', imageID: '', restartCount: 0 }] },
  });
  if (found === undefined) throw new Error('it is not ours');
  return found;
}

function said(status: PodSplitStatus): readonly string[] {
  return (status.conditions ?? []).map(({ type, status: value, reason }: Condition) => `${type} ${value} ${reason}`);
}

describe('the status of an isolated Pod', () => {
  const obstacle = { reason: 'MultusMissing', message: 'Install Multus CNI.' };

  it('says why it stays gated', () => {
    const status = isolateStatus({
      pod: isolatedPod(true, false),
      observe: false,
      via: [],
      obstacle,
      previous: undefined,
      now,
    });
    expect(status.phase).to.equal('Refused');
    expect(status.conditions?.[0]).to.deep.equal({
      type: 'Ready',
      status: 'False',
      lastTransitionTime: now,
      ...obstacle,
    });
  });

  it('goes on when that is over, and keeps the time of what stays', () => {
    const conditions: readonly Condition[] = [
      { type: 'Ready', status: 'False', lastTransitionTime: earlier, ...obstacle },
    ];
    const previous: PodSplitStatus = { phase: 'Refused', conditions };
    const starting = isolateStatus({ pod: isolatedPod(false, false), observe: false, via: [], previous, now });
    expect(starting.phase).to.equal('Starting');
    expect(starting.conditions?.[0]?.lastTransitionTime).to.equal(earlier);
    const running = isolateStatus({ pod: isolatedPod(false, true), observe: false, via: [], previous, now });
    expect(running).to.include({ phase: 'Running', readyPieces: '1/1' });
    expect(said(running)).to.deep.equal(['Ready True ContainersReady', 'Enforcing True FlowsEnforced']);
    expect(running.conditions?.[0]?.lastTransitionTime).to.equal(now);
  });

  it('says that nothing is enforced while it is observed', () => {
    const status = isolateStatus({ pod: isolatedPod(false, true), observe: true, via: [], previous: undefined, now });
    expect(said(status)).to.include('Enforcing False Observing');
  });

  describe('of several containers', () => {
    type PodStatus = NonNullable<LivePod['raw']['status']>;
    type Status = NonNullable<PodStatus['containerStatuses']>[number];
    const container = (name: string, ready: boolean, state: NonNullable<Status['state']>): Status => ({
      name,
      ready,
      state,
      image: '',
      imageID: '',
      restartCount: 0,
    });
    const running = { running: {} };
    const failing = { waiting: { reason: 'CrashLoopBackOff' } };
    const statusWith = (status: PodStatus): PodSplitStatus => {
      const { raw } = isolatedPod(false, false);
      const names = ['web', 'cache', 'job'].map((name) => ({ name }));
      const pod = readPod({ ...raw, spec: { ...raw.spec, containers: names }, status })!;
      return isolateStatus({ pod, observe: false, via: [], previous: undefined, now });
    };
    const messageOf = ({ conditions }: PodSplitStatus) => conditions?.[0]?.message;

    it('tells each as it is, and names who fails', () => {
      const status = statusWith({
        phase: 'Running',
        conditions: [{ type: 'Initialized', status: 'True' }],
        containerStatuses: [
          container('web', true, running),
          container('cache', false, failing),
          container('job', false, { terminated: { exitCode: 3 } }),
        ],
      });
      expect(status.pieces?.map(({ state }) => state)).to.deep.equal(['Running', 'CrashLoopBackOff', 'Error']);
      expect(messageOf(status)).to.equal('Waiting for the containers: cache is CrashLoopBackOff, job is Error.');
    });

    it('names an init container that holds them back', () => {
      const waits = { waiting: { reason: 'PodInitializing' } };
      const status = statusWith({
        phase: 'Pending',
        initContainerStatuses: [container('prepare', false, failing)],
        containerStatuses: ['web', 'cache', 'job'].map((name) => container(name, false, waits)),
      });
      expect(status.pieces?.map(({ state }) => state)).to.deep.equal(Array(3).fill('PodInitializing'));
      expect(messageOf(status)).to.match(
        /^Waiting for the containers: init container prepare is CrashLoopBackOff, web is/,
      );
    });

    it('has the state of the Pod where nothing has begun', () => {
      const conditions = [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable' }];
      const status = statusWith({ phase: 'Pending', conditions });
      expect(status.pieces?.map(({ state }) => state)).to.deep.equal(Array(3).fill('Unschedulable'));
      expect(messageOf(status)).to.equal('The Pod is Unschedulable.');
    });
  });
});
