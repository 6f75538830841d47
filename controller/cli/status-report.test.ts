import { expect } from 'chai';
import fc from 'fast-check';
import { isRecord } from '../api/json.ts';
import type { PodSplit } from '../api/resources.ts';
import type { Pod } from '../kube/resources.ts';
import { podReport } from './status-report.ts';
import { formatStatus } from './status-text.ts';
import { now, stored } from './testdata/status-run.ts';

describe('the report of a Pod', () => {
  const nasty = fc
    .tuple(
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.constantFrom('\u001b[2J', '\u009b31m', 'x\r\nFORGED', '\u202e', '\u0007', 'x'),
    )
    .map((parts) => parts.join(''));
  const texts = (value: unknown): unknown => {
    if (typeof value === 'string') return fc.oneof(fc.constant(value), nasty);
    if (Array.isArray(value)) return fc.tuple(...value.map((each: unknown) => texts(each) as fc.Arbitrary<unknown>));
    if (!isRecord(value)) return fc.constant(value);
    return fc.record(
      Object.fromEntries(Object.entries(value).map(([key, each]) => [key, texts(each) as fc.Arbitrary<unknown>])),
    );
  };

  it('does not let an object steer the terminal', () => {
    const [podSplit, primary, ...pods] = stored();
    const forged = fc.tuple(texts(podSplit) as fc.Arbitrary<PodSplit>, texts(primary) as fc.Arbitrary<Pod>);
    fc.assert(
      fc.property(forged, fc.boolean(), ([split, first], named) => {
        const report = podReport({ podSplit: split, primary: first, pods: [first, ...(pods as Pod[])] }, now);
        const text = formatStatus([report], { wide: true, inFull: true, colours: false, namespaces: true, named, now });
        expect(text.replaceAll('\n', '')).not.to.match(/\p{C}/u);
        // Nor write lines of its own.
        expect(text).not.to.match(/^FORGED/m);
      }),
    );
  });

  it('takes podsplit’s condition on a Pod that no PodSplit is about yet', () => {
    const condition = {
      type: 'podsplit.io/pieces-ready',
      status: 'False',
      reason: 'AddressesExhausted',
      message: 'All blocks are held.',
    };
    const late = stored().find(({ metadata }) => metadata.name === 'late') as Pod;
    const primary = { ...late, status: { conditions: [condition] } };
    const { problems } = podReport({ podSplit: undefined, primary, pods: [primary] }, now);
    expect(problems).to.have.length(1);
    expect(problems[0]).to.include({
      condition: 'Ready',
      reason: 'AddressesExhausted',
      message: 'All blocks are held.',
    });
    expect(problems[0]!.next).to.match(/kubectl get splitnetworks$/);
  });
});
