import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { nextStep, nextSteps } from './next-steps.ts';

describe('next steps', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/operations.md'), 'utf8');
  const [, section = ''] = page.split('## Reasons\n');
  const [tables = ''] = section.split('What the agent refuses');
  const [reasons = '', conditions = ''] = tables.split('A PodSplit has these conditions');
  const codes = (cell: string): readonly string[] => [...cell.matchAll(/`([A-Za-z]+)`/g)].map(([, code = '']) => code);
  const rows = (table: string): readonly (readonly string[])[] =>
    table
      .split('\n')
      .filter((line) => line.startsWith('| '))
      .map((line) => line.split('|').map((cell) => cell.trim()));
  const documented = [
    ...rows(reasons)
      .filter(([, reason = '']) => !/\(Event( on the \w+)?\)/.test(reason))
      .flatMap(([, reason = '']) => codes(reason.replace(/condition `\w+`/, ''))),
    ...rows(conditions)
      .filter(([, , status]) => status === 'False')
      .flatMap(([, , , reason = '']) => codes(reason)),
  ].filter((reason) => !['PiecesReady', 'ContainersReady'].includes(reason));

  it('are there for each reason that the documentation has, and for no others', () => {
    expect(new Set(Object.keys(nextSteps))).to.deep.equal(new Set(documented));
  });

  const stuck = { namespace: 'shop', pod: 'web-0', workload: 'statefulset/web', network: 'default', unready: [] };

  it('lead to the page of refusals, and to the Events for what is not known', () => {
    expect(nextStep('PrivilegedContainer', stuck)).to.contain('docs/refusals.md#privilegedcontainer');
    for (const reason of ['FromTheFuture', 'constructor']) {
      expect(nextStep(reason, stuck)).to.equal('See its Events: kubectl describe pod web-0 -n shop');
    }
  });

  it('tell a bare Pod, which nobody makes anew', () => {
    expect(nextStep('SiblingLost', stuck)).to.contain('Wait');
    expect(nextStep('SiblingLost', { ...stuck, workload: 'pod/web-0' })).to.contain('delete it and create it again');
  });

  it('ask the log of what has run, and the Events of what has not', () => {
    const piece = { container: 'cache', pod: 'web-0-cache', state: 'CrashLoopBackOff', restarts: 3 };
    expect(nextStep('PiecesNotReady', { ...stuck, unready: [piece] })).to.contain(
      'logs web-0 -n shop -c cache --previous',
    );
    const never = { ...piece, state: 'Initializing', restarts: 0 };
    expect(nextStep('PiecesNotReady', { ...stuck, unready: [never] })).to.contain('describe pod web-0-cache -n shop');
  });
});
