import type { ContainerNetworkPolicy } from '../api/container-network-policy.ts';
import type { Directory, PolicySubject } from '../policies/directory.ts';
import { selects } from '../policies/label-selector.ts';
import { annotatedVia, wiringVia, type ResolvedVia } from '../policies/resolve-via.ts';
import { resolvePod, type ResolvedPod } from '../policies/resolve-pod.ts';
import type { Plan } from '../split/plan.ts';
import type { Wiring, WiringVia } from '../rules/wiring.ts';

export interface PolicySources {
  policiesOf(namespace: string): readonly ContainerNetworkPolicy[];
  /** Undefined as long as it is not known. */
  directory(): Directory | undefined;
}

/** What policies make of one Pod: nothing where none selects it. */
export type Policed =
  | { readonly kind: 'none' }
  | { readonly kind: 'pending' }
  | { readonly kind: 'policed'; readonly resolved: ResolvedPod };

export function policed(subject: PolicySubject, sources: PolicySources): Policed {
  const policies = sources
    .policiesOf(subject.namespace)
    .filter(({ spec }) => selects(spec.podSelector, subject.labels));
  if (policies.length === 0) return { kind: 'none' };
  const directory = sources.directory();
  if (directory === undefined) return { kind: 'pending' };
  return { kind: 'policed', resolved: resolvePod(subject, policies, directory) };
}

/** What policies say in the wirings of a Pod's pieces. */
export interface PolicedWiring {
  readonly flows: Wiring['flows'];
  readonly podNetwork: ResolvedPod['podNetwork'];
  readonly via: readonly WiringVia[];
  /** Left out where there are none. */
  readonly auditedFlows?: ResolvedPod['auditedFlows'];
  /** Left out where no policy selects the Pod. */
  readonly observe?: ResolvedPod['unselected'];
}

export function policedWiring(plan: Plan, found: Policed): PolicedWiring {
  const via = policedVia(plan, found).map(wiringVia);
  if (found.kind !== 'policed') return { flows: plan.flows, podNetwork: new Map(), via };
  const { flows, auditedFlows, podNetwork, unselected: observe } = found.resolved;
  return { flows, podNetwork, via, observe, ...(auditedFlows.length === 0 ? {} : { auditedFlows }) };
}

/** Whose only way out is whose: of policies and annotation, or of the annotation alone where none selects the Pod. */
export function policedVia(plan: Pick<Plan, 'via'>, found: Policed): readonly ResolvedVia[] {
  return found.kind === 'policed' ? found.resolved.via : annotatedVia(plan.via);
}
