import { workloadKey, type WorkloadRef } from '../api/identity.ts';
import { installModes, type InstallMode } from '../api/install.ts';
import type { SplitNetwork } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import { isApiError } from '../kube/errors.ts';
import type { EventRecorder } from '../kube/events.ts';
import { resources, type KubeObject, type NetworkAttachmentDefinition } from '../kube/resources.ts';
import {
  nadDifferences,
  networkAttachmentDefinition,
  type NetworkAttachmentDefinition as GeneratedNad,
} from '../policies/nad.ts';
import type { Plan } from '../split/plan.ts';
import { createOrFind } from './create-or-find.ts';
import { MissingSince } from './missing-since.ts';
import { isDeleting, type LivePod } from './piece-pod.ts';
import { ownerReference, workloadOf } from './workload-of.ts';
import type { WorkloadKey, World } from './world.ts';

export interface WorkloadNadsDependencies {
  readonly client: Pick<KubeClient, 'get' | 'create' | 'patch'>;
  /** The watch cache. */
  readonly world: { readonly nads: { readonly store: Pick<World['nads']['store'], 'get'> } };
  readonly events: Pick<EventRecorder, 'event'>;
  readonly clock: Pick<Clock, 'monotonic'>;
}

export interface WorkloadState {
  readonly workload: WorkloadRef;
  readonly network: SplitNetwork;
  readonly plans: readonly Plan[];
  /** Label sets of the primaries: one, or several during a rollout. */
  readonly labels: readonly Readonly<Record<string, string>>[];
}

/** The networks of workloads: one for each install mode that a workload's Pods have. */
export class WorkloadNads {
  private readonly deps: WorkloadNadsDependencies;
  private readonly missingSince: MissingSince;

  constructor(deps: WorkloadNadsDependencies) {
    this.deps = deps;
    this.missingSince = new MissingSince(deps.clock);
  }

  /** For a Pod that is to be wired: whatever is not there is made. */
  async make(state: WorkloadState): Promise<void> {
    for (const wanted of wantedNads(state)) {
      const actual = await this.unlessAsWanted(wanted);
      if (actual === 'missing') await createOrFind(this.deps.client, resources.networkAttachmentDefinitions, wanted);
      else if (actual !== 'as-wanted') await this.setRight(state.workload, actual, wanted);
    }
  }

  /** Of a workload that has no split Pods. */
  forget(key: WorkloadKey): void {
    this.missingSince.forget(key);
  }

  /**
   * Of Pods that were wired all of it was there: somebody deleted or changed what is not as it should be, or the workload is
   * going. Returns after how many ms that is to be looked at again, 0 if it is settled.
   */
  async keep(key: WorkloadKey, state: WorkloadState, pods: readonly LivePod[]): Promise<number> {
    const { client } = this.deps;
    const { workload } = state;
    const found = await Promise.all(
      wantedNads(state).map(async (wanted) => ({ wanted, actual: await this.unlessAsWanted(wanted) })),
    );
    const wrong = found.filter(({ actual }) => actual !== 'as-wanted');
    const missing = wrong.some(({ actual }) => actual === 'missing');
    const wait = this.missingSince.wait(key, missing);
    if (wrong.length === 0 || (await this.isGoing(workload, pods))) return 0;
    for (const { wanted, actual } of wrong) {
      if (actual !== 'missing') {
        if (actual !== 'as-wanted') await this.setRight(workload, actual, wanted);
      } else if (wait === 0) {
        const made = await createOrFind(client, resources.networkAttachmentDefinitions, wanted);
        if (made !== undefined) this.sayRepaired(workload, made, 'It had been deleted and is made again.');
      }
    }
    return wait;
  }

  /** Its Pods are ending, or what they belong to is another thing now: a ReplicaSet without a Deployment, for example. */
  private async isGoing(workload: WorkloadRef, pods: readonly LivePod[]): Promise<boolean> {
    const living = pods.find((pod) => !isDeleting(pod));
    if (living === undefined) return true;
    return workloadKey(await workloadOf(this.deps.client, living)) !== workloadKey(workload);
  }

  /** What the cache says is enough where all is well; else the API server is asked. */
  private async unlessAsWanted(wanted: GeneratedNad): Promise<NetworkAttachmentDefinition | 'missing' | 'as-wanted'> {
    const { namespace = '', name } = wanted.metadata;
    const cached = this.deps.world.nads.store.get(`${namespace}/${name}`);
    if (cached !== undefined && nadDifferences(cached, wanted).length === 0) return 'as-wanted';
    try {
      const actual = await this.deps.client.get(resources.networkAttachmentDefinitions, { namespace, name });
      return nadDifferences(actual, wanted).length === 0 ? 'as-wanted' : actual;
    } catch (error) {
      // Of a CRD that is missing the create will tell.
      if (isApiError(error, 'NotFound')) return 'missing';
      throw error;
    }
  }

  private async setRight(
    workload: WorkloadRef,
    actual: NetworkAttachmentDefinition,
    wanted: GeneratedNad,
  ): Promise<void> {
    const differences = nadDifferences(actual, wanted);
    const { namespace, name, labels, ownerReferences } = wanted.metadata;
    const body = { metadata: { labels, ownerReferences }, spec: wanted.spec };
    await this.deps.client.patch(resources.networkAttachmentDefinitions, { namespace, name }, { type: 'merge', body });
    const verbs = differences.length === 1 ? 'is' : 'are';
    this.sayRepaired(workload, actual, `${differences.join(', ')} had been changed and ${verbs} set right again.`);
  }

  private sayRepaired(workload: WorkloadRef, nad: KubeObject, what: string): void {
    const { apiVersion, kind } = resources.networkAttachmentDefinitions;
    const { namespace } = workload;
    this.deps.events.event(
      { apiVersion, kind, namespace, name: nad.metadata.name, uid: nad.metadata.uid },
      'Warning',
      'NetworkRepaired',
      `${what} podsplit generates this network; delete the annotation podsplit.io/mode of ${workload.kind} ${workload.name} to be rid of it.`,
    );
  }
}

function wantedNads({ workload, network, plans }: WorkloadState): readonly GeneratedNad[] {
  return installsOf(plans).map((install) =>
    networkAttachmentDefinition({
      workload,
      install,
      network: { name: network.metadata.name, spec: network.spec },
      owner: ownerReference(workload),
    }),
  );
}

export function installsOf(plans: readonly Plan[]): readonly InstallMode[] {
  return installModes.filter((install) => plans.some((plan) => plan.install === install));
}
