// Pods come and go for a while, as in a cluster with much to do: all of what the last of them leaves is gone, on the nodes
// and in the API server. PODSPLIT_CHURN_SECONDS=3600 makes a soak of it, which tells how memory went, and asks that it be flat;
// `make bench` has one with many more Pods.

import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { bridgeNamePrefix, ownLabels } from '../controller/api/names.ts';
import { memoryGrowth } from '../hack/bench/usage.ts';
import { listAll } from './support/api.ts';
import { agentProgram, pair, splitMode, workload } from './support/agents.ts';
import { eventually, patience } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { isolateMode, withUsers } from './support/isolated.ts';
import { sampleMemory, type MemorySamples } from './support/memory.ts';
import { TestNamespace } from './support/namespace.ts';
import { onNode } from './support/node.ts';
import { devices, hostTableOf, hostTables, sandboxes } from './support/node-agent.ts';
import { condition, type Pod } from './support/objects.ts';

const seconds = Number(process.env['PODSPLIT_CHURN_SECONDS'] ?? 45);
/** One Pod is deleted in each: what a node of this size replaces in that time. */
const betweenMs = 1_500;
/** Shorter ones end while heaps still fill: they say nothing of memory. */
const isSoak = seconds >= 1800;
const betweenSamplesMs = 15_000;
const replicas = 2;

const sharing = {
  ...pair,
  containers: pair.containers.map((container) => ({
    ...container,
    volumeMounts: [...container.volumeMounts, { name: 'shared', mountPath: '/shared' }],
  })),
  volumes: [...pair.volumes, { name: 'shared', emptyDir: { sizeLimit: '1Mi' } }],
};

const workloads = [
  workload('Deployment', 'node', pair, { replicas, annotations: splitMode }),
  workload('Deployment', 'init', pair, { replicas, annotations: { ...splitMode, 'podsplit.io/install': 'init' } }),
  workload('Deployment', 'sharing', sharing, { replicas, annotations: splitMode }),
  workload('Deployment', 'isolated', withUsers(pair, { app: 2001, helper: 2002 }), {
    replicas,
    annotations: isolateMode,
  }),
];

describe('Pods that come and go', function () {
  this.timeout(300_000 + 2000 * seconds);

  let namespace: TestNamespace;
  let nodes: readonly string[];
  /** By UID, with the labels that say what was made for them. */
  const seen = new Map<string, Pod>();
  /** On the nodes, of those that were there last. */
  const tables = new Set<string>();
  const memory: MemorySamples = new Map();

  const remember = async (): Promise<readonly Pod[]> => {
    const pods = await namespace.list<Pod>('pods');
    for (const pod of pods) seen.set(pod.metadata.uid, pod);
    return pods;
  };
  const allReady = async (): Promise<void> => {
    for (const { metadata } of workloads) {
      await namespace.kubectl(['rollout', 'status', `deployment/${metadata.name}`, patience]);
    }
    await remember();
  };

  before(async () => {
    nodes = (await listAll<Pod>('nodes')).map(({ metadata }) => metadata.name);
    namespace = await TestNamespace.create('churn');
    await namespace.apply(agentProgram, ...workloads);
    await allReady();
  });

  after(() => TestNamespace.deleteAll());

  it('are whole again when it is over, and no address leaked or doubled', async () => {
    const ends = performance.now() + 1000 * seconds;
    let deleted = 0;
    let sampled = -Infinity;
    while (performance.now() < ends) {
      if (isSoak && performance.now() - sampled >= betweenSamplesMs) {
        sampled = performance.now();
        for (const node of nodes) await sampleMemory(node, memory);
      }
      const [oldest] = (await remember())
        .filter(({ metadata }) => metadata.labels?.[ownLabels.role] !== 'sibling')
        .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
        .filter((pod) => condition(pod, 'Ready')?.status === 'True')
        .toSorted((one, other) => (one.metadata.creationTimestamp < other.metadata.creationTimestamp ? -1 : 1));
      if (oldest !== undefined) {
        await namespace.kubectl(['delete', 'pod', oldest.metadata.name, '--wait=false']);
        deleted += 1;
      }
      await pause(betweenMs);
    }
    await allReady();
    expect(deleted, 'Pods deleted').to.be.above(seconds / 4);
    if (isSoak) console.log(`      ${deleted} Pods were deleted and made anew`);
    await invariantsHold();
    for (const node of nodes) {
      for (const sandbox of await sandboxes(node)) {
        if (sandbox.pod.namespace === namespace.name) tables.add(hostTableOf(sandbox));
      }
    }
    expect(tables.size, 'tables on the nodes').to.be.above(replicas);
  });

  if (isSoak) {
    it('cost podsplit no more memory late than early', () => {
      const programs = [...memory.keys()].map((key) => key.split(' ')[1]);
      expect(programs).to.include.members(['podsplit', 'agent', 'volumes']);
      for (const [key, samples] of memory) {
        const { early, late } = memoryGrowth(samples);
        console.log(`      ${key}: ${early.toFixed(0)} MiB in the second quarter, ${late.toFixed(0)} MiB in the last`);
      }
      for (const [key, samples] of memory) {
        const { early, late } = memoryGrowth(samples);
        expect(late / early, `${key}: last quarter / second quarter`).to.be.at.most(1.1);
      }
    });
  }

  it('leave nothing in the API server when their workloads end', async () => {
    await namespace.kubectl(['delete', 'deployments', '--all', '--wait=false']);
    const kinds = ['pods', 'podsplits', 'network-attachment-definitions', 'networkpolicies', 'poddisruptionbudgets'];
    await eventually(
      'nothing is left',
      async () => {
        const left = await namespace.kubectl(['get', kinds.join(','), '-o', 'name']);
        const blocks = await listAll<{ readonly spec: { readonly workload: { readonly namespace: string } } }>(
          'addressBlocks',
        );
        const held = blocks.filter(({ spec }) => spec.workload.namespace === namespace.name);
        expect([...left.trim().split('\n').filter(Boolean), ...held]).to.deep.equal([]);
      },
      180_000,
    );
  });

  it('leave nothing on the nodes: no sandbox, no rules, no volume, no bridge', async () => {
    const uids = [...seen.keys()];
    const keys = new Set([...seen.values()].map(({ metadata }) => metadata.labels?.[ownLabels.workload] ?? ''));
    const bridges = [...keys].filter(Boolean).map((key) => `${bridgeNamePrefix}${key}`);
    expect(bridges.length, 'bridges that there were').to.be.at.least(3);
    for (const node of nodes) {
      await eventually(
        `${node} is clean`,
        async () => {
          const files = await onNode(node, [
            'sh',
            '-c',
            'cd /run/podsplit && cat sandboxes/*.json isolated/*.json 2>/dev/null; ls /var/lib/podsplit/volumes',
          ]);
          expect(uids.filter((uid) => files.includes(uid))).to.deep.equal([]);
          expect((await devices(node)).filter((name) => bridges.includes(name))).to.deep.equal([]);
          expect((await hostTables(node)).filter((name) => tables.has(name))).to.deep.equal([]);
        },
        180_000,
      );
    }
  });
});
