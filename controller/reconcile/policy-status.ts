import type { ContainerNetworkPolicy, ContainerNetworkPolicyStatus } from '../api/container-network-policy.ts';
import type { Condition } from '../api/resources.ts';
import { alreadySays } from '../api/same-json.ts';
import { timestamp } from '../api/timestamp.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import { isApiError } from '../kube/errors.ts';
import { resources } from '../kube/resources.ts';
import { done, type Outcome } from '../kube/worker.ts';
import { isolate } from '../isolate/isolate.ts';
import type { Directory, PolicySubject } from '../policies/directory.ts';
import { selects } from '../policies/label-selector.ts';
import { resolvePod, type ResolvedPod } from '../policies/resolve-pod.ts';
import { asAdmitted } from '../split/admitted.ts';
import type { SplitOptions } from '../split/plan.ts';
import { installOf, readPod, type LivePod } from './piece-pod.ts';
import { planOf } from './plan-of.ts';
import { isolatedSubject, splitSubject, userLabels } from '../policies/subject.ts';
import type { World } from './world.ts';

export interface PolicyStatusDependencies {
  readonly client: KubeClient;
  readonly world: World;
  readonly clock: Clock;
  readonly options: SplitOptions;
}

/** Says of one ContainerNetworkPolicy what it selects, what it compiles to, and what is wrong with it. */
export class PolicyStatusReconciler {
  private readonly deps: PolicyStatusDependencies;

  constructor(deps: PolicyStatusDependencies) {
    this.deps = deps;
  }

  async reconcile(key: string): Promise<Outcome> {
    const { world, client, clock } = this.deps;
    const policy = world.containerPolicies.store.get(key);
    const directory = world.directory();
    // When it is known, the key comes back.
    if (policy === undefined || directory === undefined) return done;
    const status = policyStatus(policy, this.effects(policy, directory), timestamp(clock.now()));
    if (alreadySays(policy.status, status)) return done;
    const { namespace, name, uid } = policy.metadata;
    try {
      const body = { metadata: { uid }, status };
      await client.patch(
        resources.containerNetworkPolicies,
        { namespace, name },
        { type: 'merge', body },
        { subresource: 'status' },
      );
    } catch (error) {
      if (!isApiError(error, 'NotFound', 'Conflict')) throw error;
    }
    return done;
  }

  private effects(policy: ContainerNetworkPolicy, directory: Directory): PolicyEffects {
    const { world, options } = this.deps;
    const namespace = policy.metadata.namespace ?? '';
    const policies = world.policiesOf(namespace);
    const pods = world.pods.store
      .byIndex('namespace', namespace)
      .map(readPod)
      .filter((pod) => pod !== undefined)
      .filter((pod) => selects(policy.spec.podSelector, userLabels(pod.raw)));
    const subjects = pods.flatMap((pod) => subjectOf(pod, options) ?? []);
    return {
      selected: subjects.map((subject) => ({
        containers: subject.containers.map(({ name }) => name),
        alone: resolvePod(subject, [policy], directory),
        problems: resolvePod(subject, policies, directory).problems.filter(
          (one) => one.policy === policy.metadata.name,
        ),
      })),
      whole: directory.pods
        .filter(
          (pod) => pod.namespace === namespace && pod.mode === 'plain' && selects(policy.spec.podSelector, pod.labels),
        )
        .map(({ name }) => name),
      withoutAgent: pods.filter((pod) => pod.role === 'primary' && installOf(pod) === 'init').map(({ name }) => name),
    };
  }
}

function subjectOf(pod: LivePod, options: SplitOptions): PolicySubject | undefined {
  if (pod.role === 'primary') {
    const plan = planOf(pod, options);
    return plan && splitSubject(pod.raw, plan);
  }
  if (pod.role !== 'isolated') return undefined;
  const plan = isolate(asAdmitted(pod.raw), options);
  return plan.kind === 'isolate' ? isolatedSubject(pod.raw, plan) : undefined;
}

/** What a policy does to the Pods that it selects. */
export interface PolicyEffects {
  readonly selected: readonly {
    readonly containers: readonly string[];
    readonly alone: ResolvedPod;
    readonly problems: ResolvedPod['problems'];
  }[];
  /** Pods with all their containers in one network namespace. */
  readonly whole: readonly string[];
  readonly withoutAgent: readonly string[];
}

type Verdict = Pick<Condition, 'status' | 'reason' | 'message'>;

export function policyStatus(
  { metadata, spec, status: previous }: ContainerNetworkPolicy,
  effects: PolicyEffects,
  now: string,
): ContainerNetworkPolicyStatus {
  const { selected, whole, withoutAgent } = effects;
  const isAudit = spec.action === 'Audit';
  const about = (names: readonly string[]): number =>
    names.filter((name) => spec.containers === undefined || spec.containers.includes(name)).length;
  const sum = (of: (resolved: ResolvedPod) => number): number =>
    selected.reduce((total, { alone }) => total + of(alone), 0);
  const containers = selected.reduce((total, each) => total + about(each.containers), 0);
  const observedGeneration = metadata.generation ?? 0;
  const condition = (type: string, verdict: Verdict): Condition => {
    const before = previous?.conditions?.find((one) => one.type === type);
    const lastTransitionTime = before?.status === verdict.status ? before.lastTransitionTime : now;
    return { type, ...verdict, lastTransitionTime, observedGeneration };
  };
  return {
    observedGeneration,
    selected: {
      pods: selected.length,
      containers,
      unguarded: whole.length + withoutAgent.length,
    },
    compiled: {
      flows: sum(({ flows }) => flows.length),
      ingress: sum((resolved) => ranges(resolved, 'ingress')),
      egress: sum((resolved) => ranges(resolved, 'egress')),
      kept: sum(({ via }) => via.filter(({ policies }) => policies.includes(metadata.name)).length),
    },
    // In this order: a column of the CRD takes the first that is False.
    conditions: [
      condition('Accepted', accepted(effects)),
      condition('Enforced', enforced(effects, { isAudit, containers })),
    ],
  };
}

function ranges({ podNetwork }: ResolvedPod, direction: 'ingress' | 'egress'): number {
  return [...podNetwork.values()].reduce((total, one) => {
    const { enforce = [], audit = [] } = one[direction] ?? {};
    return total + enforce.length + audit.length;
  }, 0);
}

const most = 5;

function accepted({ selected }: PolicyEffects): Verdict {
  const problems = new Map(
    selected.flatMap((one) => one.problems).map(({ code, path, message }) => [`${path}: ${message}`, code]),
  );
  const [first] = problems.values();
  if (first === undefined) return { status: 'True', reason: 'Compiled', message: 'All of it is compiled.' };
  return { status: 'False', reason: first, message: listed([...problems.keys()], '\n') };
}

function enforced(
  { selected, whole, withoutAgent }: PolicyEffects,
  { isAudit, containers }: { readonly isAudit: boolean; readonly containers: number },
): Verdict {
  if (whole.length > 0) {
    const message =
      `It selects Pods whose containers share a network namespace, where nobody enforces it: ${listed(whole, ', ')}. ` +
      'Annotate what they belong to with podsplit.io/mode.';
    return { status: 'False', reason: 'NotSplit', message };
  }
  if (withoutAgent.length > 0) {
    const message = `Pods of install mode init cannot follow policies: ${listed(withoutAgent, ', ')}.`;
    return { status: 'False', reason: 'PolicyNeedsAgent', message };
  }
  if (isAudit) {
    const message = 'Action Audit: what it does not allow passes, and is recorded (kubectl podsplit flows POD).';
    return { status: 'False', reason: 'Audit', message };
  }
  if (selected.length === 0) return { status: 'True', reason: 'NothingSelected', message: 'It selects no Pod now.' };
  if (containers === 0) {
    const message = 'It selects no container now: no Pod that it selects has one of spec.containers.';
    return { status: 'True', reason: 'NothingSelected', message };
  }
  return { status: 'True', reason: 'Enforced', message: 'It holds for all that it selects.' };
}

function listed(names: readonly string[], separator: string): string {
  const more = names.length > most ? `${separator}and ${names.length - most} more` : '';
  return `${names.slice(0, most).join(separator)}${more}`;
}
