import { parseCidr, sizeOf } from '../addresses/cidr.ts';
import { canonicalAddress, families, familyOf, numberOf, type Family } from '../rules/addresses.ts';

/** Both ends belong to it. */
export interface AddressRange {
  readonly family: Family;
  readonly first: bigint;
  readonly last: bigint;
}

export const everyAddress: readonly AddressRange[] = families.map((family) => ({
  family,
  first: 0n,
  last: (1n << (family === 'ipv4' ? 32n : 128n)) - 1n,
}));

/** A plain address; undefined where the text is none (headless Services have `None`). */
export function rangeOfAddress(text: string): AddressRange | undefined {
  const address = canonicalAddress(text) ?? canonicalAddress(text.toLowerCase());
  if (address === undefined) return undefined;
  const number = numberOf(address);
  return { family: familyOf(address), first: number, last: number };
}

/** As the API server reads it: host bits may be set, and count for nothing. */
export function rangeOfCidr(text: string): AddressRange | undefined {
  const parsed = parseCidr(text);
  if (parsed.kind === 'invalid') return undefined;
  const cidr = parsed.kind === 'cidr' ? parsed.cidr : parsed.network;
  return {
    family: cidr.family === 4 ? 'ipv4' : 'ipv6',
    first: cidr.first,
    last: cidr.first + sizeOf(cidr) - 1n,
  };
}

export function covers(outer: AddressRange, inner: AddressRange): boolean {
  return outer.family === inner.family && outer.first <= inner.first && inner.last <= outer.last;
}

/** What is left of a range. */
export function without(range: AddressRange, holes: readonly AddressRange[]): readonly AddressRange[] {
  const { family } = range;
  const rest: AddressRange[] = [];
  let first = range.first;
  for (const hole of holes.filter((each) => each.family === family).toSorted((a, b) => (a.first < b.first ? -1 : 1))) {
    if (hole.last < first) continue;
    if (hole.first > range.last) break;
    if (hole.first > first) rest.push({ family, first, last: hole.first - 1n });
    first = hole.last + 1n;
  }
  return first > range.last ? rest : [...rest, { family, first, last: range.last }];
}
