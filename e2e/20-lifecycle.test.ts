// Whatever is scaled, replaced, deleted or killed: split Pods come back whole, and no address is leaked or doubled.

import { expect } from 'chai';
import { silentLogger } from '../controller/observability/log.ts';
import { connect } from '../controller/kube/connect.ts';
import { systemClock } from '../controller/kube/clock.ts';
import { EventRecorder } from '../controller/kube/events.ts';
import { createMetrics } from '../controller/observability/metrics.ts';
import { Controller } from '../controller/reconcile/controller.ts';
import { kubeconfig } from '../hack/cluster/paths.ts';
import { imageReference } from '../hack/images/recipes.ts';
import { listAll } from './support/api.ts';
import { agentProgram, barePod, call, pair, splitMode, workload } from './support/agents.ts';
import { controllerIsUp, controllerPods, leader } from './support/controller.ts';
import { eventually, patience } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { kubectl, TestNamespace } from './support/namespace.ts';
import { onNode, processOf } from './support/node.ts';
import { condition, containerStatus, type AddressBlock, type Pod, type PodSplit } from './support/objects.ts';
import { eventOf, isReady, peerAddresses, readySplitPods, splitPods, type SplitPod } from './support/pieces.ts';

const pieces = ['app', 'helper'];
const system = ['-n', 'podsplit-system'];

/** Its main container ends once it has reached the helper, who would serve for ever. */
const job = {
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name: 'job', annotations: splitMode },
  spec: {
    backoffLimit: 2,
    template: {
      metadata: { labels: { app: 'job' } },
      spec: {
        ...pair,
        restartPolicy: 'Never',
        containers: pair.containers.map((container) =>
          container.name === 'app'
            ? {
                ...container,
                command: ['bash', '-c', 'until exec 3<>/dev/tcp/127.0.0.1/7002; do sleep 0.2; done; cat <&3'],
                args: [],
              }
            : container,
        ),
      },
    },
  },
};

describe('the life of split Pods', () => {
  let namespace: TestNamespace;

  before(async () => {
    namespace = await TestNamespace.create('life');
    // The StatefulSet's pieces load their rules themselves, all others' have the node's agent do it.
    const apps = (kind: string, name: string, replicas?: number) =>
      workload(kind, name, pair, {
        annotations: { ...splitMode, ...(kind === 'StatefulSet' ? { 'podsplit.io/install': 'init' } : {}) },
        ...(replicas === undefined ? {} : { replicas }),
        ...(kind === 'StatefulSet' ? { spec: { serviceName: name } } : {}),
      });
    await namespace.apply(
      agentProgram,
      apps('Deployment', 'scaled', 2),
      apps('StatefulSet', 'sts', 2),
      apps('DaemonSet', 'ds'),
      barePod('bare', pair, splitMode),
      job,
    );
  });

  after(() => TestNamespace.deleteAll());

  it('starts for a Deployment, a StatefulSet, a DaemonSet and a bare Pod', async () => {
    const nodes = await listAll<Pod>('nodes');
    await Promise.all([
      workingPods('scaled', 2),
      workingPods('sts', 2),
      workingPods('ds', nodes.length),
      workingPods('bare', 1),
    ]);
  });

  it("ends with its main container in a Job, and frees the addresses with the Job's Pod", async () => {
    await namespace.kubectl(['wait', '--for=condition=Complete', 'job/job', patience]);
    const [ended] = await eventually('the sibling has ended', async () => {
      const found = await namespace.list<Pod>('pods', { labelSelector: 'batch.kubernetes.io/job-name=job' });
      const siblings = await siblingsOf(found[0]!.metadata.uid);
      expect(siblings).to.have.length(0);
      return found;
    });
    expect(ended?.status.phase).to.equal('Succeeded');
    expect(await namespace.kubectl(['logs', ended!.metadata.name])).to.match(/^helper 127\.0\.0\.1$/m);
    // Its template is immutable: the answer says what can be done, and not only that.
    const annotated = await namespace.try(['annotate', 'job', 'job', 'podsplit.io/flows=none']);
    expect(annotated.output).to.contain('(RunningJob)');
    await namespace.kubectl(['delete', 'job', 'job', '--wait=false']);
    await eventually('its claim is gone', async () => {
      const claims = (await blocks()).flatMap(({ spec }) => spec.claims);
      expect(claims.filter(({ pod }) => pod.uid === ended?.metadata.uid)).to.have.length(0);
    });
  });

  it('is made anew when any of its Pods is deleted by hand', async () => {
    const [sts, ds, bare] = await Promise.all([
      readyPods('sts', 2),
      splitPods(namespace, 'ds'),
      splitPods(namespace, 'bare'),
    ]);
    const first = sts.find(({ primary }) => primary.metadata.name === 'sts-0')!;
    await Promise.all([
      namespace.kubectl(['delete', 'pod', 'sts-0', '--wait=false']),
      deletePiece(ds[0]!, 'helper'),
      deletePiece(bare[0]!, 'helper'),
    ]);

    await namespace.kubectl(['wait', '--for=delete', `pod/${first.pieces.get('helper')!.metadata.name}`, patience]);
    const again = await workingPods('sts', 2);
    const next = again.find(({ primary }) => primary.metadata.name === 'sts-0');
    expect(next?.primary.metadata.uid).not.to.equal(first.primary.metadata.uid);
    expect(next?.pieces.get('helper')?.metadata.name).not.to.equal(first.pieces.get('helper')!.metadata.name);

    const lost = await eventOf(namespace, 'SiblingLost', 'DaemonSet', 'ds');
    expect(lost.message).to.contain('The piece of helper was deleted');
    const after = await workingPods('ds', ds.length);
    expect(after.map(({ primary }) => primary.metadata.uid)).not.to.include(ds[0]!.primary.metadata.uid);

    // Nothing would make a bare Pod anew: it says so, and stays unready.
    const gate = await eventually('the bare Pod says what happened', async () => {
      const found = condition(await namespace.get<Pod>('pods', 'bare'), 'podsplit.io/pieces-ready');
      expect(found?.reason).to.equal('SiblingLost');
      return found;
    });
    expect(gate?.message).to.contain('delete it and create it again');
    await eventOf(namespace, 'SiblingLost', 'Pod', 'bare');
    await namespace.kubectl(['delete', 'pod', 'bare', '--wait=false']);
    await invariantsHold();
  });

  it('scales up while two controllers believe that they lead', async () => {
    const second = await startSecondController();
    try {
      await scale(6);
      await workingPods('scaled', 6);
    } finally {
      await second.stop();
    }
    await expectAddressesOnce();
    await invariantsHold();
  });

  it('scales up while every controller is killed', async () => {
    await scale(10);
    await whileWiring(6);
    await killControllers(await controllerPods());
    await workingPods('scaled', 10);
    await expectAddressesOnce();
    await invariantsHold();
  });

  it('scales down while the lease is stolen from the leader', async () => {
    const holder = await leader();
    await scale(2);
    const body = {
      spec: { holderIdentity: 'somebody-else', renewTime: new Date().toISOString().replace('Z', '000Z') },
    };
    await kubectl([...system, 'patch', 'lease', 'podsplit', '--type=merge', '-p', JSON.stringify(body)]);
    await eventually('another leader', async () => {
      expect(await leader()).not.to.be.oneOf([holder, 'somebody-else', '']);
    });
    await workingPods('scaled', 2);
    await controllerIsUp();
    await invariantsHold();
  });

  it('goes on while the leader is stopped, and when it wakes up and another one leads', async () => {
    const holder = await leader();
    const stopped = (await controllerPods()).find(({ metadata }) => holder.startsWith(`${metadata.name}_`))!;
    const controller = await processOf(stopped, 'controller');
    const runs = containerStatus(stopped, 'controller')!;
    await scale(6);
    await whileWiring(2);
    await controller.signal('STOP');
    try {
      await eventually('another leader', async () => {
        expect(await leader()).not.to.be.oneOf([holder, '']);
      });
    } finally {
      // In the middle of what it was about to do, and of what the other does.
      await controller.signal('CONT');
    }
    await eventually('it has seen that it leads no more, and ended', async () => {
      const now = (await controllerPods()).find(({ metadata }) => metadata.uid === stopped.metadata.uid)!;
      const { state, lastState, restartCount } = containerStatus(now, 'controller')!;
      expect(state.running === undefined || restartCount > runs.restartCount).to.equal(true);
      expect((state.terminated ?? lastState?.terminated)?.exitCode).to.equal(1);
    });
    // It would be held back for a while before it starts again.
    await killControllers([stopped]);
    await workingPods('scaled', 6);
    await scale(2);
    await workingPods('scaled', 2);
    await controllerIsUp();
    await expectAddressesOnce();
    await invariantsHold();
  });

  it('rolls out while the leader is killed', async () => {
    const before = await splitPods(namespace, 'scaled');
    await namespace.kubectl(['rollout', 'restart', 'deployment/scaled']);
    const holder = await leader();
    await killControllers((await controllerPods()).filter(({ metadata }) => holder.startsWith(`${metadata.name}_`)));
    await namespace.kubectl(['rollout', 'status', 'deployment/scaled', patience]);
    const after = await workingPods('scaled', 2);
    const known = before.map(({ primary }) => primary.metadata.uid);
    expect(after.filter(({ primary }) => known.includes(primary.metadata.uid))).to.have.length(0);
    await invariantsHold();
  });

  it('survives that everything on its node is killed', async () => {
    const [victim] = await splitPods(namespace, 'scaled');
    const node = victim!.primary.spec.nodeName!;
    await killSandboxes(node);
    const nodes = (await listAll<Pod>('nodes')).length;
    // The kubelet notices a second later: what was ready before must not be taken for what is ready after.
    await eventually(
      'the kubelet has noticed',
      async () => {
        expect(isReady(await namespace.get<Pod>('pods', victim!.primary.metadata.name))).to.equal(false);
      },
      30_000,
    ).catch((error: unknown) => {
      if (!String(error).includes('not found')) throw error;
    });
    await Promise.all([workingPods('scaled', 2), workingPods('sts', 2), workingPods('ds', nodes)]);
    await expectAddressesOnce();
    await invariantsHold();
  });

  it('leaves nothing behind', async () => {
    await namespace.kubectl(['delete', 'deployment,statefulset,daemonset', '--all', '--wait=false']);
    await eventually('no generated object is left', async () => {
      const generated = 'pods,podsplits,network-attachment-definitions,networkpolicies,poddisruptionbudgets';
      expect((await namespace.kubectl(['get', generated, '-o', 'name'])).trim()).to.equal('');
      expect(await blocks()).to.have.length(0);
    });
    await invariantsHold();
  });

  /** Ready, and the one declared way from the primary to its sibling is open. */
  async function workingPods(app: string, count: number): Promise<readonly SplitPod[]> {
    const found = await readyPods(app, count);
    await Promise.all(
      found.map(({ primary }) =>
        eventually(
          `${primary.metadata.name} reaches its helper`,
          async () => {
            const answers = await call(namespace, primary.metadata.name, 'app', [['tcp', '127.0.0.1', 7002]]);
            expect(answers).to.deep.equal(['helper 127.0.0.1']);
          },
          20_000,
        ),
      ),
    );
    return found;
  }

  function readyPods(app: string, count: number): Promise<readonly SplitPod[]> {
    return readySplitPods(namespace, app, count, pieces);
  }

  async function scale(replicas: number): Promise<void> {
    await namespace.kubectl(['scale', 'deployment/scaled', `--replicas=${replicas}`]);
  }

  async function deletePiece(pod: SplitPod, container: string): Promise<void> {
    await namespace.kubectl(['delete', 'pod', pod.pieces.get(container)!.metadata.name, '--wait=false']);
  }

  async function siblingsOf(uid: string): Promise<readonly Pod[]> {
    const pods = await namespace.list<Pod>('pods');
    return pods.filter(({ metadata }) => metadata.ownerReferences?.some((owner) => owner.uid === uid) === true);
  }

  /** The controller is in the middle of it: some Pods have their PodSplit, but not all are wired. */
  async function whileWiring(before: number): Promise<void> {
    await eventually(
      'the first of the new Pods is worked on',
      async () => {
        const splits = await namespace.list<PodSplit>('podSplits');
        const pods = await namespace.list<Pod>('pods', { labelSelector: 'app=scaled' });
        const known = splits.filter(({ spec }) => pods.some(({ metadata }) => metadata.uid === spec.pod.uid));
        expect(known.length).to.be.above(before);
      },
      30_000,
    );
  }

  async function killControllers(pods: readonly Pod[]): Promise<void> {
    const names = pods.map(({ metadata }) => metadata.name);
    expect(names).not.to.be.empty;
    await kubectl([...system, 'delete', 'pod', ...names, '--grace-period=0', '--force', '--wait=false']);
  }

  /** Of this suite's Pods, and podsplit's own: containers and sandboxes, all at once. */
  async function killSandboxes(node: string): Promise<void> {
    const spaces = [namespace.name, 'podsplit-system'];
    const filters = spaces.map((name) => `labels."io.kubernetes.pod.namespace"==${name}`);
    const script = 'for task; do ctr -n k8s.io tasks kill -s SIGKILL "$task" 2>/dev/null & done; wait';
    const tasks = (await onNode(node, ['ctr', '-n', 'k8s.io', 'containers', 'list', '-q', ...filters]))
      .trim()
      .split('\n');
    await onNode(node, ['sh', '-c', script, 'sh', ...tasks]);
  }

  async function expectAddressesOnce(): Promise<void> {
    const pods = (await namespace.list<Pod>('pods')).filter(({ status }) => status.phase === 'Running');
    const addresses = pods.flatMap(peerAddresses);
    expect(addresses.length).to.be.above(0);
    expect(new Set(addresses).size).to.equal(addresses.length);
  }

  async function blocks(): Promise<readonly AddressBlock[]> {
    const all = await listAll<AddressBlock>('addressBlocks');
    return all.filter(({ spec }) => spec.workload.namespace === namespace.name);
  }
});

/** The reconcilers without the lease: a controller that was held up, and does not know yet that another one leads. */
async function startSecondController(): Promise<Controller> {
  const client = connect({ kubeconfig: process.env['KUBECONFIG'] ?? kubeconfig });
  const log = silentLogger;
  const metrics = createMetrics();
  const events = new EventRecorder({
    client,
    component: 'podsplit',
    instance: 'second',
    clock: systemClock,
    log,
    hooks: { recorded: () => undefined },
  });
  const image = imageReference('podsplit');
  const install = { otherwise: 'node', byNetwork: new Map() } as const;
  const split = { image, imagePullPolicy: 'IfNotPresent', maxContainers: 30, install } as const;
  const controller = new Controller({ client, clock: systemClock, log, metrics, events, split });
  await controller.start();
  return controller;
}
