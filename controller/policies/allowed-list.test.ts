import { expect } from 'chai';
import fc from 'fast-check';
import { addressOf, familyOf, numberOf } from '../rules/addresses.ts';
import type { Allowed } from '../rules/wiring.ts';
import { allowedList, type Opening } from './allowed-list.ts';

/** Small numbers, so that much overlaps; near the end of the family too. */
const bound = fc.oneof(fc.nat(12), fc.integer({ min: 250, max: 255 }));
const range = fc.tuple(bound, bound).map(([a, b]) => ({ first: Math.min(a, b), last: Math.max(a, b) }));
const opening: fc.Arbitrary<Opening> = fc
  .record({
    ipv6: fc.boolean(),
    addresses: range,
    service: fc.oneof(
      { weight: 1, arbitrary: fc.constant({}) },
      {
        weight: 6,
        arbitrary: fc.record(
          { protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'sctp' as const), ports: range },
          { requiredKeys: ['protocol'] },
        ),
      },
    ),
  })
  .map(({ ipv6, addresses: { first, last }, service }) => {
    const base = ipv6 ? (1n << 128n) - 256n : (1n << 32n) - 256n;
    return {
      family: ipv6 ? 'ipv6' : 'ipv4',
      first: base + BigInt(first),
      last: base + BigInt(last),
      ...service,
    };
  });
const probe = fc.record({
  address: bound,
  ipv6: fc.boolean(),
  protocol: fc.constantFrom('tcp', 'udp', 'sctp', 'icmp'),
  port: bound,
});

interface Probe {
  readonly address: number;
  readonly ipv6: boolean;
  readonly protocol: string;
  readonly port: number;
}

function opens({ family, first, last, protocol, ports }: Opening, asked: Probe): boolean {
  const address = (family === 'ipv6' ? (1n << 128n) - 256n : (1n << 32n) - 256n) + BigInt(asked.address);
  if ((family === 'ipv6') !== asked.ipv6 || address < first || address > last) return false;
  if (protocol === undefined) return true;
  return (
    protocol === asked.protocol && (ports === undefined || (asked.port >= ports.first && asked.port <= ports.last))
  );
}

function openingOf({ addresses, ...service }: Allowed): Opening {
  const [first = '', last = ''] = addresses.split('-');
  return { family: familyOf(first), first: numberOf(first), last: numberOf(last), ...service };
}

describe('a list of what is allowed', () => {
  it('means what the openings mean, and nothing of it overlaps', () => {
    fc.assert(
      fc.property(fc.array(opening, { maxLength: 12 }), fc.array(probe, { minLength: 40 }), (openings, probes) => {
        const list = (allowedList(openings) ?? expect.fail()).map(openingOf);
        for (const each of probes) {
          const allowing = list.filter((one) => opens(one, each)).length;
          expect(allowing, JSON.stringify(each)).to.equal(openings.some((one) => opens(one, each)) ? 1 : 0);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('is the same for the same meaning, in whatever order and pieces', () => {
    fc.assert(
      fc.property(fc.array(opening, { maxLength: 12 }), (openings) => {
        const list = allowedList(openings) ?? expect.fail();
        expect(allowedList(openings.toReversed())).to.deep.equal(list);
        expect(allowedList([...list.map(openingOf), ...openings])).to.deep.equal(list);
      }),
    );
  });

  for (const [what, openings, list] of [
    ['touching addresses', [at(1n, 4n), at(5n, 9n)], [{ addresses: '0.0.0.1-0.0.0.9' }]],
    [
      'touching ports',
      [
        { ...at(1n, 4n), protocol: 'tcp', ports: { first: 1, last: 79 } },
        { ...at(1n, 4n), protocol: 'tcp', ports: { first: 80, last: 80 } },
      ],
      [{ addresses: '0.0.0.1-0.0.0.4', protocol: 'tcp', ports: { first: 1, last: 80 } }],
    ],
    [
      'what everything covers',
      [at(3n, 4n), { ...at(1n, 6n), protocol: 'udp' }],
      [
        { addresses: '0.0.0.1-0.0.0.2', protocol: 'udp' },
        { addresses: '0.0.0.3-0.0.0.4' },
        { addresses: '0.0.0.5-0.0.0.6', protocol: 'udp' },
      ],
    ],
    [
      'every address of a family',
      [at(0n, (1n << 32n) - 1n), { ...at(5n, 5n), protocol: 'tcp' }],
      [{ addresses: '0.0.0.0-255.255.255.255' }],
    ],
    ['nothing', [], []],
  ] satisfies readonly (readonly [string, readonly Opening[], readonly Allowed[]])[]) {
    it(`merges ${what}`, () => {
      expect(allowedList(openings)).to.deep.equal(list);
    });
  }

  it('is none where it would be too long', () => {
    const apart = Array.from({ length: 5 }, (_, i) => at(BigInt(i) * 2n, BigInt(i) * 2n));
    expect(allowedList(apart, 5)).to.have.length(5);
    expect(allowedList(apart, 4)).to.equal(undefined);
    expect(
      allowedList(
        apart.map((each) => ({ ...each, last: each.last + 1n })),
        4,
      ),
    ).to.have.length(1);
  });

  it('takes a second at most for what is thousands of times too long to use', function () {
    this.timeout(10_000);
    const began = process.hrtime.bigint();
    const many = Array.from({ length: 20_000 }, (_, i) => at(BigInt(i) * 2n, BigInt(i) * 2n));
    expect(allowedList([...many, at(0n, 40_000n)])).to.have.length(1);
    expect(addressOf(40_000n, 'ipv4')).to.equal('0.0.156.64');
    expect(Number(process.hrtime.bigint() - began) / 1e6).to.be.lessThan(1000);
  });
});

function at(first: bigint, last: bigint): Opening {
  return { family: 'ipv4', first, last };
}
