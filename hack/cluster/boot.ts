// From nothing to a cluster whose nodes are Ready and whose DNS answers.

import { mkdir, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { stringify } from 'yaml';
import type { Builds } from './build.ts';
import { createCgroups } from './cgroups.ts';
import { kubectl, startControlPlane } from './control-plane.ts';
import { writeControlPlaneCredentials } from './credentials.ts';
import { loadImages } from './load.ts';
import type { NodeNames } from './names.ts';
import { createBridge } from './network.ts';
import { prepareNode, startKubelet, startRuntime } from './nodes.ts';
import { startOutside } from './outside.ts';
import { here, kubectlPath, logs } from './paths.ts';
import { embeddedPlace } from './place.ts';
import { attempt, CommandFailed, run, until } from './run.ts';
import { notReady, writeRunning } from './status.ts';

export async function boot(builds: Builds, nodes: readonly NodeNames[]): Promise<void> {
  const names = nodes.map((node) => node.name);
  const count = nodes.length;
  await mkdir(logs, { recursive: true });
  await mkdir(dirname(kubectlPath));
  await symlink(join(builds.bin.kubernetes, 'kubectl'), kubectlPath);
  await createCgroups(names);
  await createBridge(count);
  const authority = await writeControlPlaneCredentials(embeddedPlace);

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
  await Promise.all(nodes.map((node) => startKubelet(node)));
  await until('all nodes Ready', 60, async () => (await notReady(names)).length === 0);
  await startDns();
  await writeRunning({ nodes: names, controlPlane });
}

const apply = kubectl('apply', '--server-side', '-f');

async function applyManifests(nodes: readonly NodeNames[]): Promise<void> {
  // The kubelets find their Node there, with its Pod ranges; they could not set these themselves.
  const objects = nodes.map((node) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: node.name },
    spec: { podCIDR: node.pods.v4, podCIDRs: [node.pods.v4, node.pods.v6] },
  }));
  const input = objects.map((object) => stringify(object)).join('---\n');
  // Ready comes a moment before the namespace kube-system does.
  await until('the namespace kube-system', 20, () => attempt(kubectl('get', 'namespace', 'kube-system')));
  await run([...apply, '-'], { input });
  for (const manifest of ['nad-crd.yaml', 'node-rbac.yaml']) await run([...apply, join(here, 'manifests', manifest)]);
}

/** Only once the nodes are Ready: a Pod that every node refused before that may wait five minutes for its next try. */
async function startDns(): Promise<void> {
  await run([...apply, join(here, 'manifests/coredns.yaml')]);
  const inSystem = (...args: readonly string[]): string[] => kubectl('--namespace=kube-system', ...args);
  try {
    await run(inSystem('rollout', 'status', 'deployment/coredns', '--timeout=60s'));
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    const state = await run(inSystem('describe', 'pods', '--selector=k8s-app=kube-dns')).catch(String);
    const log = await run(inSystem('logs', 'deployment/coredns', '--tail=20')).catch(String);
    throw new Error(`the cluster's DNS does not get ready\n${state}\n${log}`, { cause: error });
  }
}
