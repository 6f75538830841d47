import type { ContainerNetworkPolicy } from '../api/container-network-policy.ts';
import { formatFlow, type Flow } from '../api/flow.ts';
import type { Observed, PodNetwork } from '../rules/wiring.ts';
import type { Directory, PolicySubject } from './directory.ts';
import { selects } from './label-selector.ts';
import { Notes } from './notes.ts';
import { parsePolicy, type ParsedPolicy } from './parse-policy.ts';
import type { PolicyProblem } from './policy-problem.ts';
import { concerns, resolveFlows } from './resolve-flows.ts';
import { resolveDirection } from './resolve-pod-network.ts';
import { resolveVia, type NoWayOut, type ResolvedVia } from './resolve-via.ts';

/** What policies make of one Pod: docs/decisions/0017-policies-between-containers.md. */
export interface ResolvedPod {
  /** What passes between its containers, all told: policies, and the annotation where no policy selects an end. */
  readonly flows: readonly Flow[];
  /** Of those, what the policies that audit would refuse. */
  readonly auditedFlows: readonly Flow[];
  /** By container; a direction is absent where no policy is about it, a container where none is about either. */
  readonly podNetwork: ReadonlyMap<string, PodNetwork>;
  /** Containers whose calls, and calls to which, no policy that enforces has a say in. Sorted. */
  readonly unselected: Observed;
  /** Containers with but one way out, policies and the annotation together. Sorted. */
  readonly via: readonly ResolvedVia[];
  readonly problems: readonly PolicyProblem[];
}

/** @param policies of the subject's namespace, as the API server has them */
export function resolvePod(
  subject: PolicySubject,
  policies: readonly ContainerNetworkPolicy[],
  directory: Directory,
): ResolvedPod {
  const notes = new Notes();
  const { selecting, problems } = policiesFor(subject, policies);
  for (const policy of selecting) lookForContainers(policy, subject, directory, notes);
  const enforcing = selecting.filter(({ action }) => action === 'Enforce');
  const via = resolveVia(subject, selecting, notes);
  const closed = via.filter((each) => each.kind === 'none');
  const flows = withoutCallsOf(closed, resolveFlows({ subject, policies: enforcing, directory, notes }));
  return {
    flows,
    auditedFlows: enforcing.length === selecting.length ? [] : refusedByAudit(subject, selecting, directory, flows),
    podNetwork: podNetworks({ subject, policies: selecting, directory, notes, flows }),
    unselected: {
      from: unselected(subject, enforcing, 'egress').filter((name) => !closed.some(({ from }) => from === name)),
      to: unselected(subject, enforcing, 'ingress'),
    },
    via,
    problems: [...problems, ...notes.all()],
  };
}

/** Whoever is called may call out itself. */
function withoutCallsOf(closed: readonly NoWayOut[], flows: readonly Flow[]): readonly Flow[] {
  if (closed.length === 0) return flows;
  return flows.filter((flow) => !closed.some(({ from }) => from === flow.from));
}

function unselected(
  { containers }: PolicySubject,
  policies: readonly ParsedPolicy[],
  direction: 'ingress' | 'egress',
): readonly string[] {
  const names = containers.map(({ name }) => name);
  return names.filter((name) => !policies.some((policy) => concerns(policy, direction, name))).sort();
}

/** Those that select the Pod, with what is wrong with them. */
export function policiesFor(
  subject: Pick<PolicySubject, 'namespace' | 'labels'>,
  policies: readonly ContainerNetworkPolicy[],
): { readonly selecting: readonly ParsedPolicy[]; readonly problems: readonly PolicyProblem[] } {
  const about = policies
    .map(parsePolicy)
    .filter(({ policy }) => policy.namespace === subject.namespace && selects(policy.selector, subject.labels));
  return { selecting: about.map(({ policy }) => policy), problems: about.flatMap(({ problems }) => problems) };
}

function podNetworks(context: Parameters<typeof resolveDirection>[0]): ReadonlyMap<string, PodNetwork> {
  const found = context.subject.containers.map((container): [string, PodNetwork] => {
    const [ingress, egress] = [
      resolveDirection(context, 'ingress', container),
      resolveDirection(context, 'egress', container),
    ];
    return [container.name, { ...(ingress && { ingress }), ...(egress && { egress }) }];
  });
  return new Map(found.filter(([, { ingress, egress }]) => ingress !== undefined || egress !== undefined));
}

/** As if they enforced: what passes now and would not then. What is wrong with them was said already. */
function refusedByAudit(
  subject: PolicySubject,
  policies: readonly ParsedPolicy[],
  directory: Directory,
  flows: readonly Flow[],
): readonly Flow[] {
  const then = resolveFlows({ subject, policies, directory, notes: new Notes() });
  const left = new Set(then.map(formatFlow));
  return flows.filter((flow) => !left.has(formatFlow(flow)));
}

/** A policy may select Pods of several kinds, so a container need not be in this one; but it has to be in some. */
function lookForContainers(policy: ParsedPolicy, subject: PolicySubject, directory: Directory, notes: Notes): void {
  for (const name of policy.containers ?? []) {
    const has = ({ containers }: { readonly containers: readonly { readonly name: string }[] }): boolean =>
      containers.some((each) => each.name === name);
    const found =
      has(subject) ||
      directory.pods.some(
        (pod) => pod.namespace === policy.namespace && has(pod) && selects(policy.selector, pod.labels),
      );
    const message = `none of the Pods that it selects has a container ${JSON.stringify(name)}`;
    notes.look(policy, 'UnknownContainer', 'spec.containers', message, found);
  }
}
