import { unsoundBlocks } from '../addresses/allocator.ts';
import { formatOverlap, networksOf, overlaps, type ClusterNetwork } from '../addresses/overlap.ts';
import { blockCount, formatPoolError, poolOf } from '../addresses/pool.ts';
import type { Condition, SplitNetwork, SplitNetworkStatus } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import { isApiError } from '../kube/errors.ts';
import { resources } from '../kube/resources.ts';
import type { Outcome } from '../kube/worker.ts';
import { done } from '../kube/worker.ts';
import type { World } from './world.ts';

/** Nodes and Service ranges come and go: they are looked at again this often. */
const refreshMs = 60_000;

export interface SplitNetworkDependencies {
  readonly client: KubeClient;
  readonly world: World;
  readonly clock: Clock;
}

/** Says of one SplitNetwork whether addresses may be taken from it, and how many are. */
export class SplitNetworkReconciler {
  private readonly deps: SplitNetworkDependencies;
  private cluster: { readonly at: number; readonly networks: readonly ClusterNetwork[] } | undefined;

  constructor(deps: SplitNetworkDependencies) {
    this.deps = deps;
  }

  async reconcile(name: string): Promise<Outcome> {
    const { world, client, clock } = this.deps;
    const network = world.networks.store.get(name);
    if (network === undefined) return done;
    const status = this.status(network, await this.clusterNetworks(), new Date(clock.now()).toISOString());
    if (JSON.stringify(withoutTimes(status)) !== JSON.stringify(withoutTimes(network.status))) {
      try {
        const body = { metadata: { uid: network.metadata.uid }, status };
        await client.patch(resources.splitNetworks, { name }, { type: 'merge', body }, { subresource: 'status' });
      } catch (error) {
        if (!isApiError(error, 'NotFound', 'Conflict')) throw error;
      }
    }
    return { kind: 'requeue', afterMs: refreshMs };
  }

  private status(network: SplitNetwork, cluster: readonly ClusterNetwork[], now: string): SplitNetworkStatus {
    const blocks = this.deps.world.blocks.store.byIndex('network', network.metadata.name);
    const parsed = poolOf(network.spec);
    const total = parsed.kind === 'pool' ? blockCount(parsed.pool) : 0;
    const claimed = blocks
      .flatMap((block) => block.spec.claims)
      .reduce((sum, claim) => sum + Object.keys(claim.offsets).length, 0);
    return {
      observedGeneration: network.metadata.generation ?? 0,
      blocks: { total, claimed: blocks.length },
      addresses: { claimed },
      conditions: [this.ready(network, cluster, now)],
    };
  }

  private ready(network: SplitNetwork, cluster: readonly ClusterNetwork[], now: string): Condition {
    const verdict = this.verdict(network, cluster);
    const before = network.status?.conditions?.find((condition) => condition.type === 'Ready');
    const lastTransitionTime =
      before?.status === verdict.status ? before.lastTransitionTime : now.replace(/\.\d+Z$/, 'Z');
    return { type: 'Ready', ...verdict, lastTransitionTime, observedGeneration: network.metadata.generation ?? 0 };
  }

  private verdict(
    network: SplitNetwork,
    cluster: readonly ClusterNetwork[],
  ): { readonly status: 'True' | 'False'; readonly reason: string; readonly message: string } {
    const parsed = poolOf(network.spec);
    if (parsed.kind === 'invalid') {
      return { status: 'False', reason: 'InvalidRange', message: parsed.errors.map(formatPoolError).join(' ') };
    }
    const found = overlaps(parsed.pool, [...cluster, ...this.otherPools(network)]);
    if (found.length > 0) {
      const message = `Addresses would be ambiguous: ${found.map(formatOverlap).join('; ')}. Make a SplitNetwork with other ranges.`;
      return { status: 'False', reason: 'RangeOverlaps', message };
    }
    const blocks = this.deps.world.blocks.store.byIndex('network', network.metadata.name);
    const unsound = unsoundBlocks(blocks, parsed.pool);
    if (unsound.length > 0) return { status: 'False', reason: 'UnsoundBlocks', message: unsound.join(' ') };
    // Full, it still serves the Pods of workloads that have room in their blocks.
    if (blocks.length >= blockCount(parsed.pool)) {
      return { status: 'True', reason: 'Exhausted', message: 'Every block is held: new workloads wait for one.' };
    }
    return { status: 'True', reason: 'Available', message: 'Addresses are given from these ranges.' };
  }

  /** The older of two overlapping pools keeps giving addresses: a second one must not stop what runs. */
  private otherPools(network: SplitNetwork): readonly ClusterNetwork[] {
    const { name, creationTimestamp = '' } = network.metadata;
    return this.deps.world.networks.store.list().flatMap((other) => {
      const theirs = `${other.metadata.creationTimestamp ?? ''} ${other.metadata.name}`;
      const older = theirs < `${creationTimestamp} ${name}`;
      const parsed = poolOf(other.spec);
      return other.metadata.name === name || !older || parsed.kind !== 'pool'
        ? []
        : networksOf(other.metadata.name, parsed.pool);
    });
  }

  private async clusterNetworks(): Promise<readonly ClusterNetwork[]> {
    const now = this.deps.clock.monotonic();
    if (this.cluster !== undefined && now - this.cluster.at < refreshMs / 2) return this.cluster.networks;
    const networks = await readClusterNetworks(this.deps.client);
    this.cluster = { at: now, networks };
    return networks;
  }
}

async function readClusterNetworks(client: KubeClient): Promise<readonly ClusterNetwork[]> {
  const nodes = await client.list(resources.nodes);
  const ofNodes = nodes.items.flatMap((node) => {
    const { name } = node.metadata;
    const podCIDRs = node.spec?.podCIDRs ?? [];
    const addresses = (node.status?.addresses ?? []).filter((address) => address.type.endsWith('IP'));
    return [
      ...podCIDRs.map((cidr) => ({ what: `Pod CIDR of node ${name}`, cidr })),
      ...addresses.map((address) => ({ what: `address of node ${name}`, cidr: address.address })),
    ];
  });
  return [...ofNodes, ...(await readServiceNetworks(client))];
}

/** ServiceCIDR objects are there from Kubernetes 1.33 on. */
async function readServiceNetworks(client: KubeClient): Promise<readonly ClusterNetwork[]> {
  try {
    const { items } = await client.list(resources.serviceCIDRs);
    return items.flatMap((item) =>
      (item.spec?.cidrs ?? []).map((cidr) => ({ what: `Service CIDR ${item.metadata.name}`, cidr })),
    );
  } catch (error) {
    if (isApiError(error, 'NotFound')) return [];
    throw error;
  }
}

function withoutTimes(status: SplitNetworkStatus | undefined) {
  return [
    status?.observedGeneration,
    status?.blocks?.total,
    status?.blocks?.claimed,
    status?.addresses?.claimed,
    status?.conditions?.map(({ status: value, reason, message }) => [value, reason, message]),
  ];
}
