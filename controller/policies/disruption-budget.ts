import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import { workloadKey, type WorkloadRef } from '../api/identity.ts';
import { ownLabels } from '../api/names.ts';
import type { OwnerReference } from '../api/resources.ts';
import { selects } from './label-selector.ts';

/** As many as an integer of the API can say: there are never so many Pods, so none can be spared. */
const moreThanThereAre = 2_147_483_647;

/**
 * Keeps a workload's siblings from being evicted for themselves: the API server answers 429 (Too Many Requests), which
 * whoever drains a node tries again, until their primary is gone and they with it. The workload's own budgets are about
 * primaries, which have its labels. See docs/decisions/0025-evicted-and-placed-as-one.md.
 *
 * Undefined for a DaemonSet: a drain leaves its Pods on the node, so it would wait for their siblings without end.
 */
export function siblingBudget(
  workload: WorkloadRef,
  owner: OwnerReference,
): (IPodDisruptionBudget & { readonly metadata: { readonly name: string } }) | undefined {
  if (workload.kind === 'DaemonSet') return undefined;
  const key = workloadKey(workload);
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: {
      name: `podsplit-${key}-siblings`,
      namespace: workload.namespace,
      labels: { [ownLabels.managedBy]: 'podsplit', [ownLabels.workload]: key },
      ownerReferences: [owner],
    },
    spec: {
      // A number asks no owner how many there should be, as a percentage or maxUnavailable would: a Pod has no scale.
      minAvailable: moreThanThereAre,
      selector: { matchLabels: { [ownLabels.role]: 'sibling', [ownLabels.workload]: key } },
      // There is no healthy budget ever, so that siblings which are not ready are kept too.
      unhealthyPodEvictionPolicy: 'IfHealthyBudget',
    },
  };
}

export function isOwnBudget({ metadata }: IPodDisruptionBudget): boolean {
  return metadata?.labels?.[ownLabels.managedBy] === 'podsplit';
}

/**
 * Names of the budgets, beside podsplit's own, that find one of these Pods: those with an empty selector, or one of what is
 * absent. The API server evicts no Pod that two budgets find: it answers with an error, and not with 429.
 *
 * @param budgets of the Pods' namespace
 */
export function budgetsFinding(
  budgets: readonly IPodDisruptionBudget[],
  pods: readonly { readonly labels: Readonly<Record<string, string>> }[],
): readonly string[] {
  return budgets
    .filter((budget) => !isOwnBudget(budget) && pods.some((pod) => finds(budget, pod.labels)))
    .map(({ metadata }) => metadata?.name ?? '')
    .sort();
}

/** In policy/v1 an empty selector finds every Pod, and none finds none. */
function finds({ spec }: IPodDisruptionBudget, labels: Readonly<Record<string, string>>): boolean {
  return spec?.selector !== undefined && selects(spec.selector, labels);
}
