// Each kind of workload does with split Pods what it does with whole ones: the same objects in both modes, side by side.

import { expect } from 'chai';
import { ownLabels } from '../controller/api/names.ts';
import { listAll } from './support/api.ts';
import { agentProgram, agents, barePod, call, pair, splitMode, workload } from './support/agents.ts';
import { eventually, patience } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { TestNamespace } from './support/namespace.ts';
import { onNode } from './support/node.ts';
import { condition, type KubeObject, type Pod } from './support/objects.ts';
import { isReady, readySplitPods } from './support/pieces.ts';
import { both, inContainer, modes, type Mode } from './support/side-by-side.ts';

interface Job extends KubeObject {
  readonly status: {
    readonly succeeded?: number;
    readonly failed?: number;
    readonly active?: number;
    readonly completedIndexes?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly reason?: string }[];
  };
}

interface EndpointSlice extends KubeObject {
  readonly endpoints?: readonly {
    readonly conditions: { readonly ready?: boolean };
    readonly targetRef?: { readonly name: string };
  }[];
}

const names = ['app', 'helper'];
const [app, helper] = pair.containers;

/** The app ends by itself once it has reached its helper, who would serve for ever. */
function job(name: string, mode: Mode, script: string, spec: object = {}, restartPolicy = 'Never') {
  return {
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name, annotations: modes[mode] },
    spec: { ...spec, template: { metadata: { labels: { app: name } }, spec: jobPod(script, restartPolicy) } },
  };
}

function jobPod(script: string, restartPolicy: string) {
  return {
    ...pair,
    restartPolicy,
    containers: [{ ...app, command: ['bash', '-c', script], args: [] }, endingHelper],
  };
}

const reachHelper = 'until (exec 3<>/dev/tcp/127.0.0.1/7002) 2>/dev/null; do sleep 0.2; done';
/** /dev/shm is the sandbox's, which stays when a container starts again. */
const failOnce = '[ -e /dev/shm/again ] || { touch /dev/shm/again; exit 1; }';

/** In one Pod a Job waits for all its containers: this one ends on its own as soon as it was called. */
const endingHelper = {
  ...helper,
  command: ['python3', '-c'],
  args: [
    'import socket\n' +
      'server = socket.create_server(("127.0.0.1", 7002))\n' +
      'server.settimeout(120)\n' +
      'server.accept()\n',
  ],
};

describe('kinds of workloads', () => {
  let namespace: TestNamespace;

  before(async () => {
    namespace = await TestNamespace.create('kinds');
    await namespace.apply(agentProgram);
  });

  after(async () => {
    await TestNamespace.deleteAll();
  });

  describe('Jobs', () => {
    before(async () => {
      await namespace.apply(
        ...both.flatMap((mode) => [
          job(`failing-${mode}`, mode, `${reachHelper}; exit 3`, { backoffLimit: 1 }),
          job(`indexed-${mode}`, mode, `${reachHelper}; echo index $JOB_COMPLETION_INDEX`, {
            completions: 2,
            parallelism: 2,
            completionMode: 'Indexed',
          }),
          job(`suspended-${mode}`, mode, reachHelper, { suspend: true }),
          job(`retried-${mode}`, mode, `${failOnce}; ${reachHelper}`, {}, 'OnFailure'),
          cronJob(`cron-${mode}`, mode),
        ]),
      );
    });

    for (const mode of both) {
      it(`${mode}: one whose main container fails is tried again up to its backoffLimit, and fails`, async () => {
        const ended = await endedJob(`failing-${mode}`, 'Failed');
        expect(ended.status.conditions?.find(({ type }) => type === 'Failed')?.reason).to.equal('BackoffLimitExceeded');
        expect(ended.status.failed).to.equal(2);
        const pods = await podsOf(`failing-${mode}`);
        expect(pods.map(({ status }) => status.phase)).to.deep.equal(['Failed', 'Failed']);
      });

      it(`${mode}: an indexed one completes each index, which its containers read`, async () => {
        const ended = await endedJob(`indexed-${mode}`, 'Complete');
        expect(ended.status).to.include({ succeeded: 2, completedIndexes: '0,1' });
        const said = await Promise.all(
          (await podsOf(`indexed-${mode}`)).map(({ metadata }) =>
            namespace.kubectl(['logs', metadata.name, '-c', 'app']),
          ),
        );
        expect(said.map((text) => text.trim()).sort()).to.deep.equal(['index 0', 'index 1']);
      });

      it(`${mode}: a suspended one has no Pods, runs when it is resumed, and completes`, async () => {
        expect(await podsOf(`suspended-${mode}`)).to.deep.equal([]);
        await namespace.kubectl(['patch', `job/suspended-${mode}`, '--type=merge', '-p', '{"spec":{"suspend":false}}']);
        expect((await endedJob(`suspended-${mode}`, 'Complete')).status.succeeded).to.equal(1);
      });

      it(`${mode}: a container that fails under restartPolicy OnFailure starts again in its Pod`, async () => {
        await endedJob(`retried-${mode}`, 'Complete');
        const pods = await podsOf(`retried-${mode}`);
        expect(pods).to.have.length(1);
        const restarts = '{.status.containerStatuses[?(@.name=="app")].restartCount}';
        const pod = pods[0]?.metadata.name ?? '';
        expect(await namespace.kubectl(['get', 'pod', pod, '-o', `jsonpath=${restarts}`])).to.equal('1');
      });

      it(`${mode}: a CronJob's run completes`, async () => {
        await namespace.kubectl(['create', 'job', `run-${mode}`, `--from=cronjob/cron-${mode}`]);
        await endedJob(`run-${mode}`, 'Complete');
      });
    }

    it('left no sibling behind', async () => {
      await eventually('all siblings of ended Pods are gone', async () => {
        const left = await namespace.list<Pod>('pods', { labelSelector: `${ownLabels.role}=sibling` });
        expect(left.map(({ metadata }) => metadata.name)).to.deep.equal([]);
      });
    });
  });

  describe('a StatefulSet', () => {
    const claims = both.flatMap((mode) => [0, 1].map((ordinal) => `data-sts-${mode}-${ordinal}`));
    let node: string;
    const folder = (claim: string): string => `/var/lib/${namespace.name}/${claim}`;

    before(async () => {
      const [first] = await listAll<KubeObject>('nodes');
      node = first!.metadata.name;
      await onNode(node, ['mkdir', '-p', ...claims.map(folder)]);
      await onNode(node, ['chmod', '0777', ...claims.map(folder)]);
      await namespace.apply(...claims.map(localVolume), ...both.map(headless), ...both.map(statefulSet));
    });

    after(async () => {
      await namespace.kubectl(['delete', 'persistentvolumes', '-l', `e2e=${namespace.name}`, '--wait=false']);
      await onNode(node, ['rm', '-rf', `/var/lib/${namespace.name}`]);
    });

    for (const mode of both) {
      it(`${mode}: starts the second once the first is Ready, all its containers`, async () => {
        const [first, second] = await ready(mode);
        // Both are RFC 3339 in UTC, to the second.
        const readyAt = condition(first, 'Ready')?.lastTransitionTime ?? '';
        expect(readyAt).not.to.equal('');
        expect(
          second.metadata.creationTimestamp >= readyAt,
          `${second.metadata.creationTimestamp} >= ${readyAt}`,
        ).to.equal(true);
      });

      it(`${mode}: gives each of its Pods its own claim, in each container that mounts it, and its name in DNS`, async () => {
        for (const ordinal of [0, 1]) {
          const name = `sts-${mode}-${ordinal}`;
          const within = (container: string, script: string) =>
            inContainer(namespace, [`sts-${mode}`, container, name], script);
          await within('helper', `echo kept by ${name} > /data/kept`);
          expect(await within('app', 'cat /data/kept')).to.equal(`kept by ${name}\n`);
          expect(await within('helper', 'uname -n')).to.equal(`${name}\n`);
          const { status } = await namespace.get<Pod>('pods', name);
          const host = `${name}.sts-${mode}.${namespace.name}.svc.cluster.local`;
          await eventually(`${host} is in DNS`, async () => {
            const lookup = `import socket; print(socket.getaddrinfo("${host}", 1, socket.AF_INET)[0][4][0])`;
            const found = await inContainer(namespace, ['sts-whole', 'app'], `python3 -c '${lookup}'`);
            expect(found).to.equal(`${status.podIPs?.[0]?.ip ?? ''}\n`);
          });
        }
      });

      it(`${mode}: makes a deleted Pod anew, with its name and its claim`, async () => {
        const name = `sts-${mode}-1`;
        const before = await namespace.get<Pod>('pods', name);
        await namespace.kubectl(['delete', 'pod', name]);
        const [, second] = await ready(mode);
        expect(second.metadata.uid).not.to.equal(before.metadata.uid);
        expect(await inContainer(namespace, [`sts-${mode}`, 'app', name], 'cat /data/kept')).to.equal(
          `kept by ${name}\n`,
        );
      });
    }

    function ready(mode: Mode): Promise<readonly [Pod, Pod]> {
      return eventually(`sts-${mode} is ready`, async () => {
        const pods = await Promise.all([0, 1].map((ordinal) => namespace.get<Pod>('pods', `sts-${mode}-${ordinal}`)));
        const waiting = pods.filter((pod) => !isReady(pod) || pod.metadata.deletionTimestamp !== undefined);
        if (waiting.length > 0) throw new Error(waiting.map(({ metadata }) => metadata.name).join());
        return pods as [Pod, Pod];
      });
    }

    function localVolume(claim: string) {
      return {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name: `${namespace.name}-${claim}`, labels: { e2e: namespace.name } },
        spec: {
          capacity: { storage: '1Gi' },
          accessModes: ['ReadWriteOnce'],
          persistentVolumeReclaimPolicy: 'Retain',
          storageClassName: namespace.name,
          claimRef: { namespace: namespace.name, name: claim },
          local: { path: folder(claim) },
          nodeAffinity: {
            required: {
              nodeSelectorTerms: [
                { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [node] }] },
              ],
            },
          },
        },
      };
    }

    function headless(mode: Mode) {
      const name = `sts-${mode}`;
      return {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name },
        spec: { clusterIP: 'None', selector: { app: name }, ports: [{ port: 7001 }] },
      };
    }

    function statefulSet(mode: Mode) {
      const name = `sts-${mode}`;
      const mounts = [...pair.volumes.map(({ name: volume }) => ({ name: volume, mountPath: '/agent' }))];
      const containers = pair.containers.map((container) => ({
        ...container,
        volumeMounts: [...mounts, { name: 'data', mountPath: '/data' }],
      }));
      return workload(
        'StatefulSet',
        name,
        { ...pair, containers },
        {
          replicas: 2,
          annotations: modes[mode],
          spec: {
            serviceName: name,
            volumeClaimTemplates: [
              {
                metadata: { name: 'data' },
                spec: {
                  accessModes: ['ReadWriteOnce'],
                  storageClassName: namespace.name,
                  resources: { requests: { storage: '1Gi' } },
                },
              },
            ],
          },
        },
      );
    }
  });

  it('a Pod that something else than Kubernetes owns is split as any, and goes with its owner', async () => {
    const owner = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'workflow' } };
    await namespace.apply(owner);
    const { uid } = (await namespace.get<KubeObject>('configMaps', 'workflow')).metadata;
    const made = barePod('owned', pair, splitMode);
    const ownerReferences = [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'workflow', uid, controller: true }];
    await namespace.apply({ ...made, metadata: { ...made.metadata, ownerReferences } });
    const [split] = await readySplitPods(namespace, 'owned', 1, names);
    expect(await call(namespace, 'owned', 'app', [['tcp', '127.0.0.1', 7002]])).to.deep.equal(['helper 127.0.0.1']);
    await namespace.kubectl(['delete', 'configmap', 'workflow']);
    for (const { metadata } of split!.pieces.values()) {
      await namespace.kubectl(['wait', '--for=delete', `pod/${metadata.name}`, patience]);
    }
  });

  describe('a container that is not ready', () => {
    const spec = agents({
      app: [{ protocol: 'tcp', bind: '::', port: 7001, declared: true }],
      helper: [{ protocol: 'tcp', bind: '::', port: 7002, declared: true }],
    });
    const probed = {
      ...spec,
      containers: spec.containers.map((container) =>
        container.name === 'helper'
          ? {
              ...container,
              readinessProbe: {
                exec: { command: ['test', '-e', '/dev/shm/ready'] },
                periodSeconds: 1,
                failureThreshold: 1,
              },
            }
          : container,
      ),
    };

    before(async () => {
      await namespace.apply(
        ...both.flatMap((mode) => [
          workload('Deployment', `probed-${mode}`, probed, { replicas: 1, annotations: modes[mode] }),
          {
            apiVersion: 'v1',
            kind: 'Service',
            metadata: { name: `probed-${mode}` },
            spec: { selector: { app: `probed-${mode}` }, ports: [{ port: 7001 }] },
          },
        ]),
      );
    });

    for (const mode of both) {
      it(`${mode}: takes its Pod out of its Service, whichever container it is, until it is ready`, async () => {
        const inHelper = (script: string) => inContainer(namespace, [`probed-${mode}`, 'helper'], script);
        await eventually('the helper runs', () => inHelper('true'));
        await endpoint(mode, false);
        await inHelper('touch /dev/shm/ready');
        await endpoint(mode, true);
        await inHelper('rm /dev/shm/ready');
        await endpoint(mode, false);
      });
    }

    function endpoint(mode: Mode, wanted: boolean): Promise<void> {
      return eventually(`the endpoint of probed-${mode} is ${wanted ? 'ready' : 'not ready'}`, async () => {
        const slices = await namespace.list<EndpointSlice>('endpointSlices', {
          labelSelector: `kubernetes.io/service-name=probed-${mode}`,
        });
        const [found, ...more] = slices.flatMap(({ endpoints = [] }) => endpoints);
        expect(more).to.deep.equal([]);
        expect(found?.conditions.ready).to.equal(wanted);
      });
    }
  });

  it('leaves nothing behind', () => invariantsHold());

  function cronJob(name: string, mode: Mode) {
    return {
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      metadata: { name, annotations: modes[mode] },
      // On the 30th of February: it runs when it is told to.
      spec: { schedule: '0 0 30 2 *', jobTemplate: { spec: job(name, mode, reachHelper).spec } },
    };
  }

  async function endedJob(name: string, type: 'Complete' | 'Failed'): Promise<Job> {
    await namespace.kubectl(['wait', `--for=condition=${type}`, `job/${name}`, patience]);
    return namespace.get<Job>('jobs', name);
  }

  /** Of a Job, siblings left out: they have none of its labels. */
  function podsOf(name: string): Promise<readonly Pod[]> {
    return namespace.list<Pod>('pods', { labelSelector: `batch.kubernetes.io/job-name=${name}` });
  }
});
