import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import type { SplitOptions } from '../../split/plan.ts';
import { auditPod, type Candidate, type PodAudit } from '../audit-pod.ts';
import type { Finding } from '../finding.ts';
import type { RuleId } from '../rules.ts';
import type { Facts } from '../subject.ts';

export const auditOptions: SplitOptions = {
  image: '',
  maxContainers: 14,
  install: { otherwise: 'node', byNetwork: new Map() },
};

/** Nothing of it is found: not root, nothing gained, nothing granted, limits, no port. */
export function careful(name: string, uid: number, more: Partial<IContainer> = {}): IContainer {
  return {
    name,
    image: name,
    resources: { limits: { memory: '64Mi', cpu: '100m' } },
    ...more,
    securityContext: {
      runAsUser: uid,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      ...more.securityContext,
    },
  };
}

interface Given extends Partial<IPodSpec> {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly facts?: Partial<Facts>;
}

export function candidate(containers: readonly IContainer[], { annotations, facts, ...spec }: Given = {}): Candidate {
  return {
    workload: { namespace: 'shop', kind: 'Pod', name: 'web' },
    pod: {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web', namespace: 'shop', ...(annotations === undefined ? {} : { annotations }) },
      spec: { automountServiceAccountToken: false, ...spec, containers },
    },
    facts: { admitted: false, accountMountsToken: true, egressPolicies: [], ...facts },
    pathOf: (path) => path,
    origin: 0,
  };
}

/** @throws Error where it is not audited */
export function audited(given: Candidate, options = auditOptions): PodAudit {
  const said = auditPod(given, options);
  if (said.kind !== 'audited') throw new Error(JSON.stringify(said));
  return said.audit;
}

/** Of two containers, `a` and `b`, with what the second argument says. */
export function findings(a: Partial<IContainer>, b: Partial<IContainer> = {}, given: Given = {}): readonly Finding[] {
  return audited(candidate([careful('a', 1000, a), careful('b', 2000, b)], given)).findings;
}

export function ofRule(found: readonly Finding[], rule: RuleId, actor?: string): readonly Finding[] {
  return found.filter((finding) => finding.rule === rule && (actor === undefined || finding.actor === actor));
}
