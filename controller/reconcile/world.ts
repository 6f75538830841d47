import type { ContainerNetworkPolicy } from '../api/container-network-policy.ts';
import type { Directory } from '../policies/directory.ts';
import { isOwnBudget } from '../policies/disruption-budget.ts';
import { ClusterDirectory } from './cluster-directory.ts';
import { ownLabels } from '../api/names.ts';
import { splitId } from '../api/identity.ts';
import type { AddressBlock, PodSplit, SplitNetwork } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import { Reflector } from '../kube/reflector.ts';
import type { ReflectorHooks, ReflectorOptions } from '../kube/reflector.ts';
import type {
  KubeObject,
  NetworkAttachmentDefinition,
  NetworkPolicy,
  Pod,
  PodDisruptionBudget,
  Resource,
} from '../kube/resources.ts';
import { resources } from '../kube/resources.ts';
import type { Indexes } from '../kube/store.ts';
import type { Logger } from '../observability/log.ts';
import { policyIndexes } from './policy-indexes.ts';
import { isGated, readPod, splitKey } from './piece-pod.ts';
import type { LivePod } from './piece-pod.ts';

/** `namespace/splitId`: what the split-Pod reconciler is asked about. */
export type SplitKey = string;
/** `namespace/workloadKey`. */
export type WorkloadKey = string;

/** What all reflectors can, whatever they hold. */
export type Watching = Pick<Reflector<KubeObject>, 'start' | 'stop' | 'whenSynced' | 'hasSynced' | 'status'>;

export interface WorldOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly hooks?: (resource: string) => ReflectorHooks;
}

/**
 * The watch caches. Nothing here is trusted where being late would break a promise: addresses are claimed by
 * compare-and-swap, and what is deleted for good is looked up anew first.
 */
export class World {
  /** Pods that opted in, and their siblings: the webhook labels them, so that no other Pod is watched. */
  readonly pods: Reflector<Pod>;
  readonly nads: Reflector<NetworkAttachmentDefinition>;
  readonly networkPolicies: Reflector<NetworkPolicy>;
  /** Users' too: two that find one sibling make its eviction an error. */
  readonly budgets: Reflector<PodDisruptionBudget>;
  readonly containerPolicies: Reflector<ContainerNetworkPolicy>;
  private readonly clusterDirectory: ClusterDirectory;
  readonly podSplits: Reflector<PodSplit>;
  readonly blocks: Reflector<AddressBlock>;
  readonly networks: Reflector<SplitNetwork>;

  constructor(options: WorldOptions) {
    const watch = <T extends KubeObject>(
      resource: Resource<T>,
      indexes: Indexes<T>,
      more: Pick<ReflectorOptions<T, T>, 'labelSelector' | 'packed'> = {},
    ) =>
      new Reflector<T>({
        client: options.client,
        resource,
        indexes,
        ...more,
        clock: options.clock,
        log: options.log.child({ resource: resource.plural }),
        ...(options.hooks === undefined ? {} : { hooks: options.hooks(resource.plural) }),
      });
    this.pods = watch(
      resources.pods,
      {
        split: (pod) => one(readPod(pod), splitKey),
        workload: workloadIndex,
        namespace: (pod) => one(pod.metadata.namespace, (namespace) => namespace),
        node: (pod) => (readPod(pod)?.role === 'primary' ? one(pod.spec?.nodeName, (node) => node) : []),
        pieces: (pod) => one(ofRole(pod, 'primary', 'sibling'), splitKey),
        isolated: (pod) => one(ofRole(pod, 'isolated'), splitKey),
        gated: (pod) => one(ofRole(pod, 'primary'), splitKey).filter(() => isGated({ raw: pod })),
      },
      { labelSelector: ownLabels.role, packed: true },
    );
    this.nads = watch(
      resources.networkAttachmentDefinitions,
      { workload: workloadIndex },
      { labelSelector: `${ownLabels.managedBy}=podsplit` },
    );
    this.networkPolicies = watch(resources.networkPolicies, {
      workload: workloadIndex,
      namespace: (policy) => one(policy.metadata.namespace, (namespace) => namespace),
      ...policyIndexes,
    });
    this.budgets = watch(resources.podDisruptionBudgets, budgetIndexes);
    this.containerPolicies = watch(resources.containerNetworkPolicies, {
      namespace: (policy) => one(policy.metadata.namespace, (namespace) => namespace),
    });
    this.clusterDirectory = new ClusterDirectory(options);
    this.containerPolicies.onChange(() => {
      this.clusterDirectory.start();
    });
    this.podSplits = watch(
      resources.podSplits,
      {
        split: (split) => [`${split.metadata.namespace ?? ''}/${splitId(split.spec.pod.uid)}`],
        phase: (split) => [split.status?.phase ?? 'Pending'],
      },
      { packed: true },
    );
    this.blocks = watch(resources.addressBlocks, {
      split: (block) => claimKeys(block),
      network: (block) => [block.spec.network],
    });
    this.networks = watch(resources.splitNetworks, {});
  }

  get all(): readonly Watching[] {
    return [...this.own, ...this.clusterDirectory.watching];
  }

  private get own(): readonly Watching[] {
    return [
      this.pods,
      this.nads,
      this.networkPolicies,
      this.budgets,
      this.containerPolicies,
      this.podSplits,
      this.blocks,
      this.networks,
    ];
  }

  async start(): Promise<void> {
    for (const reflector of this.own) reflector.start();
    // Without Multus there are no NADs to watch, and that must be said on the Pods that wait for it.
    await Promise.all(
      this.own.filter((reflector) => reflector !== this.nads).map((reflector) => reflector.whenSynced()),
    );
  }

  async stop(): Promise<void> {
    await Promise.all([...this.own.map((reflector) => reflector.stop()), this.clusterDirectory.stop()]);
  }

  policiesOf(namespace: string): readonly ContainerNetworkPolicy[] {
    return this.containerPolicies.store
      .byIndex('namespace', namespace)
      .toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  }

  /** Undefined as long as it is not known, or nobody needs it. */
  directory(): Directory | undefined {
    return this.clusterDirectory.directory();
  }

  /** What policies' selectors find may have changed. */
  onDirectoryChange(handler: () => void): void {
    this.clusterDirectory.onChange(handler);
  }

  piecesOf(key: SplitKey): { readonly primary: LivePod | undefined; readonly siblings: readonly LivePod[] } {
    const pods = this.pods.store
      .byIndex('split', key)
      .map(readPod)
      .filter((pod) => pod !== undefined);
    return {
      primary: pods.find((pod) => pod.role === 'primary'),
      siblings: pods.filter((pod) => pod.role === 'sibling').sort((a, b) => (a.container < b.container ? -1 : 1)),
    };
  }

  /** The split Pods that have their primary there. */
  splitsOn(node: string): readonly { readonly primary: LivePod; readonly siblings: readonly LivePod[] }[] {
    return this.pods.store.byIndex('node', node).flatMap((pod) => {
      const read = readPod(pod);
      return read === undefined ? [] : [{ primary: read, siblings: this.piecesOf(splitKey(read)).siblings }];
    });
  }

  isolatedOf(key: SplitKey): LivePod | undefined {
    return this.pods.store
      .byIndex('split', key)
      .map(readPod)
      .filter((pod) => pod !== undefined)
      .find((pod) => pod.role === 'isolated');
  }

  /** The live primaries of a workload, gated ones that have no label yet left out. */
  primariesOf(key: WorkloadKey): readonly LivePod[] {
    return this.pods.store
      .byIndex('workload', key)
      .map(readPod)
      .filter((pod) => pod !== undefined)
      .filter((pod) => pod.role === 'primary');
  }

  blockOf(key: SplitKey): AddressBlock | undefined {
    return this.blocks.store.byIndex('split', key)[0];
  }
}

/** Of each claim in a block. */
export function claimKeys(block: AddressBlock): readonly SplitKey[] {
  return block.spec.claims.map(({ pod }) => claimKey(block, pod));
}

export function claimKey({ spec }: AddressBlock, { uid }: { readonly uid: string }): SplitKey {
  return `${spec.workload.namespace}/${splitId(uid)}`;
}

export function workloadIndex(object: KubeObject): readonly WorkloadKey[] {
  const key = object.metadata.labels?.[ownLabels.workload];
  return key === undefined ? [] : [`${object.metadata.namespace ?? ''}/${key}`];
}

function one<T>(value: T | undefined, show: (value: T) => string): readonly string[] {
  return value === undefined ? [] : [show(value)];
}

function ofRole(pod: Pod, ...roles: readonly LivePod['role'][]): LivePod | undefined {
  const read = readPod(pod);
  return read !== undefined && roles.includes(read.role) ? read : undefined;
}

/** Users' by namespace: of podsplit's each workload has one. */
export const budgetIndexes = {
  workload: workloadIndex,
  users: (budget) => (isOwnBudget(budget) ? [] : one(budget.metadata.namespace, (namespace) => namespace)),
} satisfies Indexes<PodDisruptionBudget>;
