import { timestamp } from '../api/timestamp.ts';
import { formatFlow } from '../api/flow.ts';
import { podSplitName, workloadKey } from '../api/identity.ts';
import { networksAnnotation, ownAnnotations, ownLabels, schedulingGate } from '../api/names.ts';
import { formatRefusal } from '../api/refusal.ts';
import { alreadySays, sameJson } from '../api/same-json.ts';
import { isolate } from '../isolate/isolate.ts';
import type { IsolatePlan } from '../isolate/plan.ts';
import { buildIsolateWiring, withoutPolicies, type IsolatePolicies, type IsolateWiringInput } from '../isolate/wire.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import { isApiError } from '../kube/errors.ts';
import { resources } from '../kube/resources.ts';
import { done, sooner, type Outcome } from '../kube/worker.ts';
import { isolateNetworks } from '../policies/isolate-nad.ts';
import { formatIsolateWiring } from '../rules/isolate-wiring.ts';
import { asAdmitted } from '../split/admitted.ts';
import type { SplitOptions } from '../split/plan.ts';
import { ageSeconds } from './age.ts';
import { dnsUnknown, type ClusterDns } from './cluster-dns.ts';
import { createOrFind } from './create-or-find.ts';
import type { IsolateNads } from './isolate-nads.ts';
import { isolatePodSplit, isolateStatus, type IsolateStatusInput } from './isolate-status.ts';
import { MissingSince } from './missing-since.ts';
import { isDeleting, isEnded, isGated, toldResolvers, wiringText, type LivePod } from './piece-pod.ts';
import type { Reporter } from './reporter.ts';
import type { Obstacle } from './wire.ts';
import { workloadOf } from './workload-of.ts';
import { isolatedSubject } from '../policies/subject.ts';
import { wiringVia } from '../policies/resolve-via.ts';
import { policed, policedVia, type Policed } from './policy-book.ts';
import type { SplitKey, World } from './world.ts';

export interface IsolatedPodDependencies {
  readonly client: KubeClient;
  readonly world: World;
  readonly nads: IsolateNads;
  readonly clusterDns: Pick<ClusterDns, 'resolversOf'>;
  readonly reporter: Pick<Reporter, 'event' | 'warn'>;
  readonly clock: Clock;
  readonly options: SplitOptions;
  /** Seconds from the Pod's creation until it may start. */
  readonly released: (seconds: number) => void;
}

/** Reconciles one isolated Pod: its network is there, its wiring is on it, its gate goes; then the wiring follows its flows. */
export class IsolatedPodReconciler {
  private readonly deps: IsolatedPodDependencies;
  /** What was said of a Pod that stays gated, so that it is said once. */
  private readonly said = new Map<SplitKey, string>();
  private readonly unshown: MissingSince;

  constructor(deps: IsolatedPodDependencies) {
    this.deps = deps;
    this.unshown = new MissingSince(deps.clock);
  }

  async reconcile(key: SplitKey): Promise<Outcome> {
    const pod = this.deps.world.isolatedOf(key);
    if (pod === undefined) {
      this.said.delete(key);
      this.unshown.forget(key);
      return done;
    }
    if (isGated(pod) && !isDeleting(pod)) return this.wire(key, pod);
    const plan = isolate(asAdmitted(pod.raw), this.deps.options);
    // What no longer plans is left as it is.
    if (plan.kind !== 'isolate') {
      await this.status(pod, { observe: false, via: undefined });
      return done;
    }
    const found = this.policed(pod, plan);
    const policies = isolatePolicies(plan, found);
    const resolvers = await this.deps.clusterDns.resolversOf(policies?.via ?? []);
    if (policies !== undefined && !isDeleting(pod) && !isEnded(pod)) await this.rewire(pod, plan, policies, resolvers);
    const via = found.kind === 'pending' ? undefined : policedVia(plan, found);
    await this.status(pod, { observe: isObserved(plan), via });
    const shown = await this.show(key, pod, plan);
    // Where the cluster's DNS is nobody tells when it is known.
    return resolvers === undefined ? sooner(shown, { kind: 'requeue', afterMs: dnsUnknown.retryMs }) : shown;
  }

  /** Somebody deleted what shows the Pod: it is made again. */
  private async show(key: SplitKey, pod: LivePod, plan: IsolatePlan): Promise<Outcome> {
    const missing = !isDeleting(pod) && this.podSplitOf(pod) === undefined;
    const wait = this.unshown.wait(key, missing);
    if (wait > 0) return { kind: 'requeue', afterMs: wait };
    if (!missing) return done;
    const { client } = this.deps;
    await createOrFind(client, resources.podSplits, isolatePodSplit(pod, plan.flows, await workloadOf(client, pod)));
    return done;
  }

  /** Each step finds what an earlier run has done. */
  private async wire(key: SplitKey, pod: LivePod): Promise<Outcome> {
    const { client, nads, options } = this.deps;
    // As it is: what only podsplit writes is not there yet, and who wrote it anyway is refused.
    const plan = isolate(pod.raw, options);
    if (plan.kind !== 'isolate') {
      const message = plan.kind === 'refused' ? plan.refusals.map(formatRefusal).join('\n') : plan.message;
      const reason = plan.kind === 'refused' ? (plan.refusals[0]?.code ?? 'Refused') : plan.code;
      return this.obstacle(key, pod, { reason, message });
    }
    if (plan.assigned.length > 0) {
      const message = 'The Pod is not as admission leaves one of mode isolate: delete it, and create it again.';
      return this.obstacle(key, pod, { reason: 'NotAsAdmitted', message });
    }
    const policies = isolatePolicies(plan, this.policed(pod, plan));
    if (policies === undefined) return { kind: 'requeue', afterMs: 500 };
    const resolvers = await this.deps.clusterDns.resolversOf(policies.via);
    if (resolvers === undefined) return this.obstacle(key, pod, dnsUnknown);
    const workload = await workloadOf(client, pod);
    const missing = await nads.ensure(workload);
    if (missing !== undefined) return this.obstacle(key, pod, missing);
    await createOrFind(client, resources.podSplits, isolatePodSplit(pod, plan.flows, workload));

    const gates = (pod.raw.spec?.schedulingGates ?? []).filter((gate) => gate.name !== schedulingGate);
    const body = {
      // The UID and version make it a compare-and-swap: another Pod of this name is never touched.
      metadata: {
        uid: pod.uid,
        resourceVersion: pod.raw.metadata?.resourceVersion,
        labels: { [ownLabels.split]: pod.split, [ownLabels.workload]: workloadKey(workload) },
        annotations: {
          [networksAnnotation]: isolateNetworks(workload),
          [ownAnnotations.wiring]: wiringOf({ plan, split: pod.split, policies, resolvers }),
        },
      },
      spec: { schedulingGates: gates.length === 0 ? null : gates },
    };
    await client.patch(resources.pods, pod, { type: 'merge', body });
    this.said.delete(key);
    this.deps.reporter.event(
      pod,
      'Normal',
      'Wired',
      'The rules that isolate the containers are known; the Pod may be scheduled.',
    );
    const seconds = ageSeconds(pod.raw.metadata?.creationTimestamp, this.deps.clock.now());
    if (seconds !== undefined) this.deps.released(seconds);
    return done;
  }

  /** Shown on the PodSplit, and in an Event. */
  private async obstacle(key: SplitKey, pod: LivePod, { reason, message, retryMs }: Obstacle): Promise<Outcome> {
    const text = `${reason}: ${message}`;
    if (this.said.get(key) !== text) this.deps.reporter.event(pod, 'Warning', reason, message);
    this.said.set(key, text);
    if (this.podSplitOf(pod) === undefined) {
      const { client } = this.deps;
      // Once it is seen, the Pod is looked at again, and its status is written.
      await createOrFind(client, resources.podSplits, isolatePodSplit(pod, [], await workloadOf(client, pod)));
    }
    const plan = isolate(asAdmitted(pod.raw), this.deps.options);
    await this.status(pod, { observe: isObserved(plan), via: undefined, obstacle: { reason, message } });
    return retryMs === undefined ? done : { kind: 'requeue', afterMs: retryMs };
  }

  /** @param resolvers undefined where nobody can tell: what is taken is taken now, if need be without names */
  private async rewire(
    pod: LivePod,
    plan: IsolatePlan,
    policies: IsolatePolicies,
    resolvers: readonly string[] | undefined,
  ): Promise<void> {
    const { client } = this.deps;
    const wanted = wiringOf({ plan, split: pod.split, policies, resolvers: resolvers ?? toldResolvers(pod) });
    if (wiringText(pod) !== wanted) {
      const body = { metadata: { uid: pod.uid, annotations: { [ownAnnotations.wiring]: wanted } } };
      await client.patch(resources.pods, pod, { type: 'merge', body });
    }
    const current = this.podSplitOf(pod);
    const flows = policies.flows.map(formatFlow);
    if (current === undefined || sameJson(flows, current.spec.flows)) return;
    const { uid, name } = current.metadata;
    const body = { metadata: { uid }, spec: { flows } };
    await this.quietly(() =>
      client.patch(resources.podSplits, { namespace: pod.namespace, name }, { type: 'merge', body }),
    );
  }

  private async status(pod: LivePod, state: Pick<IsolateStatusInput, 'observe' | 'via' | 'obstacle'>): Promise<void> {
    const { client, clock, reporter } = this.deps;
    const current = this.podSplitOf(pod);
    if (current === undefined) return;
    const now = timestamp(clock.now());
    const status = isolateStatus({ pod, ...state, previous: current.status, now });
    // The node's agent writes what was denied and what was used; a merge leaves it there.
    if (alreadySays(current.status, status)) return;
    reporter.warn(pod, { ...state, previous: current.status });
    const { uid, name } = current.metadata;
    const body = { metadata: { uid }, status };
    await this.quietly(() =>
      client.patch(
        resources.podSplits,
        { namespace: pod.namespace, name },
        { type: 'merge', body },
        { subresource: 'status' },
      ),
    );
  }

  private policed(pod: LivePod, plan: IsolatePlan): Policed {
    return policed(isolatedSubject(pod.raw, plan), this.deps.world);
  }

  private podSplitOf(pod: LivePod) {
    const name = podSplitName(pod.name, pod.uid);
    return this.deps.world.podSplits.store.get(`${pod.namespace}/${name}`);
  }

  /** Gone meanwhile, or another of the name: nobody is left to tell. */
  private async quietly(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!isApiError(error, 'NotFound', 'Conflict')) throw error;
    }
  }
}

/** Undefined as long as they are not known. */
function isolatePolicies(plan: IsolatePlan, found: Policed): IsolatePolicies | undefined {
  if (found.kind === 'pending') return undefined;
  return found.kind === 'none'
    ? withoutPolicies(plan)
    : { ...found.resolved, via: found.resolved.via.map((each) => wiringVia(each)) };
}

function isObserved(plan: ReturnType<typeof isolate>): boolean {
  return plan.kind === 'isolate' && plan.observe === true;
}

function wiringOf(input: IsolateWiringInput): string {
  return formatIsolateWiring(buildIsolateWiring(input));
}
