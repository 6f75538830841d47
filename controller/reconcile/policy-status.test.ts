import { expect } from 'chai';
import type { ContainerNetworkPolicy } from '../api/container-network-policy.ts';
import { policyStatus, type PolicyEffects } from './policy-status.ts';

const policy: ContainerNetworkPolicy = {
  apiVersion: 'podsplit.io/v1alpha1',
  kind: 'ContainerNetworkPolicy',
  metadata: { name: 'p', namespace: 'shop', generation: 3 },
  spec: { podSelector: {}, containers: ['cache'] },
};

const nobody: PolicyEffects = { selected: [], whole: [], withoutAgent: [] };
const now = '2026-11-24T12:00:00Z';

function selected(problems: PolicyEffects['selected'][number]['problems'] = []): PolicyEffects['selected'][number] {
  return {
    containers: ['web', 'cache'],
    alone: {
      flows: [{ from: 'web', to: 'cache', port: 6379, protocol: 'tcp' }],
      auditedFlows: [],
      podNetwork: new Map([
        ['cache', { ingress: { enforce: [{ addresses: '10.0.0.0-10.0.0.9' }] }, egress: { enforce: [] } }],
      ]),
      unselected: { from: [], to: [] },
      via: [{ kind: 'proxy', from: 'web', to: 'cache', dns: 'none', policies: ['p'] }],
      problems: [],
    },
    problems,
  };
}

function verdicts(effects: Partial<PolicyEffects>, of: ContainerNetworkPolicy = policy): readonly string[] {
  return (policyStatus(of, { ...nobody, ...effects }, now).conditions ?? []).map(
    ({ type, status, reason }) => `${type} ${status} ${reason}`,
  );
}

describe('status of a ContainerNetworkPolicy', () => {
  it('counts what it selects and what it opens', () => {
    const { conditions: _conditions, ...counts } = policyStatus(
      policy,
      { ...nobody, selected: [selected(), selected()] },
      now,
    );
    expect(counts).to.deep.equal({
      observedGeneration: 3,
      selected: { pods: 2, containers: 2, unguarded: 0 },
      compiled: { flows: 2, ingress: 2, egress: 0, kept: 2 },
    });
  });

  it('is happy where all is enforced, and where there is nothing to enforce', () => {
    expect(verdicts({ selected: [selected()] })).to.deep.equal(['Accepted True Compiled', 'Enforced True Enforced']);
    expect(verdicts({})).to.deep.equal(['Accepted True Compiled', 'Enforced True NothingSelected']);
  });

  it('says that it selects nothing where no Pod has a container that it names', () => {
    const of = { ...policy, spec: { ...policy.spec, containers: ['cahce'] } };
    const { selected: counts, conditions } = policyStatus(of, { ...nobody, selected: [selected()] }, now);
    expect(counts).to.include({ pods: 1, containers: 0 });
    expect(conditions?.[1]).to.include({
      type: 'Enforced',
      status: 'True',
      reason: 'NothingSelected',
      message: 'It selects no container now: no Pod that it selects has one of spec.containers.',
    });
  });

  it('is not enforced for Pods in one network namespace, for those without an agent, and while it audits', () => {
    expect(verdicts({ selected: [selected()], whole: ['a'] })[1]).to.equal('Enforced False NotSplit');
    expect(verdicts({ selected: [selected()], withoutAgent: ['a'] })[1]).to.equal('Enforced False PolicyNeedsAgent');
    const audit = { ...policy, spec: { ...policy.spec, action: 'Audit' as const } };
    expect(verdicts({ selected: [selected()] }, audit)[1]).to.equal('Enforced False Audit');
  });

  it('says each thing that is wrong once, and no more than a person reads', () => {
    const problems = [...Array(8).keys()].map((i) => ({
      policy: 'p',
      code: 'UnknownPortName' as const,
      path: `spec.ingress[${i}]`,
      message: 'nobody has it',
    }));
    const status = policyStatus(policy, { ...nobody, selected: [selected(problems), selected(problems)] }, now);
    expect(status.conditions?.[0]).to.include({ status: 'False', reason: 'UnknownPortName' });
    expect(status.conditions?.[0]?.message.split('\n')).to.have.length(6);
    expect(status.conditions?.[0]?.message).to.match(/and 3 more$/);
  });

  it('keeps the time of a condition that stays', () => {
    const before = policyStatus(policy, nobody, now);
    const after = policyStatus({ ...policy, status: before }, nobody, '2026-11-24T13:00:00Z');
    expect(after).to.deep.equal(before);
    const worse = policyStatus({ ...policy, status: before }, { ...nobody, whole: ['a'] }, '2026-11-24T13:00:00Z');
    expect(worse.conditions?.map(({ lastTransitionTime }) => lastTransitionTime)).to.deep.equal([
      now,
      '2026-11-24T13:00:00Z',
    ]);
  });
});
