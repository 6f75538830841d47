// A split Pod is evicted, drained and placed as one: no piece goes alone, and none waits alone for room that never comes.

import { expect } from 'chai';
import { startKubectl } from '../hack/demo/command.ts';
import { listAll } from './support/api.ts';
import { agentProgram, barePod, pair, splitMode, workload } from './support/agents.ts';
import { startController, stopController } from './support/controller.ts';
import { eventually, patience } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { kubectl, TestNamespace } from './support/namespace.ts';
import { condition, type KubeObject, type Pod } from './support/objects.ts';
import { eventOf, podSplitOf, readySplitPods, splitPods, type SplitPod } from './support/pieces.ts';

const pieces = ['app', 'helper'];
/** An extended resource, which nobody else asks for: how many pieces a node takes. */
const room = 'podsplit.test/room';

describe('eviction and placement of split Pods', () => {
  let namespace: TestNamespace;
  let here: string;
  let there: string;

  before(async () => {
    const nodes = (await listAll<KubeObject>('nodes')).map(({ metadata }) => metadata.name).sort();
    [here = '', there = ''] = nodes;
    expect(nodes).to.have.length(2);
    namespace = await TestNamespace.create('as-one');
    await namespace.apply(agentProgram);
  });

  afterEach(() => Promise.all([here, there].map((node) => kubectl(['uncordon', node]))));

  after(async () => {
    await TestNamespace.deleteAll();
    await Promise.all([here, there].map((node) => setRoom(node, undefined)));
    await kubectl(['delete', 'priorityclass', 'e2e-low', 'e2e-high', '--ignore-not-found']);
  });

  describe('whoever evicts', () => {
    before(async () => {
      await kubectl(['cordon', there]);
      const budget = {
        apiVersion: 'policy/v1',
        kind: 'PodDisruptionBudget',
        metadata: { name: 'web' },
        spec: { minAvailable: 1, selector: { matchLabels: { app: 'web' } } },
      };
      const byHand = pair.containers.map((container) =>
        workload('Deployment', `hand-${container.name}`, { ...pair, containers: [container] }),
      );
      await namespace.apply(
        budget,
        workload('Deployment', 'web', pair, { replicas: 2, annotations: splitMode }),
        workload('DaemonSet', 'ds', pair, { annotations: splitMode }),
        ...byHand,
      );
      await readySplitPods(namespace, 'web', 2, pieces);
      await readySplitPods(namespace, 'ds', 2, pieces);
      await Promise.all(byHand.map(({ metadata }) => rolledOut(metadata.name)));
    });

    after(() => namespace.kubectl(['delete', 'deployment,daemonset,pdb', '--all', '--wait=false']));

    it('takes one half of a Pod that was split by hand', async () => {
      const [helper] = await namespace.list<Pod>('pods', { labelSelector: 'app=hand-helper' });
      expect((await evict(helper!)).status).to.equal(0);
    });

    it('is refused a sibling, whether podsplit runs or not, as long as there is its budget', async () => {
      const [web] = await splitPods(namespace, 'web');
      const helper = web!.pieces.get('helper')!;
      await refused(helper);
      await stopController();
      try {
        await refused(helper);
        await namespace.kubectl(['delete', 'pdb', '-l', 'app.kubernetes.io/managed-by=podsplit']);
        expect((await evict(helper)).status).to.equal(0);
      } finally {
        await startController();
      }
      await readySplitPods(namespace, 'web', 2, pieces);
      const again = (await splitPods(namespace, 'web')).flatMap((pod) => [...pod.pieces.values()]);
      expect(again.map(({ metadata }) => metadata.uid)).not.to.include(web!.primary.metadata.uid);
      await invariantsHold();
    });

    it('is told of budgets that find siblings too', async () => {
      const everybody = {
        apiVersion: 'policy/v1',
        kind: 'PodDisruptionBudget',
        metadata: { name: 'everybody' },
        spec: { minAvailable: 1, selector: {} },
      };
      await namespace.apply(everybody);
      const [web] = await splitPods(namespace, 'web');
      const said = await eventually('the PodSplit says so', async () => {
        const found = condition(await podSplitOf(namespace, web!.primary), 'EvictedAsOne');
        expect(found?.reason).to.equal('TwoBudgets');
        return found;
      });
      expect(said?.message).to.contain('everybody');
      await eventOf(namespace, 'TwoBudgets', 'Deployment', 'web');
      const { status, output } = await evict(web!.pieces.get('helper')!);
      expect(status).not.to.equal(0);
      expect(output).to.contain('more than one PodDisruptionBudget');
      await namespace.kubectl(['delete', 'pdb', 'everybody']);
      await eventually('nothing is said any more', async () => {
        expect(condition(await podSplitOf(namespace, web!.primary), 'EvictedAsOne')).to.equal(undefined);
      });
    });

    it("drains a node by the workload's own budget, and leaves the DaemonSet on it", async () => {
      await kubectl(['cordon', there]);
      await namespace.kubectl(['rollout', 'restart', 'deployment/web']);
      await rolledOut('web');
      const before = await readySplitPods(namespace, 'web', 2, pieces);
      await kubectl(['uncordon', there]);
      expect(before.map(({ primary }) => primary.spec.nodeName)).to.deep.equal([here, here]);
      const daemons = await readySplitPods(namespace, 'ds', 2, pieces);
      const available: number[] = [];
      // This suite's Pods, and no others: primaries and siblings have their workload's key.
      const keys = [...before, ...daemons].map(({ primary }) => primary.metadata.labels?.['podsplit.io/workload']);
      const ours = `--pod-selector=podsplit.io/workload in (${[...new Set(keys)].join()})`;
      const drained = await whileAsking(
        startKubectl(['drain', here, ours, '--ignore-daemonsets', '--timeout=150s']).ended,
        async () => available.push(await availableOf('web')),
      );
      expect(drained.status, drained.output).to.equal(0);
      // Siblings that could be evicted would have taken both Pods along at once.
      expect(Math.min(...available)).to.equal(1);
      const after = await readySplitPods(namespace, 'web', 2, pieces);
      expect(nodesOf(after)).to.deep.equal([there, there, there, there]);
      const stayed = await readySplitPods(namespace, 'ds', 2, pieces);
      expect(nodesOf(stayed)).to.deep.equal([here, here, there, there]);
      // Drains take siblings of DaemonSets, and each such Pod is made anew once, where it was.
      const known = daemons.map(({ primary }) => primary.metadata.uid);
      expect(stayed.filter(({ primary }) => known.includes(primary.metadata.uid))).to.have.length(1);
      await invariantsHold();
    });
  });

  describe('where a node has no room for all pieces', () => {
    afterEach(async () => {
      await namespace.kubectl(['delete', 'deployment,pod', '--all', '--wait=true', '--grace-period=1']);
    });

    it('the Pod moves as a whole, and the next is held back and goes elsewhere', async () => {
      await Promise.all([setRoom(here, 1), setRoom(there, 2), kubectl(['cordon', there])]);
      await namespace.apply(roomy('moved'));
      await eventually('the primary is where the sibling has no room', async () => {
        const [pod] = await splitPods(namespace, 'moved');
        expect(pod?.primary.spec.nodeName).to.equal(here);
        expect(condition(pod!.pieces.get('helper')!, 'PodScheduled')?.reason).to.equal('Unschedulable');
      });
      await kubectl(['uncordon', there]);
      const event = await eventOf(namespace, 'PieceDoesNotFit', 'Deployment', 'moved');
      expect(event.message).to.contain(`node ${here}`).and.to.contain('the piece of helper').and.to.contain(room);
      await eventually('the next Pod says why it waits', async () => {
        const [pod] = await splitPods(namespace, 'moved');
        expect(pod?.primary.spec.schedulingGates).to.have.length(1);
        const gate = condition(pod!.primary, 'podsplit.io/pieces-ready');
        expect(gate?.reason).to.equal('PieceDoesNotFit');
        expect(gate?.message).to.contain('moved once').and.to.contain(room);
      });
      const moved = await readySplitPods(namespace, 'moved', 1, pieces);
      expect(nodesOf(moved)).to.deep.equal([there, there]);
      const preferred = await namespace.kubectl([
        ...['get', 'pod', moved[0]!.primary.metadata.name],
        '-o=jsonpath={.spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution}',
      ]);
      expect(preferred).to.contain(`"NotIn","values":["${here}"]`);
      await invariantsHold();
    });

    it('a Pod that nothing would make anew stays, and says so', async () => {
      await Promise.all([setRoom(here, 2), setRoom(there, 0)]);
      // Its Pods take the room, and give it back: the kubelet hears of a node's new capacity after the scheduler, and rejects
      // what comes in between. A Deployment makes those anew.
      const [container] = withRoom(pair).containers;
      await namespace.apply(workload('Deployment', 'holder', { ...pair, containers: [container] }, { replicas: 2 }));
      await rolledOut('holder');
      await holders(1);
      await namespace.apply(barePod('bare', withRoom(pair), splitMode));
      const event = await eventOf(namespace, 'PieceDoesNotFit', 'Pod', 'bare');
      expect(event.message).to.contain('Nothing makes this Pod anew');
      await holders(0);
      await readySplitPods(namespace, 'bare', 1, pieces);
    });

    it('one of two Pods runs, and the other when that is gone', async () => {
      await Promise.all([setRoom(here, 2), setRoom(there, 0), kubectl(['cordon', here])]);
      const names = ['one', 'other'];
      await namespace.apply(...names.map((name) => roomy(name)));
      await eventually('both wait for the node', async () => {
        for (const name of names) {
          const [pod] = await splitPods(namespace, name);
          expect(condition(pod!.primary, 'PodScheduled')?.reason).to.equal('Unschedulable');
        }
      });
      await kubectl(['uncordon', here]);
      await eventually('each holds the room that the other needs', async () => {
        for (const name of names) {
          const [pod] = await splitPods(namespace, name);
          expect(pod!.primary.spec.nodeName).to.equal(here);
          expect(pod!.pieces.get('helper')?.spec.nodeName).to.equal(undefined);
        }
      });
      const winner = await eventually('one runs', () =>
        Promise.any(names.map((name) => readySplitPods(namespace, name, 1, pieces).then(() => name))),
      );
      const loser = names.find((name) => name !== winner)!;
      const [waiting] = await splitPods(namespace, loser);
      expect(waiting === undefined ? [] : nodesOf([waiting])).to.not.include(here);
      await namespace.kubectl(['delete', 'deployment', winner, '--wait=false']);
      await readySplitPods(namespace, loser, 1, pieces);
      await invariantsHold();
    });

    it('whoever is more important takes it from the whole Pod', async () => {
      await Promise.all([setRoom(here, 2), setRoom(there, 0)]);
      await kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: priorities }));
      await namespace.apply(roomy('taken', { priorityClassName: 'e2e-low' }));
      const [taken] = await readySplitPods(namespace, 'taken', 1, pieces);
      const [container] = withRoom(pair).containers;
      const important = { ...pair, containers: [container], priorityClassName: 'e2e-high' };
      await namespace.apply(barePod('important', important));
      await namespace.kubectl(['wait', '--for=condition=Ready', 'pod/important', patience]);
      await eventually('no piece of it is left', async () => {
        const uids = (await namespace.list<Pod>('pods')).map(({ metadata }) => metadata.uid);
        expect(uids).not.to.include.members([...taken!.pieces.values()].map(({ metadata }) => metadata.uid));
        for (const { metadata } of taken!.pieces.values()) expect(uids).not.to.include(metadata.uid);
      });
    });
  });

  it('ends as a whole when its time is up', async () => {
    await namespace.apply(barePod('timed', { ...pair, activeDeadlineSeconds: 15, restartPolicy: 'Never' }, splitMode));
    const [timed] = await readySplitPods(namespace, 'timed', 1, pieces);
    await eventually('the kubelet ends the primary, and the sibling goes', async () => {
      const pods = await namespace.list<Pod>('pods');
      const primary = pods.find(({ metadata }) => metadata.name === 'timed');
      expect(primary?.status.phase).to.equal('Failed');
      const helper = timed!.pieces.get('helper')!.metadata.uid;
      expect(pods.map(({ metadata }) => metadata.uid)).not.to.include(helper);
    });
    await namespace.kubectl(['delete', 'pod', 'timed']);
  });

  function evict({ metadata: { name } }: Pod) {
    const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name, namespace: namespace.name } };
    const path = `/api/v1/namespaces/${namespace.name}/pods/${name}/eviction`;
    return startKubectl(['create', '--raw', path, '-f', '-'], JSON.stringify(eviction)).ended;
  }

  /** 429: whoever drains tries again. */
  async function refused(pod: Pod): Promise<void> {
    const { status, output } = await evict(pod);
    expect(status).not.to.equal(0);
    expect(output).to.contain("Cannot evict pod as it would violate the pod's disruption budget");
    expect((await namespace.get<Pod>('pods', pod.metadata.name)).metadata.uid).to.equal(pod.metadata.uid);
  }

  async function holders(replicas: number): Promise<void> {
    await namespace.kubectl(['scale', 'deployment/holder', `--replicas=${replicas}`]);
    await eventually(`${replicas} Pods hold room`, async () => {
      const pods = await namespace.list<Pod>('pods');
      const held = pods.filter(
        ({ metadata, status }) => metadata.labels?.['app'] === 'holder' && status.phase !== 'Failed',
      );
      expect(held).to.have.length(replicas);
    });
  }

  function rolledOut(name: string): Promise<string> {
    return namespace.kubectl(['rollout', 'status', `deployment/${name}`, patience]);
  }

  async function availableOf(name: string): Promise<number> {
    const path = '-o=jsonpath={.status.availableReplicas}';
    return Number((await namespace.kubectl(['get', 'deployment', name, path])) || '0');
  }
});

const priorities = [
  ['e2e-low', 10],
  ['e2e-high', 1000],
].map(([name, value]) => ({
  apiVersion: 'scheduling.k8s.io/v1',
  kind: 'PriorityClass',
  metadata: { name },
  value,
}));

/** Each piece takes one. */
function withRoom(spec: typeof pair) {
  const one = { [room]: '1' };
  const containers = spec.containers.map((container) => ({
    ...container,
    resources: { requests: { ...container.resources.requests, ...one }, limits: one },
  }));
  return { ...spec, containers };
}

function roomy(name: string, more: object = {}) {
  return workload('Deployment', name, { ...withRoom(pair), ...more }, { replicas: 1, annotations: splitMode });
}

async function setRoom(node: string, pieces: number | undefined): Promise<void> {
  const amount = pieces === undefined ? null : String(pieces);
  const status = { capacity: { [room]: amount }, allocatable: { [room]: amount } };
  await kubectl(['patch', 'node', node, '--subresource=status', '--type=merge', '-p', JSON.stringify({ status })]);
}

/** Sorted, of all pieces. */
function nodesOf(pods: readonly SplitPod[]): readonly (string | undefined)[] {
  return pods.flatMap((pod) => [...pod.pieces.values()].map(({ spec }) => spec.nodeName)).sort();
}

/** Again and again until `task` is over. */
async function whileAsking<T>(task: Promise<T>, ask: () => Promise<unknown>): Promise<T> {
  const over = new AbortController();
  const ended = task.finally(() => {
    over.abort();
  });
  while (!over.signal.aborted) await ask();
  return ended;
}
