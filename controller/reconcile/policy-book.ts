import { isReservedKey } from '../api/keys.ts';
import type { ContainerNetworkPolicy } from '../api/container-network-policy.ts';
import type { Directory, PolicySubject } from '../policies/directory.ts';
import { selects } from '../policies/label-selector.ts';
import { resolvePod, type ResolvedPod } from '../policies/resolve-pod.ts';
import type { Plan } from '../split/plan.ts';
import { labelsOf, pickEntries } from '../split/pod.ts';
import type { Wiring } from '../rules/wiring.ts';
import type { LivePod } from './piece-pod.ts';

export interface PolicySources {
  policiesOf(namespace: string): readonly ContainerNetworkPolicy[];
  /** Undefined as long as it is not known. */
  directory(): Directory | undefined;
}

/** What policies make of one split Pod: nothing where none selects it. */
export type Policed =
  | { readonly kind: 'none' }
  | { readonly kind: 'pending' }
  | { readonly kind: 'policed'; readonly resolved: ResolvedPod };

export function policed(primary: LivePod, plan: Plan, sources: PolicySources): Policed {
  const policies = policiesFor(primary, sources);
  if (policies.length === 0) return { kind: 'none' };
  const directory = sources.directory();
  if (directory === undefined) return { kind: 'pending' };
  return { kind: 'policed', resolved: resolvePod(subjectOf(primary, plan), policies, directory) };
}

/** Of its namespace, those that select it. */
export function policiesFor(primary: LivePod, sources: PolicySources): readonly ContainerNetworkPolicy[] {
  const labels = userLabels(primary);
  return sources.policiesOf(primary.namespace).filter(({ spec }) => selects(spec.podSelector, labels));
}

export function subjectOf(primary: LivePod, plan: Plan): PolicySubject {
  return {
    namespace: primary.namespace,
    name: primary.name,
    uid: primary.uid,
    labels: userLabels(primary),
    containers: [plan.primary, ...plan.siblings].map(({ name, ports }) => ({ name, ports })),
    flows: plan.flows,
  };
}

export function userLabels(pod: LivePod): Readonly<Record<string, string>> {
  return pickEntries(labelsOf(pod.raw), (key) => !isReservedKey(key));
}

/** What policies say in the wirings of a Pod's pieces. */
export interface PolicedWiring {
  readonly flows: Wiring['flows'];
  readonly podNetwork: ResolvedPod['podNetwork'];
  /** Left out where no policy selects the Pod. */
  readonly observe?: ResolvedPod['unselected'];
}

export function policedWiring(plan: Plan, found: Policed): PolicedWiring {
  if (found.kind !== 'policed') return { flows: plan.flows, podNetwork: new Map() };
  const { flows, podNetwork, unselected: observe } = found.resolved;
  return { flows, podNetwork, observe };
}
