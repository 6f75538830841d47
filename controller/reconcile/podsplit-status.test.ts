import { expect } from 'chai';
import type { PodSplitStatus } from '../api/resources.ts';
import { readPod } from './piece-pod.ts';
import { statusOf, warningsOf, type StatusInput } from './podsplit-status.ts';

function input(over: Partial<StatusInput>): StatusInput {
  const primary = readPod({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'web', namespace: 'shop', uid: 'u', labels: { 'podsplit.io/role': 'primary' } },
    spec: { containers: [{ name: 'web' }], readinessGates: [{ conditionType: 'podsplit.io/pieces-ready' }] },
  });
  if (primary === undefined) throw new Error('not a piece');
  return {
    primary,
    siblings: [],
    expected: 1,
    addresses: {},
    readiness: { ready: true, reason: 'PiecesReady', message: 'All pieces are ready.' },
    inexact: [],
    budgets: [],
    observe: false,
    via: [],
    previous: undefined,
    now: '2026-01-01T00:00:00Z',
    ...over,
  };
}

describe('what a PodSplit says of budgets', () => {
  const condition = (status: PodSplitStatus) => status.conditions?.find(({ type }) => type === 'EvictedAsOne');

  it("is nothing where podsplit's alone finds the siblings", () => {
    expect(condition(statusOf(input({})))).to.equal(undefined);
    expect(warningsOf(input({}))).to.deep.equal([]);
  });

  it('names those that find them too, once as an Event', () => {
    const found = input({ budgets: ['everybody'] });
    const status = statusOf(found);
    expect(condition(status)).to.include({ status: 'False', reason: 'TwoBudgets' });
    expect(condition(status)?.message).to.contain('everybody');
    expect(warningsOf(found).map(({ reason }) => reason)).to.deep.equal(['TwoBudgets']);
    expect(warningsOf({ ...found, previous: status })).to.deep.equal([]);
    const more = warningsOf({ ...found, budgets: ['absent', 'everybody'], previous: status });
    expect(more.map(({ reason }) => reason)).to.deep.equal(['TwoBudgets']);
  });
});
