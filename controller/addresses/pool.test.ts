import { expect } from 'chai';
import fc from 'fast-check';
import type { SplitNetworkSpec } from '../api/resources.ts';
import { networksOf, overlaps } from './overlap.ts';
import {
  addressesAt,
  blockCount,
  blockIndexAt,
  formatPoolError,
  maxContainers,
  poolOf,
  poolRanges,
  usableOffsets,
  withPrefix,
  type Pool,
  type PoolErrorCode,
} from './pool.ts';

describe('pool', () => {
  const standard = pool({ ipv4: '198.18.0.0/15', ipv6: 'fd5e:9b1c:47d2::/64', blockSize: 32 });

  it('numbers both families alike, and writes them in canonical form', () => {
    expect(blockCount(standard)).to.equal(4096);
    expect(addressesAt(standard, 0, 1)).to.deep.equal({
      mac: '0a:58:c6:12:00:01',
      ipv4: '198.18.0.1',
      ipv6: 'fd5e:9b1c:47d2::1',
    });
    expect(addressesAt(standard, 4095, 30)).to.deep.equal({
      mac: '0a:58:c6:13:ff:fe',
      ipv4: '198.19.255.254',
      ipv6: 'fd5e:9b1c:47d2::1:fffe',
    });
    expect(withPrefix(standard, addressesAt(standard, 1, 0))).to.deep.equal([
      '198.18.0.32/15',
      'fd5e:9b1c:47d2::20/64',
    ]);
    expect(poolRanges(standard)).to.deep.equal({ ipv4: '198.18.0.0/15', ipv6: 'fd5e:9b1c:47d2::/64' });
  });

  it('makes the MAC of the IPv6 address where there is no IPv4', () => {
    const sixOnly = pool({ ipv6: 'fd00:0:0:1::/64', blockSize: 8 });
    expect(addressesAt(sixOnly, 2, 1)).to.deep.equal({ mac: '0a:59:00:00:00:11', ipv6: 'fd00:0:0:1::11' });
    expect(withPrefix(sixOnly, addressesAt(sixOnly, 2, 1))).to.deep.equal(['fd00:0:0:1::11/64']);
  });

  it('has as many blocks as the scarcer family, and no more than MACs can tell apart', () => {
    expect(blockCount(pool({ ipv4: '10.9.0.0/16', ipv6: 'fd00::/120', blockSize: 16 }))).to.equal(16);
    expect(blockCount(pool({ ipv6: 'fd00::/64', blockSize: 32 }))).to.equal(2 ** 27);
  });

  it("never gives the range's first and last address", () => {
    expect(usableOffsets(standard, 0)).to.have.lengthOf(31).and.not.include(0);
    expect(usableOffsets(standard, 1)).to.have.lengthOf(32);
    expect(usableOffsets(standard, 4095)).to.have.lengthOf(31).and.not.include(31);
    expect(maxContainers(standard)).to.equal(31);
    expect(maxContainers(pool({ ipv4: '10.0.0.0/28', blockSize: 16 })), 'one block').to.equal(14);
    const unequal = pool({ ipv4: '10.0.0.0/24', ipv6: 'fd00::/64', blockSize: 8 });
    expect(usableOffsets(unequal, 31), "IPv4's broadcast").to.not.include(7);
  });

  it('finds the block of an address', () => {
    expect(blockIndexAt(standard, '198.18.0.33')).to.equal(1);
    expect(blockIndexAt(standard, 'fd5e:9b1c:47d2::1:fffe')).to.equal(4095);
    expect(blockIndexAt(standard, '198.20.0.0')).to.equal(undefined);
    expect(blockIndexAt(standard, '198.17.255.255')).to.equal(undefined);
    expect(blockIndexAt(standard, 'fd5e:9b1c:47d2::2:0'), 'beyond what IPv4 can number').to.equal(undefined);
    expect(blockIndexAt(standard, 'nonsense')).to.equal(undefined);
  });

  it('gives every index addresses and a MAC of its own, within the ranges', () => {
    const anyPool = fc
      .record({ four: fc.integer({ min: 23, max: 28 }), six: fc.integer({ min: 115, max: 120 }) })
      .map(({ four, six }) => pool({ ipv4: `10.64.0.0/${four}`, ipv6: `fd00:1::/${six}`, blockSize: 8 }));
    fc.assert(
      fc.property(anyPool, (one) => {
        const all = Array.from({ length: blockCount(one) }, (_, block) =>
          usableOffsets(one, block).map((offset) => ({ block, address: addressesAt(one, block, offset) })),
        ).flat();
        for (const key of ['mac', 'ipv4', 'ipv6'] as const) {
          expect(new Set(all.map(({ address }) => address[key])).size).to.equal(all.length);
        }
        for (const { block, address } of all) {
          expect(blockIndexAt(one, address.ipv4 ?? '')).to.equal(block);
          expect(blockIndexAt(one, address.ipv6 ?? '')).to.equal(block);
        }
      }),
      { numRuns: 20 },
    );
  });

  const wrong: readonly (readonly [what: string, spec: SplitNetworkSpec, ...codes: PoolErrorCode[]])[] = [
    ['no range', { blockSize: 32 }, 'NoRange'],
    ['no prefix length', { ipv4: '198.18.0.0', blockSize: 32 }, 'InvalidCIDR'],
    ['no address', { ipv4: 'pool', blockSize: 32 }, 'InvalidCIDR'],
    ['octal octets', { ipv4: '010.0.0.0/16', blockSize: 32 }, 'InvalidCIDR'],
    ['a zone', { ipv6: 'fd00::%eth0/64', blockSize: 32 }, 'InvalidCIDR'],
    ['IPv6 as IPv4', { ipv4: 'fd00::/64', blockSize: 32 }, 'WrongFamily'],
    ['IPv4 as IPv6', { ipv6: '198.18.0.0/15', blockSize: 32 }, 'WrongFamily'],
    ['host bits', { ipv4: '198.18.0.1/15', blockSize: 32 }, 'HostBits'],
    ['host bits, IPv6', { ipv6: 'fd00::1/64', blockSize: 32 }, 'HostBits'],
    ['too large', { ipv4: '10.0.0.0/7', blockSize: 32 }, 'PrefixLength'],
    ['too small', { ipv4: '10.0.0.0/29', blockSize: 8 }, 'PrefixLength'],
    ['loopback', { ipv4: '127.0.0.0/16', blockSize: 32 }, 'ReservedRange'],
    ['link-local', { ipv6: 'fe80::/64', blockSize: 32 }, 'ReservedRange'],
    ['multicast', { ipv4: '239.0.0.0/16', blockSize: 32 }, 'ReservedRange'],
    ['a block size between', { ipv4: '10.0.0.0/16', blockSize: 24 }, 'BlockSize'],
    ['a small block', { ipv4: '10.0.0.0/16', blockSize: 4 }, 'BlockSize'],
    ['a large block', { ipv4: '10.0.0.0/16', blockSize: 512 }, 'BlockSize'],
    ['half an address', { ipv4: '10.0.0.0/16', blockSize: 8.5 }, 'BlockSize'],
    ['less than a block', { ipv4: '10.0.0.0/28', ipv6: 'fd00::/64', blockSize: 32 }, 'PoolTooSmall'],
    ['two things', { ipv4: '10.0.0.1/16', blockSize: 3 }, 'HostBits', 'BlockSize'],
  ];
  for (const [what, spec, ...codes] of wrong) {
    it(`refuses ${what}`, () => {
      const parsed = poolOf(spec);
      if (parsed.kind !== 'invalid') throw new Error('it parsed');
      expect(parsed.errors.map((error) => error.code)).to.deep.equal(codes);
      expect(parsed.errors.map(formatPoolError).join('\n')).to.match(/^spec/);
    });
  }
});

describe('overlap', () => {
  const one = pool({ ipv4: '198.18.0.0/15', ipv6: 'fd00::/64', blockSize: 32 });
  const cases: readonly (readonly [cidr: string, overlapping: string | undefined])[] = [
    ['198.18.7.0/24', '198.18.0.0/15'],
    ['198.0.0.0/8', '198.18.0.0/15'],
    ['198.19.255.255', '198.18.0.0/15'],
    ['198.19.0.7/16', '198.18.0.0/15'],
    ['198.20.0.0/16', undefined],
    ['198.17.255.255', undefined],
    ['10.96.0.0/12', undefined],
    ['fd00::/48', 'fd00::/64'],
    ['fd00::ffff', 'fd00::/64'],
    ['fd00:0:0:1::/64', undefined],
    ['::/0', 'fd00::/64'],
    ['no network', undefined],
  ];
  for (const [cidr, range] of cases) {
    it(`${cidr} ${range === undefined ? 'does not overlap' : `overlaps ${range}`}`, () => {
      const wanted = range === undefined ? [] : [{ what: 'Pod CIDR of node a', cidr, range }];
      expect(overlaps(one, [{ what: 'Pod CIDR of node a', cidr }])).to.deep.equal(wanted);
    });
  }

  it('sees another SplitNetwork', () => {
    const other = pool({ ipv4: '198.19.0.0/16', blockSize: 8 });
    expect(overlaps(one, networksOf('other', other))).to.deep.equal([
      { what: 'SplitNetwork other', cidr: '198.19.0.0/16', range: '198.18.0.0/15' },
    ]);
  });
});

function pool(spec: SplitNetworkSpec): Pool {
  const parsed = poolOf(spec);
  if (parsed.kind !== 'pool') throw new Error(parsed.errors.map(formatPoolError).join('\n'));
  return parsed.pool;
}
