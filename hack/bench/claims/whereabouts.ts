// Whereabouts as its users run it: its CNI plugin, a process for each ADD, with the rights of its ServiceAccount. What is
// around it is left out: Multus, and the plugin that would make the interface.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nodeOf, type LivePod } from '../../../controller/reconcile/piece-pod.ts';
import { resourcePath, type KubeObject, type Resource } from '../../../controller/kube/resources.ts';
import { buildWhereabouts, type WhereaboutsBuild } from '../../cluster/build.ts';
import { CommandFailed, run } from '../../cluster/run.ts';
import type { SimulatedCluster } from '../../simulation/cluster.ts';
import { userName, writeKubeconfig, type ServiceAccount } from '../../simulation/service-account.ts';
import { sideBySide } from '../side-by-side.ts';
import type { Allocator, Claimed } from './allocator.ts';

/** That of its manifests. */
export const whereaboutsAccount: ServiceAccount = { namespace: 'kube-system', name: 'whereabouts' };
const { namespace } = whereaboutsAccount;

const apiVersion = 'whereabouts.cni.cncf.io/v1alpha1';

interface NodeSlicePool extends KubeObject {
  readonly spec: { readonly range: string; readonly sliceSize: string };
  readonly status: { readonly allocations: readonly { readonly nodeName: string; readonly sliceRange: string }[] };
}

const ipPools: Resource = { apiVersion, kind: 'IPPool', plural: 'ippools', namespaced: true };
const reservations: Resource = {
  apiVersion,
  kind: 'OverlappingRangeIPReservation',
  plural: 'overlappingrangeipreservations',
  namespaced: true,
};
const slicePools: Resource<NodeSlicePool> = {
  apiVersion,
  kind: 'NodeSlicePool',
  plural: 'nodeslicepools',
  namespaced: true,
};

/** One family, and of podsplit's size: its own pieces have an IPv6 address as well. */
const range = '198.18.0.0/15';
/** The kubelet tries again for ever; a benchmark does not. */
const attempts = 10;

export interface WhereaboutsInstall {
  readonly build: WhereaboutsBuild;
  readonly cluster: SimulatedCluster;
  /** What install-cni.sh writes on each node. */
  readonly config: string;
  /** ADDs that run side by side on a node. */
  readonly atOnce: number;
}

export async function installWhereabouts(cluster: SimulatedCluster, atOnce: number): Promise<WhereaboutsInstall> {
  const build = await buildWhereabouts();
  const files = [
    'daemonset-install.yaml',
    ...[ipPools, reservations, slicePools].map(({ plural }) => `whereabouts.cni.cncf.io_${plural}.yaml`),
  ];
  await cluster.kubectl(['apply', ...files.flatMap((file) => ['-f', join(build.manifests, file)])]);
  await cluster.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
  const folder = join(cluster.folder, 'whereabouts.d');
  await mkdir(folder);
  const kubeconfig = join(folder, 'whereabouts.kubeconfig');
  await writeKubeconfig(kubeconfig, whereaboutsAccount, cluster);
  const config = join(folder, 'whereabouts.conf');
  await writeFile(config, JSON.stringify({ datastore: 'kubernetes', kubernetes: { kubeconfig } }));
  return { build, cluster, config, atOnce };
}

/** As it is when nobody sets more than a range: one pool, and one lease that whoever claims must hold. */
export function whereaboutsAllocator(install: WhereaboutsInstall): Allocator {
  return allocator(install, `Whereabouts ${install.build.version}`, { range });
}

/** "Fast IPAM": each node has a slice of the range, a pool for it and a lease. */
export async function slicedAllocator(install: WhereaboutsInstall, nodes: readonly string[]): Promise<Allocator> {
  const network = 'sliced';
  // As its node-slice-controller writes it.
  await install.cluster.client.create(slicePools, {
    apiVersion,
    kind: 'NodeSlicePool',
    metadata: { namespace, name: network },
    spec: { range, sliceSize: '/20' },
    status: { allocations: nodes.map((nodeName, index) => ({ nodeName, sliceRange: `198.18.${16 * index}.0/20` })) },
  });
  const ipam = { range, network_name: network, node_slice_size: '/20' };
  return allocator(install, `Whereabouts ${install.build.version} with a slice for each node`, ipam);
}

function allocator(install: WhereaboutsInstall, name: string, ipam: object): Allocator {
  const { build, cluster, config, atOnce } = install;
  const input = JSON.stringify({
    cniVersion: '1.0.0',
    name: 'pieces',
    type: 'bridge',
    ipam: { type: 'whereabouts', configuration_path: config, ...ipam },
  });
  return {
    name,
    user: userName(whereaboutsAccount),
    async claim(pods) {
      const pieces = Map.groupBy(
        pods.flatMap((pod) => pod.pieces),
        (piece) => nodeOf(piece) ?? '',
      );
      const claimed: Claimed[] = [];
      await Promise.all(
        [...pieces].map(([node, own]) =>
          sideBySide(atOnce, own, async (piece) => {
            const started = performance.now();
            const address = await add(build.plugin, input, node, piece);
            claimed.push({ address, afterMs: performance.now() - started });
          }),
        ),
      );
      return claimed;
    },
    async clear() {
      for (const resource of [ipPools, reservations]) {
        await cluster.client.raw({ method: 'DELETE', path: resourcePath(resource, { namespace }) });
      }
    },
  };
}

/** The address, as the plugin's result says it. */
async function add(plugin: string, input: string, node: string, piece: LivePod): Promise<string> {
  const { uid } = piece;
  const env = {
    NODENAME: node,
    CNI_COMMAND: 'ADD',
    CNI_CONTAINERID: uid.replaceAll('-', ''),
    // It is named, and never entered.
    CNI_NETNS: `/var/run/netns/${uid}`,
    CNI_IFNAME: 'net1',
    CNI_PATH: '/opt/cni/bin',
    CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${piece.namespace};K8S_POD_NAME=${piece.name}`,
  };
  for (let attempt = 1; ; attempt++) {
    try {
      const result = JSON.parse(await run([plugin], { env, input })) as {
        readonly ips?: readonly { readonly address: string }[];
      };
      const [address = ''] = result.ips?.[0]?.address.split('/') ?? [];
      return address;
    } catch (error) {
      if (!(error instanceof CommandFailed) || attempt === attempts) throw error;
      console.log(`  Whereabouts: ${error.stderr.trim().split('\n').at(-1) ?? ''}; tried again`);
    }
  }
}
