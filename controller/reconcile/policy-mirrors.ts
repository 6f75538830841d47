import { mirrorOfAnnotation } from '../api/names.ts';
import { sameJson } from '../api/same-json.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import { isApiError } from '../kube/errors.ts';
import type { EventRecorder } from '../kube/events.ts';
import { resources, type NetworkPolicy } from '../kube/resources.ts';
import { objectKey } from '../kube/store.ts';
import { done, type Outcome } from '../kube/worker.ts';
import type { Logger } from '../observability/log.ts';
import { inexactFor, inexactnesses } from '../policies/inexact.ts';
import { findsAsPeer, peerMirror } from '../policies/peer-mirror.ts';
import { isOwn, type SplitPodLabels } from '../policies/pieces-found.ts';
import { createOrFind } from './create-or-find.ts';
import { readPod, type LivePod } from './piece-pod.ts';
import { policiesAbout } from './policy-indexes.ts';
import type { World } from './world.ts';

export interface PolicyMirrorsDependencies {
  readonly client: Pick<KubeClient, 'create' | 'patch' | 'delete'>;
  readonly world: {
    readonly pods: { readonly store: Pick<World['pods']['store'], 'list'> };
    readonly networkPolicies: { readonly store: Pick<World['networkPolicies']['store'], 'get' | 'byIndex'> };
  };
  readonly events: Pick<EventRecorder, 'event'>;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly log: Logger;
}

/** The next Pod of a rollout is often on its way: a mirror that finds nobody stays this long. */
const lingerMs = 10_000;
const maxPodsNamed = 3;

/**
 * Mirrors of users' policies, in whatever namespace, that let in split Pods: beside each such policy one for their siblings.
 * The queue's key is the original's.
 */
export class PolicyMirrors {
  private readonly deps: PolicyMirrorsDependencies;
  /** Originals whose mirror finds nobody: since when, in monotonic ms. */
  private readonly idleSince = new Map<string, number>();
  /** What was said last of originals that cannot be mirrored exactly. */
  private readonly said = new Map<string, string>();

  constructor(deps: PolicyMirrorsDependencies) {
    this.deps = deps;
  }

  /**
   * Before any piece of the Pod may start, so that a client's sibling is let in from its first packet as its Pod would be.
   * Where the namespace of the other party refuses (a quota, for example) the Pod starts all the same: less is open then.
   */
  async ensure(pod: LivePod): Promise<void> {
    for (const policy of this.finding(pod)) {
      try {
        await this.apply(policy);
      } catch (error) {
        if (!isApiError(error, 'Forbidden', 'Invalid', 'NotFound', 'Conflict')) throw error;
        this.sayRefused(policy, error.message);
      }
    }
  }

  /** Originals that a Pod which came, changed or went concerns: `gone` ones may be the last that a mirror was for. */
  keysFor(pod: LivePod, gone: boolean): readonly string[] {
    return this.finding(pod)
      .map(objectKey)
      .filter((key) => gone || this.mirrorsOf(key).length === 0);
  }

  async reconcile(key: string): Promise<Outcome> {
    const policy = this.deps.world.networkPolicies.store.get(key);
    if (policy === undefined || policy.metadata.deletionTimestamp !== undefined || isOwn(policy)) {
      this.idleSince.delete(key);
      this.said.delete(key);
      await this.collect(key);
      return done;
    }
    const pods = this.primaries();
    this.sayInexact(key, policy, pods);
    if (pods.some((pod) => findsAsPeer(policy, pod))) {
      this.idleSince.delete(key);
      await this.apply(policy);
      return done;
    }
    if (this.mirrorsOf(key).length === 0) return done;
    const wait = this.idle(key);
    // The labels of peers may be others than they were: what is stale must not linger.
    if (wait > 0 && this.isAsWanted(policy)) return { kind: 'requeue', afterMs: wait };
    await this.collect(key);
    return done;
  }

  private finding(pod: LivePod): readonly NetworkPolicy[] {
    const { store } = this.deps.world.networkPolicies;
    return policiesAbout(store, 'peers', pod.namespace).filter((policy) => findsAsPeer(policy, pod));
  }

  private primaries(): readonly LivePod[] {
    return this.deps.world.pods.store
      .list()
      .map(readPod)
      .filter((pod) => pod !== undefined)
      .filter((pod) => pod.role === 'primary');
  }

  private mirrorsOf(key: string): readonly NetworkPolicy[] {
    return this.deps.world.networkPolicies.store.byIndex('mirrorOf', key);
  }

  private idle(key: string): number {
    const now = this.deps.clock.monotonic();
    const since = this.idleSince.get(key) ?? now;
    this.idleSince.set(key, since);
    return Math.max(0, since + lingerMs - now);
  }

  private isAsWanted(policy: NetworkPolicy): boolean {
    const wanted = peerMirror(policy);
    const found = this.mirrorsOf(objectKey(policy));
    return found.length === 1 && found[0] !== undefined && wanted !== undefined && isAsWanted(found[0], wanted);
  }

  private async apply(policy: NetworkPolicy): Promise<void> {
    const key = objectKey(policy);
    const wanted = peerMirror(policy);
    const { name = '', namespace } = wanted?.metadata ?? {};
    await this.collect(key, name);
    if (wanted === undefined) return;
    const found = this.mirrorsOf(key).find(({ metadata }) => metadata.name === name);
    if (found === undefined) {
      const metadata = { ...wanted.metadata, name };
      await createOrFind(this.deps.client, resources.networkPolicies, { ...wanted, metadata });
    } else if (!isAsWanted(found, wanted)) {
      // `spec` is replaced whole: a merge would keep rules that are gone.
      const annotations = { ...found.metadata.annotations, ...wanted.metadata?.annotations };
      await this.deps.client.patch(
        resources.networkPolicies,
        { namespace, name },
        {
          type: 'json',
          body: [
            { op: 'replace', path: '/spec', value: wanted.spec },
            { op: 'add', path: '/metadata/annotations', value: annotations },
          ],
        },
      );
    }
  }

  /** At once with the original: a mirror alone would keep Pods isolated that nothing isolates any more. */
  private async collect(key: string, except?: string): Promise<void> {
    for (const { metadata } of this.mirrorsOf(key)) {
      const { namespace, name, uid } = metadata;
      if (name === except) continue;
      const preconditions = uid === undefined ? {} : { preconditions: { uid } };
      try {
        await this.deps.client.delete(resources.networkPolicies, { namespace, name }, preconditions);
      } catch (error) {
        if (!isApiError(error, 'NotFound', 'Conflict')) throw error;
      }
    }
  }

  private sayInexact(key: string, policy: NetworkPolicy, pods: readonly LivePod[]): void {
    const found = pods.filter((pod) => inexactFor(policy, pod).length > 0);
    const [first] = found;
    const kinds = first === undefined ? [] : inexactFor(policy, first);
    const message = kinds.map((kind) => `It ${inexactnesses[kind]}.`).join(' ');
    if (this.said.get(key) === message) return;
    this.said.set(key, message);
    if (message === '') return;
    const names = found.slice(0, maxPodsNamed).map(({ namespace, name }) => `${namespace}/${name}`);
    const more = found.length > names.length ? ` and ${found.length - names.length} more` : '';
    this.say(policy, 'NotMirroredExactly', `${message} ${whatToDo} Pods: ${names.join(', ')}${more}.`);
  }

  private sayRefused(policy: NetworkPolicy, why: string): void {
    this.deps.log.warn({ policy: objectKey(policy), why }, 'a policy could not be mirrored');
    this.say(policy, 'NotMirrored', `Siblings of split Pods are not let in where their Pods are: ${why}`);
  }

  private say(policy: NetworkPolicy, reason: string, message: string): void {
    const { apiVersion, kind } = resources.networkPolicies;
    const { namespace, name, uid } = policy.metadata;
    this.deps.events.event({ apiVersion, kind, namespace, name, uid }, 'Warning', reason, message);
  }
}

/** Siblings have no labels but podsplit's: that is why a selector by absence finds them. */
const whatToDo =
  'Select by labels that are there (matchLabels, In, Exists), or add podsplit.io/role NotIn (sibling): siblings get a mirror then.';

/** What the PodSplit says: a sentence for each policy that means other things for siblings of the Pod. */
export function inexactPolicies(
  store: Pick<World['networkPolicies']['store'], 'byIndex'>,
  pod: SplitPodLabels,
): readonly string[] {
  return policiesAbout(store, 'inexact', pod.namespace)
    .flatMap((policy) =>
      inexactFor(policy, pod).map((kind) => `NetworkPolicy ${objectKey(policy)} ${inexactnesses[kind]}.`),
    )
    .sort();
}

/** Annotations and labels that others added are theirs. */
function isAsWanted(
  found: NetworkPolicy,
  wanted: Pick<NetworkPolicy, 'spec'> & { readonly metadata?: object },
): boolean {
  const { annotations = {} } = found.metadata;
  const original = found.metadata.ownerReferences?.find(({ kind }) => kind === 'NetworkPolicy');
  return sameJson(found.spec, wanted.spec) && annotations[mirrorOfAnnotation] === original?.name;
}
