import type { SplitNetworkSpec } from '../api/resources.ts';
import {
  cidrsOverlap,
  formatAddress,
  formatCidr,
  parseAddress,
  parseCidr,
  sizeOf,
  type Cidr,
  type Family,
} from './cidr.ts';

/** A SplitNetwork's ranges, parsed. Block `i` is the i-th run of `blockSize` addresses in each family's range. */
export interface Pool {
  readonly ipv4?: Cidr;
  readonly ipv6?: Cidr;
  readonly blockSize: number;
}

/** What one piece has on the peer network: at least one address, canonical text, no prefix length. */
export interface PieceAddress {
  readonly mac: string;
  readonly ipv4?: string;
  readonly ipv6?: string;
}

export type PoolParse =
  { readonly kind: 'pool'; readonly pool: Pool } | { readonly kind: 'invalid'; readonly errors: readonly PoolError[] };

export interface PoolError {
  readonly code: PoolErrorCode;
  readonly path: string;
  readonly message: string;
  readonly action: string;
}

/** What to do, for each thing that can be wrong. The CRD's CEL rules refuse the same; an old object may still have them. */
const poolErrors = {
  NoRange: 'Set spec.ipv4, spec.ipv6, or both.',
  InvalidCIDR: 'Write the range in CIDR form, for example 198.18.0.0/15 or fd5e:9b1c:47d2::/64.',
  WrongFamily: 'Put IPv4 ranges into spec.ipv4 and IPv6 ranges into spec.ipv6.',
  HostBits: 'Write the first address of the range.',
  PrefixLength: 'Choose a range of another size.',
  ReservedRange: 'Choose a private range that is routed nowhere in the cluster.',
  BlockSize: 'Choose a power of two from 8 to 256.',
  PoolTooSmall: 'Choose a smaller blockSize or a larger range.',
} as const;

export type PoolErrorCode = keyof typeof poolErrors;

/** Shortest and longest prefix. A /28 holds one block of 16; no IPv6 range needs to be larger than a site's /48. */
const prefixLengths = { 4: [8, 28], 6: [48, 120] } as const satisfies Record<Family, readonly [number, number]>;

/** Ranges with a meaning of their own to every IP stack (RFC 6890); piece rules drop or treat them apart. */
const reserved = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3', '::/16', 'fe80::/10', 'ff00::/8'].map(
  (text) => {
    const parsed = parseCidr(text);
    if (parsed.kind !== 'cidr') throw new TypeError(text);
    return parsed.cidr;
  },
);

/** 0a:58 and 0a:59 are locally administered, unicast (IEEE 802: bit 1 set, bit 0 clear); the last four bytes are an index. */
const macPrefix = { 4: 0x0a58n, 6: 0x0a59n } as const;
const macAddresses = 1n << 32n;

/** Kept with the spec, which stays as it came: each look at a Pod asks for its pool. */
const pools = new WeakMap<SplitNetworkSpec, PoolParse>();

export function poolOf(spec: SplitNetworkSpec): PoolParse {
  const pool = pools.get(spec) ?? parsePool(spec);
  pools.set(spec, pool);
  return pool;
}

function parsePool(spec: SplitNetworkSpec): PoolParse {
  const errors: PoolError[] = [];
  const ipv4 = parseRange(4, spec.ipv4, errors);
  const ipv6 = parseRange(6, spec.ipv6, errors);
  const { blockSize } = spec;
  if (spec.ipv4 === undefined && spec.ipv6 === undefined)
    errors.push(poolError('NoRange', 'spec', 'no range is given.'));
  if (!Number.isInteger(blockSize) || blockSize < 8 || blockSize > 256 || !isPowerOfTwo(blockSize)) {
    errors.push(poolError('BlockSize', 'spec.blockSize', `${blockSize} is not a size that blocks can have.`));
  } else {
    for (const range of [ipv4, ipv6]) {
      if (range === undefined || sizeOf(range) >= BigInt(blockSize)) continue;
      const message = `${formatCidr(range)} has ${sizeOf(range).toString()} addresses, one block has ${blockSize}.`;
      errors.push(poolError('PoolTooSmall', `spec.ipv${range.family}`, message));
    }
  }
  if (errors.length > 0) return { kind: 'invalid', errors };
  return { kind: 'pool', pool: { ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }), blockSize } };
}

export function formatPoolError(error: PoolError): string {
  return `${error.path}: ${error.message} ${error.action} (${error.code})`;
}

/** The scarcer family decides: each address of a block exists in every family. */
export function blockCount(pool: Pool): number {
  // A MAC carries 32 bits of the address, so more addresses than that could not be told apart.
  const sizes = [macAddresses, ...ranges(pool).map(sizeOf)];
  const smallest = sizes.reduce((least, size) => (size < least ? size : least));
  return Number(smallest / BigInt(pool.blockSize));
}

/** The same index in every family, so that one number names a piece's addresses and its MAC. */
export function addressesAt(pool: Pool, blockIndex: number, offset: number): PieceAddress {
  const index = indexOf(pool, blockIndex, offset);
  const mac = macOf(pool, index);
  return {
    mac,
    ...(pool.ipv4 && { ipv4: formatAddress(4, pool.ipv4.first + index) }),
    ...(pool.ipv6 && { ipv6: formatAddress(6, pool.ipv6.first + index) }),
  };
}

/** The index of the block that an address belongs to; undefined for one outside the pool. */
export function blockIndexAt(pool: Pool, address: string): number | undefined {
  const parsed = parseAddress(address);
  const range = parsed === undefined ? undefined : ranges(pool).find((one) => one.family === parsed.family);
  if (parsed === undefined || range === undefined) return undefined;
  const index = parsed.first - range.first;
  const block = Number(index / BigInt(pool.blockSize));
  return index >= 0n && block < blockCount(pool) ? block : undefined;
}

/**
 * The offsets that may be given. The range is net1's subnet, so its first address is the network (in IPv6 the routers'
 * anycast address, RFC 4291 section 2.6.1) and IPv4's last one the broadcast; a kernel treats them apart.
 */
export function usableOffsets(pool: Pool, blockIndex: number): readonly number[] {
  const lasts = new Set(ranges(pool).map((range) => sizeOf(range) - 1n));
  return Array.from({ length: pool.blockSize }, (_, offset) => offset).filter((offset) => {
    const index = indexOf(pool, blockIndex, offset);
    return index !== 0n && !lasts.has(index);
  });
}

/** The largest Pod that fits into any block, the first and the last too. */
export function maxContainers(pool: Pool): number {
  const edges = [0, blockCount(pool) - 1].map((index) => usableOffsets(pool, index).length);
  return Math.min(...edges);
}

/**
 * As the static IPAM plugin wants them, IPv4 first. The prefix is the pool's, not the block's: pieces of one workload may
 * have addresses of several blocks, and all of the pool must be on-link and nowhere else.
 */
export function withPrefix(pool: Pool, address: PieceAddress): readonly string[] {
  const cidrs: string[] = [];
  if (pool.ipv4 && address.ipv4 !== undefined) cidrs.push(`${address.ipv4}/${pool.ipv4.prefixLength}`);
  if (pool.ipv6 && address.ipv6 !== undefined) cidrs.push(`${address.ipv6}/${pool.ipv6.prefixLength}`);
  return cidrs;
}

/** The ranges as a Wiring names them. */
export function poolRanges(pool: Pool): { readonly ipv4?: string; readonly ipv6?: string } {
  return { ...(pool.ipv4 && { ipv4: formatCidr(pool.ipv4) }), ...(pool.ipv6 && { ipv6: formatCidr(pool.ipv6) }) };
}

export function ranges(pool: Pool): readonly Cidr[] {
  return [pool.ipv4, pool.ipv6].filter((range) => range !== undefined);
}

function indexOf(pool: Pool, blockIndex: number, offset: number): bigint {
  return BigInt(blockIndex) * BigInt(pool.blockSize) + BigInt(offset);
}

function macOf(pool: Pool, index: bigint): string {
  const range = pool.ipv4 ?? pool.ipv6;
  if (range === undefined) throw new TypeError('A pool has at least one range.');
  const bits = (macPrefix[range.family] << 32n) | ((range.first + index) % macAddresses);
  return (bits.toString(16).padStart(12, '0').match(/../g) ?? []).join(':');
}

function parseRange(family: Family, text: string | undefined, errors: PoolError[]): Cidr | undefined {
  if (text === undefined) return undefined;
  const path = `spec.ipv${family}`;
  const parsed = parseCidr(text);
  if (parsed.kind === 'invalid') {
    errors.push(poolError('InvalidCIDR', path, `"${text}" is not a range in CIDR form.`));
    return undefined;
  }
  const range = parsed.kind === 'cidr' ? parsed.cidr : parsed.network;
  const [shortest, longest] = prefixLengths[family];
  if (range.family !== family) {
    errors.push(poolError('WrongFamily', path, `"${text}" is an IPv${range.family} range.`));
    return undefined;
  }
  if (parsed.kind === 'host-bits') {
    errors.push(poolError('HostBits', path, `"${text}" has host bits set; its range is ${formatCidr(range)}.`));
  }
  if (range.prefixLength < shortest || range.prefixLength > longest) {
    const message = `the prefix length of "${text}" is not between ${shortest} and ${longest}.`;
    errors.push(poolError('PrefixLength', path, message));
  }
  const meant = reserved.find((other) => cidrsOverlap(range, other));
  if (meant) errors.push(poolError('ReservedRange', path, `"${text}" overlaps ${formatCidr(meant)} (RFC 6890).`));
  return range;
}

function poolError(code: PoolErrorCode, path: string, message: string): PoolError {
  return { code, path, message, action: poolErrors[code] };
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value));
}
