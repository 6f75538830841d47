import { isIsolateNad, workloadKey, type WorkloadRef } from '../api/identity.ts';
import { ownLabels } from '../api/names.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import { isApiError } from '../kube/errors.ts';
import type { EventRecorder } from '../kube/events.ts';
import { resources } from '../kube/resources.ts';
import { done, type Outcome } from '../kube/worker.ts';
import { isolateNad } from '../policies/isolate-nad.ts';
import { nadDifferences } from '../policies/nad.ts';
import { youngFor } from './age.ts';
import { createOrFind } from './create-or-find.ts';
import { MissingSince } from './missing-since.ts';
import { isDeleting, readPod, type LivePod } from './piece-pod.ts';
import type { Obstacle } from './wire.ts';
import { ownerReference } from './workload-of.ts';
import type { WorkloadKey, World } from './world.ts';

export interface IsolateNadsDependencies {
  readonly client: KubeClient;
  readonly world: World;
  readonly events: Pick<EventRecorder, 'event'>;
  readonly clock: Clock;
}

/** The next Pod of a rollout is often on its way. */
const lingerMs = 10_000;

/** The networks of workloads that have isolated Pods: made before the first of them starts, gone after the last. */
export class IsolateNads {
  private readonly deps: IsolateNadsDependencies;
  private readonly missingSince: MissingSince;

  constructor(deps: IsolateNadsDependencies) {
    this.deps = deps;
    this.missingSince = new MissingSince(deps.clock);
  }

  /** Multus reads the NAD at the sandbox's start and knows no waiting. */
  async ensure(workload: WorkloadRef): Promise<Obstacle | undefined> {
    const { client, world } = this.deps;
    const wanted = isolateNad(workload, ownerReference(workload));
    const { namespace = '', name } = wanted.metadata;
    try {
      const cached = world.nads.store.get(`${namespace}/${name}`);
      if (cached !== undefined && nadDifferences(cached, wanted).length === 0) return undefined;
      if ((await createOrFind(client, resources.networkAttachmentDefinitions, wanted)) !== undefined) return undefined;
      const actual = await client.get(resources.networkAttachmentDefinitions, { namespace, name });
      const differences = nadDifferences(actual, wanted);
      if (differences.length === 0) return undefined;
      const { labels, ownerReferences } = wanted.metadata;
      const body = { metadata: { labels, ownerReferences }, spec: wanted.spec };
      await client.patch(resources.networkAttachmentDefinitions, { namespace, name }, { type: 'merge', body });
      this.sayRepaired(workload, { name, uid: actual.metadata.uid }, differences);
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

  /** Keeps the NAD as it should be while Pods need it, and deletes it when none does. */
  async reconcile(key: WorkloadKey): Promise<Outcome> {
    const { client, world, clock } = this.deps;
    const living = this.isolatedOf(key).find((pod) => !isDeleting(pod));
    const workload = living === undefined ? undefined : this.workloadOf(living);
    const nad = world.nads.store.byIndex('workload', key).find(({ metadata }) => isIsolateNad(metadata.name));
    const wait = this.missingSince.wait(key, workload !== undefined && nad === undefined);
    if (workload !== undefined) {
      if (wait > 0) return { kind: 'requeue', afterMs: wait };
      await this.ensure(workload);
      return done;
    }
    if (nad === undefined) return done;
    const young = youngFor(nad, lingerMs, clock.now());
    if (young > 0) return { kind: 'requeue', afterMs: young };
    const [namespace = '', hash = ''] = key.split('/');
    const { items } = await client.list(resources.pods, { namespace, labelSelector: `${ownLabels.workload}=${hash}` });
    if (items.some((pod) => readPod(pod)?.role === 'isolated')) return { kind: 'requeue', afterMs: 30_000 };
    try {
      const { name, uid } = nad.metadata;
      const preconditions = uid === undefined ? {} : { preconditions: { uid } };
      await client.delete(resources.networkAttachmentDefinitions, { namespace, name }, preconditions);
    } catch (error) {
      if (!isApiError(error, 'NotFound', 'Conflict')) throw error;
    }
    return done;
  }

  private isolatedOf(key: WorkloadKey): readonly LivePod[] {
    return this.deps.world.pods.store
      .byIndex('workload', key)
      .map(readPod)
      .filter((pod) => pod !== undefined)
      .filter((pod) => pod.role === 'isolated');
  }

  private workloadOf(pod: LivePod): WorkloadRef | undefined {
    const found = this.deps.world.podSplits.store.byIndex('split', `${pod.namespace}/${pod.split}`)[0];
    return found === undefined ? undefined : { ...found.spec.workload, namespace: pod.namespace };
  }

  private sayRepaired(
    workload: WorkloadRef,
    nad: { readonly name: string; readonly uid: string | undefined },
    differences: readonly string[],
  ): void {
    const { apiVersion, kind } = resources.networkAttachmentDefinitions;
    const { name, uid } = nad;
    this.deps.events.event(
      { apiVersion, kind, namespace: workload.namespace, name, ...(uid === undefined ? {} : { uid }) },
      'Warning',
      'NetworkRepaired',
      `${differences.join(', ')} had been changed and set right again: ${workloadKey(workload)}.`,
    );
  }
}
