import { expect } from 'chai';
import fc from 'fast-check';
import { originalLabelKey } from '../api/keys.ts';
import { selects, withKeys, type LabelSelector } from './label-selector.ts';

describe('label selector', () => {
  const labels = { app: 'web', 'example.com/tier': 'front' };
  const cases: readonly (readonly [what: string, selector: LabelSelector | undefined, selected: boolean])[] = [
    ['none', undefined, true],
    ['empty', {}, true],
    ['an equal label', { matchLabels: { app: 'web' } }, true],
    ['another value', { matchLabels: { app: 'db' } }, false],
    ['one of two', { matchLabels: { app: 'web', tier: 'x' } }, false],
    ['In', { matchExpressions: [{ key: 'app', operator: 'In', values: ['db', 'web'] }] }, true],
    ['In, missing', { matchExpressions: [{ key: 'x', operator: 'In', values: ['web'] }] }, false],
    ['NotIn', { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['web'] }] }, false],
    ['NotIn, missing', { matchExpressions: [{ key: 'x', operator: 'NotIn', values: ['web'] }] }, true],
    ['Exists', { matchExpressions: [{ key: 'example.com/tier', operator: 'Exists' }] }, true],
    ['Exists, missing', { matchExpressions: [{ key: 'constructor', operator: 'Exists' }] }, false],
    ['DoesNotExist', { matchExpressions: [{ key: 'app', operator: 'DoesNotExist' }] }, false],
    ['DoesNotExist, missing', { matchExpressions: [{ key: 'x', operator: 'DoesNotExist' }] }, true],
    [
      'labels and expressions',
      { matchLabels: { app: 'web' }, matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['web'] }] },
      false,
    ],
    ['an operator of the future', { matchExpressions: [{ key: 'app', operator: 'Gt', values: ['1'] }] }, true],
  ];
  for (const [what, selector, selected] of cases) {
    it(`${what} ${selected ? 'selects' : 'does not select'}`, () => {
      expect(selects(selector, labels)).to.equal(selected);
    });
  }

  it('means the same over the labels that a sibling keeps', () => {
    const key = fc.constantFrom('app', 'tier', 'example.com/app', `${'long.'.repeat(49)}example/app`);
    const value = fc.constantFrom('a', 'b');
    const requirement = fc.record({
      key,
      operator: fc.constantFrom('In', 'NotIn', 'Exists', 'DoesNotExist'),
      values: fc.array(value, { minLength: 1 }),
    });
    const selector = fc.record({ matchLabels: fc.dictionary(key, value), matchExpressions: fc.array(requirement) });
    fc.assert(
      fc.property(selector, fc.dictionary(key, value), (one, own) => {
        const kept = Object.fromEntries(Object.entries(own).map(([name, text]) => [originalLabelKey(name), text]));
        expect(selects(withKeys(one, originalLabelKey), kept)).to.equal(selects(one, own));
      }),
    );
  });
});
