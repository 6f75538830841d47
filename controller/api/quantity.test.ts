import { expect } from 'chai';
import { exactQuantity, formatBytes, parseQuantity } from './quantity.ts';

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

it('exactQuantity does not round', () => {
  expect(exactQuantity('100m')).to.equal(0.1);
  expect(exactQuantity('1Ki')).to.equal(1024);
  expect(exactQuantity('much')).to.equal(undefined);
});

describe('formatBytes', () => {
  it('says bytes in the largest unit that they fill', () => {
    for (const text of ['0', '1', '1023', '1Ki', '1025', '1536Ki', '2Gi', '3Ti']) {
      expect(formatBytes(parseQuantity(text)!)).to.equal(text);
    }
    expect(formatBytes(10_000_000)).to.equal('10000000');
    expect(formatBytes(2 ** 30 + 2 ** 20)).to.equal('1025Mi');
  });
});
