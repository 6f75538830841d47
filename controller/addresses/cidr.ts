import { Address4, Address6 } from 'ip-address';

export type Family = 4 | 6;

/** A network prefix as numbers. `first` has no host bits. */
export interface Cidr {
  readonly family: Family;
  readonly first: bigint;
  readonly prefixLength: number;
}

export const addressBits = { 4: 32, 6: 128 } as const satisfies Record<Family, number>;

export type CidrParse =
  | { readonly kind: 'cidr'; readonly cidr: Cidr }
  | { readonly kind: 'host-bits'; readonly network: Cidr }
  | { readonly kind: 'invalid' };

/** `198.18.0.0/15`, `fd00::/64`. The prefix length must be written; a zone (RFC 4007) is none of a network's business. */
export function parseCidr(text: string): CidrParse {
  const address = parseAddress(text);
  if (address === undefined || !text.includes('/')) return { kind: 'invalid' };
  const network = networkOf(address);
  return network.first === address.first ? { kind: 'cidr', cidr: network } : { kind: 'host-bits', network };
}

/** An address with or without prefix length, host bits kept; without one it is the prefix of itself alone. */
export function parseAddress(text: string): Cidr | undefined {
  if (Address4.isValid(text)) {
    const address = new Address4(text);
    return { family: 4, first: address.bigInt(), prefixLength: address.subnetMask };
  }
  if (text.includes('%') || !Address6.isValid(text)) return undefined;
  const address = new Address6(text);
  return { family: 6, first: address.bigInt(), prefixLength: address.subnetMask };
}

export function sizeOf(cidr: Cidr): bigint {
  return 1n << BigInt(addressBits[cidr.family] - cidr.prefixLength);
}

/** Prefixes are either nested or apart. */
export function cidrsOverlap(one: Cidr, other: Cidr): boolean {
  if (one.family !== other.family) return false;
  return one.first < other.first + sizeOf(other) && other.first < one.first + sizeOf(one);
}

/** Canonical text: dotted decimal, or RFC 5952. */
export function formatAddress(family: Family, address: bigint): string {
  return family === 4 ? Address4.fromBigInt(address).correctForm() : Address6.fromBigInt(address).correctForm();
}

export function formatCidr(cidr: Cidr): string {
  return `${formatAddress(cidr.family, cidr.first)}/${cidr.prefixLength}`;
}

/** The same prefix without host bits. */
export function networkOf(address: Cidr): Cidr {
  const hostBits = BigInt(addressBits[address.family] - address.prefixLength);
  return { ...address, first: (address.first >> hostBits) << hostBits };
}
