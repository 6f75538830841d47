// Brings up the cluster, or says that it is up:
//
//     NODES=2 node hack/cluster/up.ts
//
// A cluster that is not well is not repaired piece by piece: it is swept away, with what any earlier run or other
// clone left, and booted anew.

import { mkdir, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import { build } from './build.ts';
import type { Builds } from './build.ts';
import { createCgroups } from './cgroups.ts';
import { kubectl, startControlPlane } from './control-plane.ts';
import { writeControlPlaneCredentials } from './credentials.ts';
import { loadImages } from './load.ts';
import { withLock } from './lock.ts';
import { maxNodes, nodes as nodeList } from './names.ts';
import type { NodeNames } from './names.ts';
import { createBridge } from './network.ts';
import { prepareNode, startKubelet, startRuntime } from './nodes.ts';
import { startOutside } from './outside.ts';
import { here, kubeconfig, kubectlPath, logs } from './paths.ts';
import { attempt, run, until } from './run.ts';
import { ailments, notReady, readRunning, writeRunning } from './status.ts';
import { sweep } from './sweep.ts';

const wanted = readCount(process.env['NODES']);

if (!(await isUp(true))) {
  await withLock('up', async () => {
    if (await isUp(false)) return; // by the run that held the lock
    const builds = await build();
    const begin = Date.now();
    if (await sweep()) console.log('swept away what was left of a cluster');
    await boot(builds, nodeList(wanted ?? 2));
    console.log(`up after ${((Date.now() - begin) / 1000).toFixed(1)} s: export KUBECONFIG=${kubeconfig}`);
  });
}

function readCount(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= maxNodes) return count;
  throw new Error(`NODES=${text}: a number from 1 to ${maxNodes} is needed`);
}

/** Whether the cluster runs, is well and has as many nodes as asked for; says so, or why not. */
async function isUp(aloud: boolean): Promise<boolean> {
  const running = await readRunning();
  if (!running) return false;
  const count = running.nodes.length;
  const wrong =
    wanted === undefined || wanted === count
      ? await ailments(running)
      : [`it has ${count} nodes and ${wanted} are wanted`];
  if (wrong.length === 0) console.log(`the cluster is up (${count} nodes): export KUBECONFIG=${kubeconfig}`);
  else if (aloud) console.log(`booting anew: ${wrong.join('; ')}`);
  return wrong.length === 0;
}

async function boot(builds: Builds, nodes: readonly NodeNames[]): Promise<void> {
  const names = nodes.map((node) => node.name);
  const count = nodes.length;
  await mkdir(logs, { recursive: true });
  await mkdir(dirname(kubectlPath));
  await symlink(join(builds.bin.kubernetes, 'kubectl'), kubectlPath);
  await createCgroups(names);
  await createBridge(count);
  const authority = await writeControlPlaneCredentials();

  const [controlPlane] = await Promise.all([
    startControlPlane(builds).then(async (processes) => {
      await applyManifests(nodes);
      return processes;
    }),
    startOutside(builds.pause, count),
    ...nodes.map(async (node) => {
      await prepareNode(node, builds, authority);
      await startRuntime(node, builds, count);
      await loadImages(builds.images, [node.name]);
    }),
  ]);
  await Promise.all(nodes.map(startKubelet));
  await until('all nodes Ready', 60, async () => (await notReady(names)).length === 0);
  await startDns();
  await writeRunning({ nodes: names, controlPlane });
}

async function applyManifests(nodes: readonly NodeNames[]): Promise<void> {
  // The kubelets find their Node there, with its Pod ranges; they could not set these themselves.
  const objects = nodes.map((node) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: node.name },
    spec: { podCIDR: node.pods.v4, podCIDRs: [node.pods.v4, node.pods.v6] },
  }));
  const input = objects.map((object) => stringify(object)).join('---\n');
  const apply = kubectl('apply', '--server-side', '-f');
  // Ready comes a moment before the namespace kube-system does.
  await until('the namespace kube-system', 20, () => attempt(kubectl('get', 'namespace', 'kube-system')));
  await run([...apply, '-'], { input });
  for (const manifest of ['nad-crd.yaml', 'node-rbac.yaml']) await run([...apply, join(here, 'manifests', manifest)]);
}

/** Only once the nodes are Ready: a Pod that was refused by every node before that may wait five minutes. */
async function startDns(): Promise<void> {
  await run(kubectl('apply', '--server-side', '-f', join(here, 'manifests/coredns.yaml')));
  await run(kubectl('-n', 'kube-system', 'rollout', 'status', 'deployment/coredns', '--timeout=60s'));
}
