import type { Flow } from '../api/flow.ts';
import { splitSubject } from '../policies/subject.ts';
import { policed, policedWiring } from './policy-book.ts';
import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import { isIsolateNad, nadName, workloadKey, type WorkloadRef } from '../api/identity.ts';
import { installModes } from '../api/install.ts';
import { ownLabels } from '../api/names.ts';
import type { SplitNetwork } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import { isApiError } from '../kube/errors.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { KubeObject } from '../kube/resources.ts';
import { resources } from '../kube/resources.ts';
import { done, type Outcome } from '../kube/worker.ts';
import type { Logger } from '../observability/log.ts';
import { carriedFlows, pieceMultiNetworkPolicies } from '../policies/multi-network-policy.ts';
import { pieceNetworkPolicies } from '../policies/network-policy.ts';
import { servedBySiblings } from '../split/ingress-via.ts';
import type { Plan, SplitOptions } from '../split/plan.ts';
import { youngFor } from './age.ts';
import { planOf } from './plan-of.ts';
import { installOf, readPod, type LivePod } from './piece-pod.ts';
import { remembersFor } from './moves.ts';
import { deleteIfThere, replaceSet } from './replace-set.ts';
import { SiblingBudgets } from './sibling-budgets.ts';
import { poolRanges, type Obstacle } from './wire.ts';
import { installsOf, WorkloadNads, type WorkloadState } from './workload-nads.ts';
import { ownerReference } from './workload-of.ts';
import type { WorkloadKey, World } from './world.ts';

export interface WorkloadObjectsDependencies {
  readonly client: KubeClient;
  readonly world: World;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly log: Logger;
  readonly options: SplitOptions;
}

/** Whether the MultiNetworkPolicy CRD is there is asked again this often. */
const discoveryMs = 60_000;
/** A workload without split Pods keeps its network for a moment: the next Pod of a rollout is often on its way. */
const lingerMs = 10_000;

/**
 * What all split Pods of one workload share: the NAD, NetworkPolicies, MultiNetworkPolicies, the siblings' budget. Desired
 * state is computed from the Pods that are there, the difference is applied, and everything goes when the last split Pod is
 * gone.
 */
export class WorkloadObjects {
  private readonly deps: WorkloadObjectsDependencies;
  private readonly nads: WorkloadNads;
  private readonly budgets: SiblingBudgets;
  /**
   * When a Pod of it was last about to be wired, monotonic. The Pod itself names its workload only when that is done: until
   * then neither the caches nor the API server know whom these objects are for.
   */
  private readonly ensuredAt = new Map<WorkloadKey, number>();
  private multiNetworkPolicies: { readonly at: number; readonly installed: boolean } | undefined;

  constructor(deps: WorkloadObjectsDependencies) {
    this.deps = deps;
    this.nads = new WorkloadNads(deps);
    this.budgets = new SiblingBudgets(deps);
  }

  /** Before a Pod is wired: its network is there. Multus reads the NAD at the sandbox's start and knows no waiting. */
  async ensure(workload: WorkloadRef, network: SplitNetwork, plan: Plan, pod: LivePod): Promise<Obstacle | undefined> {
    const key = `${workload.namespace}/${workloadKey(workload)}`;
    this.ensuredAt.set(key, this.deps.clock.monotonic());
    const others = this.plansOf(key);
    const state: WorkloadState = {
      workload,
      network,
      plans: [plan, ...others.map((other) => other.plan)],
      labels: [pod.labels, ...others.map((other) => other.pod.labels)],
    };
    try {
      await this.nads.make(state);
      await this.applyOthers(state, [{ pod, plan }, ...others]);
      return undefined;
    } catch (error) {
      if (!isApiError(error, 'NotFound', 'MethodNotAllowed')) throw error;
      return {
        reason: 'MultusMissing',
        message: `NetworkAttachmentDefinitions cannot be made (${error.message}). Install Multus CNI with its CRD; the Pod goes on then.`,
        retryMs: 10_000,
      };
    }
  }

  async reconcile(key: WorkloadKey): Promise<Outcome> {
    const pods = this.plansOf(key);
    const [first] = pods;
    if (first === undefined) {
      this.nads.forget(key);
      return this.collect(key);
    }
    // Somebody may have deleted the PodSplit of one.
    const workload = pods.map(({ pod }) => this.workloadOf(pod)).find((found) => found !== undefined);
    const network = this.deps.world.networks.store.get(first.plan.network);
    if (workload === undefined || network === undefined) return done;
    const plans = pods.map((pod) => pod.plan);
    const labels = pods.map((pod) => pod.pod.labels);
    const state: WorkloadState = { workload, network, plans, labels };
    const primaries = pods.map(({ pod }) => pod);
    const wait = await this.nads.keep(key, state, primaries);
    await this.applyOthers(state, pods);
    const outcome = await this.collectOtherNads(key, workload, plans);
    return wait > 0 ? { kind: 'requeue', afterMs: wait } : outcome;
  }

  private plansOf(key: WorkloadKey): readonly PlannedPod[] {
    return this.deps.world.primariesOf(key).flatMap((pod) => {
      const plan = planOf(pod, this.deps.options);
      return plan === undefined ? [] : [{ pod, plan }];
    });
  }

  /** What its pieces are told. As long as nobody knows what policies make of it: what holds without them. */
  private flowsOf({ pod, plan }: PlannedPod): readonly Flow[] {
    const { flows, via } = policedWiring(plan, policed(splitSubject(pod.raw, plan), this.deps.world));
    return [...flows, ...carriedFlows(via)];
  }

  private workloadOf(pod: LivePod): WorkloadRef | undefined {
    const found = this.deps.world.podSplits.store.byIndex('split', `${pod.namespace}/${pod.split}`)[0];
    return found === undefined ? undefined : { ...found.spec.workload, namespace: pod.namespace };
  }

  private async applyOthers(state: WorkloadState, pods: readonly PlannedPod[]): Promise<void> {
    await this.applyPolicies(state);
    await this.budgets.apply(state.workload);
    if (await this.hasMultiNetworkPolicies()) await this.applyMultiPolicies(state, pods);
  }

  private async applyPolicies({ workload, plans, labels }: WorkloadState): Promise<void> {
    const { world } = this.deps;
    const { namespace } = workload;
    const wanted = pieceNetworkPolicies({
      workload,
      siblings: unique(plans.flatMap((plan) => plan.siblings.map((piece) => piece.name))),
      labels,
      userPolicies: world.networkPolicies.store.byIndex('namespace', namespace),
      owner: ownerReference(workload),
    });
    const actual = world.networkPolicies.store.byIndex('workload', `${namespace}/${workloadKey(workload)}`);
    await replaceSet(this.deps.client, resources.networkPolicies, namespace, wanted.map(stored), actual);
  }

  private async applyMultiPolicies(
    { workload, plans, network }: WorkloadState,
    pods: readonly PlannedPod[],
  ): Promise<void> {
    const { namespace } = workload;
    const labelSelector = `${ownLabels.workload}=${workloadKey(workload)},${ownLabels.managedBy}=podsplit`;
    const wanted = pieceMultiNetworkPolicies({
      workload,
      containers: unique(plans.flatMap((plan) => [plan.primary, ...plan.siblings].map((piece) => piece.name))),
      flows: uniqueBy(pods.flatMap((pod) => this.flowsOf(pod))),
      facade: uniqueBy(plans.flatMap(servedBySiblings)),
      pool: poolRanges(network),
      observe: plans.some((plan) => plan.observe === true),
      owner: ownerReference(workload),
    });
    const { items } = await this.deps.client.list(resources.multiNetworkPolicies, { namespace, labelSelector });
    await replaceSet(this.deps.client, resources.multiNetworkPolicies, namespace, wanted, items);
  }

  /**
   * During a rollout from one install mode to the other both NADs are there; the old one goes with its last Pod. Its Pods
   * that are gone from the caches' view may be there still, and one may be being wired: the API server is asked first.
   */
  private async collectOtherNads(key: WorkloadKey, workload: WorkloadRef, plans: readonly Plan[]): Promise<Outcome> {
    const { client, world } = this.deps;
    const unused = installModes.filter((install) => !installsOf(plans).includes(install));
    const names = unused.map((install) => nadName(workload, install));
    const nads = world.nads.store.byIndex('workload', key).filter((nad) => names.includes(nad.metadata.name));
    if (nads.length === 0) return done;
    const wait = this.lingers(key, nads);
    if (wait > 0) return { kind: 'requeue', afterMs: wait };
    const { namespace } = workload;
    const labelSelector = `${ownLabels.workload}=${workloadKey(workload)}`;
    const { items } = await client.list(resources.pods, { namespace, labelSelector });
    const pods = items.map(readPod).filter((pod) => pod !== undefined);
    if (pods.some((pod) => unused.includes(installOf(pod)))) return { kind: 'requeue', afterMs: 30_000 };
    for (const nad of nads) await deleteIfThere(client, resources.networkAttachmentDefinitions, nad);
    return done;
  }

  /** The last split Pod is gone, or it only seems so: nothing is deleted before the API server was asked. */
  private async collect(key: WorkloadKey): Promise<Outcome> {
    const { client, world } = this.deps;
    const [namespace = '', hash = ''] = key.split('/');
    // That of isolated Pods lives as long as those: see isolate-nads.ts.
    const nads = world.nads.store.byIndex('workload', key).filter((nad) => !isIsolateNad(nad.metadata.name));
    const policies = world.networkPolicies.store.byIndex('workload', key);
    const budgets = world.budgets.store.byIndex('workload', key);
    if (nads.length === 0 && policies.length === 0 && budgets.length === 0) return done;
    const wait = this.lingers(key, [...nads, ...policies, ...budgets]);
    if (wait > 0) return { kind: 'requeue', afterMs: wait };
    const labelSelector = `${ownLabels.workload}=${hash}`;
    const { items } = await client.list(resources.pods, { namespace, labelSelector });
    // The end of the last of them brings the key back; this is for what no event tells.
    if (items.some((pod) => readPod(pod)?.role !== 'isolated')) return { kind: 'requeue', afterMs: 30_000 };
    this.ensuredAt.delete(key);
    for (const nad of nads) await deleteIfThere(client, resources.networkAttachmentDefinitions, nad);
    for (const policy of policies) await deleteIfThere(client, resources.networkPolicies, policy);
    await this.budgets.collect(key);
    if (await this.hasMultiNetworkPolicies()) {
      const multi = await client.list(resources.multiNetworkPolicies, { namespace, labelSelector });
      for (const policy of multi.items) await deleteIfThere(client, resources.multiNetworkPolicies, policy);
    }
    return done;
  }

  /** Milliseconds until none of them is young or remembers Pods that were moved, and no Pod was wired a moment ago. */
  private lingers(key: WorkloadKey, objects: readonly KubeObject[]): number {
    const { clock } = this.deps;
    const now = clock.now();
    const ensured = this.ensuredAt.get(key);
    return Math.max(
      0,
      ensured === undefined ? 0 : ensured + lingerMs - clock.monotonic(),
      ...objects.map((object) => youngFor(object, lingerMs, now)),
      ...objects.map((object) => remembersFor(object, now)),
    );
  }

  private async hasMultiNetworkPolicies(): Promise<boolean> {
    const { client, clock } = this.deps;
    const now = clock.monotonic();
    if (this.multiNetworkPolicies === undefined || now - this.multiNetworkPolicies.at > discoveryMs) {
      this.multiNetworkPolicies = { at: now, installed: await serves(client, '/apis/k8s.cni.cncf.io/v1beta1') };
    }
    return this.multiNetworkPolicies.installed;
  }
}

interface PlannedPod {
  readonly pod: LivePod;
  readonly plan: Plan;
}

async function serves(client: KubeClient, path: string): Promise<boolean> {
  try {
    const { body } = await client.raw({ method: 'GET', path });
    return body.includes('"multi-networkpolicies"');
  } catch (error) {
    if (isApiError(error, 'NotFound')) return false;
    throw error;
  }
}

function stored(policy: INetworkPolicy) {
  const { name = '', ...rest } = policy.metadata ?? {};
  return { ...policy, metadata: { name, ...rest } };
}

function unique(names: readonly string[]): readonly string[] {
  return [...new Set(names)].sort();
}

function uniqueBy<T>(values: readonly T[]): readonly T[] {
  return [...new Map(values.map((value) => [JSON.stringify(value), value])).values()];
}
