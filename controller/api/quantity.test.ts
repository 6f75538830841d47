import { expect } from 'chai';
import fc from 'fast-check';
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

it('exactQuantity reads what is written in thousandths as what is written with a point', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10_000_000 }), (n) => {
      expect(exactQuantity(`${n}m`)).to.equal(exactQuantity(String(n / 1000)));
      expect(exactQuantity(`${n / 1000}k`)).to.equal(n);
    }),
  );
  expect(exactQuantity('700m')).to.equal(exactQuantity('0.7'));
  expect(exactQuantity('1.m')).to.equal(exactQuantity('.001'));
  expect(exactQuantity('+1.5e3')).to.equal(exactQuantity('1.5k'));
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
