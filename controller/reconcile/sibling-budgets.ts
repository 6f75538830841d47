import { workloadKey, type WorkloadRef } from '../api/identity.ts';
import type { KubeClient } from '../kube/client.ts';
import { resources } from '../kube/resources.ts';
import { budgetsFinding, siblingBudget } from '../policies/disruption-budget.ts';
import type { LivePod } from './piece-pod.ts';
import { deleteIfThere, replaceSet } from './replace-set.ts';
import { ownerReference } from './workload-of.ts';
import type { WorkloadKey, World } from './world.ts';

export interface SiblingBudgetsDependencies {
  readonly client: Pick<KubeClient, 'create' | 'patch' | 'delete'>;
  readonly world: { readonly budgets: { readonly store: Pick<World['budgets']['store'], 'byIndex'> } };
}

/** The PodDisruptionBudget of each workload's siblings: there before the first of them, and as long as split Pods are. */
export class SiblingBudgets {
  private readonly deps: SiblingBudgetsDependencies;

  constructor(deps: SiblingBudgetsDependencies) {
    this.deps = deps;
  }

  async apply(workload: WorkloadRef): Promise<void> {
    const { client, world } = this.deps;
    const { namespace } = workload;
    const wanted = siblingBudget(workload, ownerReference(workload));
    const actual = world.budgets.store.byIndex('workload', `${namespace}/${workloadKey(workload)}`);
    await replaceSet(client, resources.podDisruptionBudgets, namespace, wanted === undefined ? [] : [wanted], actual);
  }

  async collect(key: WorkloadKey): Promise<void> {
    const { client, world } = this.deps;
    for (const budget of world.budgets.store.byIndex('workload', key)) {
      await deleteIfThere(client, resources.podDisruptionBudgets, budget);
    }
  }
}

/** Names of the user's budgets that find siblings which podsplit's finds already; none where there is none of podsplit's. */
export function budgetsTwice(
  store: Pick<World['budgets']['store'], 'byIndex'>,
  siblings: readonly LivePod[],
): readonly string[] {
  const [first] = siblings;
  if (first === undefined) return [];
  const budgets = store.byIndex('users', first.namespace);
  const own = store.byIndex('workload', `${first.namespace}/${first.workload ?? ''}`);
  return own.length === 0 ? [] : budgetsFinding(budgets, siblings);
}
