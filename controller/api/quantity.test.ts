import { expect } from 'chai';
import { parseQuantity } from './quantity.ts';

describe('parseQuantity', () => {
  const taken: readonly (readonly [string, number])[] = [
    ['0', 0],
    ['1024', 1024],
    ['1Ki', 1024],
    ['1.5Gi', 1.5 * 2 ** 30],
    ['.5Mi', 2 ** 19],
    ['10M', 10_000_000],
    ['2E', 2e18],
    ['2e3', 2000],
    ['2E3', 2000],
    ['1500m', 2],
    ['-1', -1],
    ['+5k', 5000],
  ];
  for (const [text, value] of taken) {
    it(`reads ${text}`, () => {
      expect(parseQuantity(text)).to.equal(value);
    });
  }

  for (const text of ['', 'Mi', '1 Mi', '1mi', '1KiB', '0x10', '1e', '1e3Ki', '--1', 'NaN', '1e999']) {
    it(`does not read ${JSON.stringify(text)}`, () => {
      expect(parseQuantity(text)).to.equal(undefined);
    });
  }
});
