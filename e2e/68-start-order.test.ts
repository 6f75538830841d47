// Native sidecars of split Pods: the same Pod whole and split, in both install modes, starts and ends its containers in the
// same order. In the restricted Pod Security Standard where nothing else loads the rules from inside.

import { expect } from 'chai';
import { agentProgram, barePod, splitMode, workload } from './support/agents.ts';
import { eventually, patience } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { TestNamespace } from './support/namespace.ts';
import { condition, type ContainerStatus, type KubeObject, type PodSplit } from './support/objects.ts';
import { podSplitOf } from './support/pieces.ts';
import {
  app,
  container,
  orderedPod,
  placesOf,
  said,
  slowSidecar,
  statusOf,
  type Place,
} from './support/start-order.ts';

const ways = {
  whole: {},
  node: { ...splitMode, 'podsplit.io/install': 'node' },
  init: { ...splitMode, 'podsplit.io/install': 'init' },
} as const;
type Way = keyof typeof ways;

const all = ['a', 's1', 'b', 's2', 'app', 'helper'];
const heard = 'heard s1 127.0.0.1';

/** Ends once it has heard s1, which would serve for ever. */
const jobSpec = {
  ...orderedPod,
  restartPolicy: 'Never',
  initContainers: [slowSidecar()],
  containers: [container('app', 'say "app ends, heard $(ask 2>&1)"')],
};

/** Its sidecar starts when somebody lets it. */
const stuckSpec = {
  ...orderedPod,
  terminationGracePeriodSeconds: 2,
  initContainers: [slowSidecar('until [ -e /dev/shm/go ]; do sleep 0.2; done')],
  containers: [app('app'), app('helper')],
};

for (const way of Object.keys(ways) as Way[]) {
  const annotations = ways[way];
  const isSplit = way !== 'whole';

  describe(`a Pod with native sidecars, ${isSplit ? `split, in install mode ${way}` : 'whole'}`, () => {
    let namespace: TestNamespace;

    before(async () => {
      namespace = await (way === 'init'
        ? TestNamespace.create(`order-${way}`)
        : TestNamespace.create(`order-${way}`, { 'pod-security.kubernetes.io/enforce': 'restricted' }));
      await namespace.apply(
        agentProgram,
        workload('Deployment', 'ordered', orderedPod, { annotations }),
        barePod('stuck', stuckSpec, annotations),
        {
          apiVersion: 'batch/v1',
          kind: 'Job',
          metadata: { name: 'job', annotations },
          spec: { backoffLimit: 0, template: { metadata: { labels: { app: 'job' } }, spec: jobSpec } },
        },
      );
    });

    after(() => TestNamespace.deleteAll());

    it('starts its containers one after the other, each native sidecar before what comes after it', async () => {
      await rolledOut();
      const places = await placesOf(namespace, 'ordered', all);
      expect(separate(places)).to.equal(isSplit ? 4 : 1);
      const started = await said(namespace, places);
      expect(started.slice(0, -2)).to.deep.equal([
        'a runs, heard nobody',
        's1 runs',
        's1 serves',
        `b runs, ${heard}`,
        's2 runs',
      ]);
      expect(started.slice(-2)).to.have.members([`app runs, ${heard}`, `helper runs, ${heard}`]);
    });

    it('starts nothing after a native sidecar that has not started, and says so', async () => {
      const sidecar = await eventually('s1 runs', async () => {
        const place = await placeOf('stuck', 's1');
        expect(statusOf(place)?.state.running).not.to.equal(undefined);
        return place;
      });
      expect(statusOf(sidecar)?.started).to.equal(false);
      for (const name of ['app', 'helper']) {
        const place = await placeOf('stuck', name);
        expect(statusOf(place)?.state.running, name).to.equal(undefined);
      }
      if (isSplit) await saysWhoHolds(sidecar);

      const touched = await namespace.exec(sidecar.pod.metadata.name, 's1', ['touch', '/dev/shm/go']);
      expect(touched.status, touched.output).to.equal(0);
      await namespace.kubectl(['wait', '--for=condition=Ready', 'pod/stuck', patience]);
      const places = await placesOf(namespace, 'stuck', ['s1', 'app', 'helper']);
      const started = await said(namespace, places);
      expect(started.slice(0, 2)).to.deep.equal(['s1 runs', 's1 serves']);
      expect(started.slice(2)).to.have.members([`app runs, ${heard}`, `helper runs, ${heard}`]);
    });

    it('restarts a native sidecar that ends, and nothing else', async () => {
      await rolledOut();
      const before = await placesOf(namespace, 'ordered', all);
      const { pod } = before.get('s1')!;
      await namespace.exec(pod.metadata.name, 's1', ['kill', '1']);
      const places = await eventually('s1 has started again', async () => {
        const found = await placesOf(namespace, 'ordered', all);
        const status = statusOf(found.get('s1')!);
        expect(status).to.include({ restartCount: 1, started: true });
        return found;
      });
      await rolledOut();
      for (const name of ['s2', 'app', 'helper']) {
        expect(places.get(name)?.pod.metadata.uid, name).to.equal(before.get(name)?.pod.metadata.uid);
        expect(restarts(places.get(name)!), name).to.equal(0);
      }
    });

    it('completes a Job whose native sidecar would serve for ever, restarted or not', async () => {
      await namespace.kubectl(['wait', '--for=condition=Complete', 'job/job', patience]);
      const job = await placesOf(namespace, 'job', ['app', 's1']);
      expect(job.get('app')?.pod.status.phase).to.equal('Succeeded');
      const sentences = await said(namespace, new Map([['app', job.get('app')!]]));
      expect(sentences).to.deep.equal([`app ends, ${heard}`]);
      await eventually('the native sidecar has ended', async () => {
        const { pod } = await placeOf('job', 's1');
        // In one Pod its status stays, split it is that of the primary, which is all that is left.
        expect(pod.metadata.uid).to.equal(job.get('app')?.pod.metadata.uid);
        expect(statusOf({ pod, container: 's1' })?.state.running).to.equal(undefined);
      });
    });

    it('ends its native sidecars after all others, the last to start first, within its grace', async () => {
      await rolledOut();
      const places = await placesOf(namespace, 'ordered', ['s1', 's2', 'app', 'helper']);
      const listening = said(namespace, places, true);
      const uids = new Set([...places.values()].map(({ pod }) => pod.metadata.uid));
      const begun = performance.now();
      await namespace.kubectl(['delete', 'deployment', 'ordered', '--wait=false']);
      await eventually('all of it is gone', async () => {
        const pods = await namespace.list<KubeObject>('pods');
        expect(pods.filter(({ metadata }) => uids.has(metadata.uid))).to.deep.equal([]);
      });
      expect(performance.now() - begun).to.be.below((orderedPod.terminationGracePeriodSeconds + 10) * 1000);
      const ended = (await listening).filter((sentence) => / ends/.test(sentence));
      expect(ended).to.deep.equal([`app ends, ${heard}`, `helper ends, ${heard}`, 's2 ends', 's1 ends']);
    });

    it('leaks and doubles no address', () => invariantsHold());

    async function rolledOut(): Promise<void> {
      await namespace.kubectl(['rollout', 'status', 'deployment/ordered', patience]);
    }

    async function placeOf(app: string, name: string): Promise<Place> {
      return (await placesOf(namespace, app, [name])).get(name)!;
    }

    /** What a user looks at: the Pod's condition, and its PodSplit. */
    async function saysWhoHolds(sidecar: Place): Promise<void> {
      await eventually('it says who holds it', async () => {
        const { pod } = await placeOf('stuck', 'podsplit-wait-s1');
        const gate = condition(pod, 'podsplit.io/pieces-ready');
        expect(gate).to.include({ status: 'False', reason: 'SidecarNotStarted' });
        expect(gate?.message).to.contain('native sidecar s1');
        const split: PodSplit = await podSplitOf(namespace, pod);
        expect(condition(split, 'Ready')?.reason).to.equal('SidecarNotStarted');
        expect(split.status?.phase).to.equal('Starting');
        expect(statusOf({ pod, container: 'podsplit-wait-s1' })?.state.running).not.to.equal(undefined);
      });
      expect(sidecar.pod.metadata.annotations?.['podsplit.io/sidecar']).to.equal('0');
    }
  });
}

function restarts(place: Place): number | undefined {
  const status: ContainerStatus | undefined = statusOf(place);
  return status?.restartCount;
}

function separate(places: ReadonlyMap<string, Place>): number {
  return new Set([...places.values()].map(({ pod }) => pod.metadata.uid)).size;
}
