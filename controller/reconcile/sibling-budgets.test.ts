import { expect } from 'chai';
import { workloadKey, type WorkloadRef } from '../api/identity.ts';
import type { PodDisruptionBudget } from '../kube/resources.ts';
import { Store } from '../kube/store.ts';
import { siblingBudget } from '../policies/disruption-budget.ts';
import { readPod } from './piece-pod.ts';
import { budgetsTwice } from './sibling-budgets.ts';
import { budgetIndexes } from './world.ts';

const workload: WorkloadRef = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: 'web', uid: 'd-1' };
const everybody: PodDisruptionBudget = {
  apiVersion: 'policy/v1',
  kind: 'PodDisruptionBudget',
  metadata: { name: 'everybody', namespace: 'shop' },
  spec: { minAvailable: 1, selector: {} },
};

function siblings() {
  const owner = { apiVersion: 'v1', kind: 'Pod', name: 'web-1', uid: 'u', controller: true };
  const labels = {
    'podsplit.io/role': 'sibling',
    'podsplit.io/split': 's',
    'podsplit.io/workload': workloadKey(workload),
  };
  const read = readPod({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web-1-log', namespace: 'shop', uid: 'u-log', labels, ownerReferences: [owner] },
    spec: { containers: [{ name: 'log' }] },
  });
  if (read === undefined) throw new Error('not a piece');
  return [read];
}

function storeOf(...budgets: readonly (PodDisruptionBudget | undefined)[]): Store<PodDisruptionBudget> {
  const store = new Store<PodDisruptionBudget>(budgetIndexes);
  for (const budget of budgets) if (budget !== undefined) store.set(budget);
  return store;
}

describe('budgets that find siblings twice', () => {
  const own = siblingBudget(workload, { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'd-1' });

  it("are the user's, beside podsplit's", () => {
    expect(budgetsTwice(storeOf(own, everybody), siblings())).to.deep.equal(['everybody']);
    expect(budgetsTwice(storeOf(own), siblings())).to.deep.equal([]);
    const elsewhere = { ...everybody, metadata: { ...everybody.metadata, namespace: 'other' } };
    expect(budgetsTwice(storeOf(own, elsewhere), siblings())).to.deep.equal([]);
  });

  it("are none where podsplit has none, as of a DaemonSet's siblings", () => {
    expect(budgetsTwice(storeOf(everybody), siblings())).to.deep.equal([]);
    expect(budgetsTwice(storeOf(own, everybody), [])).to.deep.equal([]);
  });
});
