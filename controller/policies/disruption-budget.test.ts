import { expect } from 'chai';
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import { workloadKey, type WorkloadRef } from '../api/identity.ts';
import { budgetsFinding, siblingBudget } from './disruption-budget.ts';
import { selects } from './label-selector.ts';

const workload: WorkloadRef = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: 'web', uid: 'd-1' };
const owner = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'd-1' };
const key = workloadKey(workload);
const sibling = { 'podsplit.io/role': 'sibling', 'podsplit.io/workload': key, 'label.podsplit.io/app': 'web' };

function budget(name: string, selector: object | undefined, labels = {}) {
  return {
    apiVersion: 'policy/v1' as const,
    kind: 'PodDisruptionBudget' as const,
    metadata: { name, labels },
    spec: { minAvailable: 1, ...(selector === undefined ? {} : { selector }) },
  };
}

describe("the budget of a workload's siblings", () => {
  it("finds the workload's siblings, and neither primaries nor siblings of others", () => {
    const made = siblingBudget(workload, owner);
    new PodDisruptionBudget(made).validate();
    const found = [
      sibling,
      { ...sibling, 'podsplit.io/role': 'primary', app: 'web' },
      { ...sibling, 'podsplit.io/workload': 'another' },
    ];
    expect(found.map((labels) => selects(made?.spec?.selector, labels))).to.deep.equal([true, false, false]);
    expect(made?.metadata.namespace).to.equal('shop');
  });

  it('spares none, ready or not', () => {
    expect(siblingBudget(workload, owner)?.spec).to.include({
      minAvailable: 2 ** 31 - 1,
      unhealthyPodEvictionPolicy: 'IfHealthyBudget',
    });
  });

  it('is not made for a DaemonSet, whose Pods a drain leaves where they are', () => {
    expect(siblingBudget({ ...workload, kind: 'DaemonSet' }, owner)).to.equal(undefined);
  });

  it('is told from those of users that find siblings too', () => {
    const budgets = [
      budget('everybody', {}),
      budget('absent', { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['db'] }] }),
      budget('nobody', undefined),
      budget('web', { matchLabels: { app: 'web' } }),
      { ...siblingBudget(workload, owner)! },
    ];
    expect(budgetsFinding(budgets, [{ labels: sibling }])).to.deep.equal(['absent', 'everybody']);
    expect(budgetsFinding(budgets, [])).to.deep.equal([]);
  });
});
