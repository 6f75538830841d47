import { addressOf, familyOf, numberOf, type Family } from './addresses.ts';
import { isRecord } from './json-reader.ts';
import type { NamedSet } from './nft.ts';

/** How many elements a difference names; who looks for an error needs no more. */
const most = 3;

/** How the elements that nft lists (`elem` of its JSON) differ from those that were loaded. */
export function elementDifferences(set: NamedSet, listed: readonly unknown[]): readonly string[] {
  if (set.kind === 'dynamic') return [];
  const form = forms[set.kind];
  const actual = form(listed.map((element) => listedElement(element, keyTypes(set))));
  const wanted = form(set.elements.map((element) => element.replaceAll('"', '')));
  return [...some('lacks', minus(wanted, actual)), ...some('has', minus(actual, wanted))];
}

const forms: Readonly<Record<NamedSet['kind'], (elements: readonly string[]) => readonly string[]>> = {
  set: (elements) => elements,
  map: (elements) => elements,
  dynamic: (elements) => elements,
  interval: merged,
  ranges: (elements) => elements.map((element) => element.split(' . ').map(inFull).join(' . ')),
};

export function minus(some: readonly string[], others: readonly string[]): readonly string[] {
  const known = new Set(others);
  return some.filter((element) => !known.has(element));
}

function some(verb: string, elements: readonly string[]): readonly string[] {
  if (elements.length === 0) return [];
  const more = elements.length > most ? ` and ${elements.length - most} more` : '';
  return [`${verb} ${elements.slice(0, most).join(', ')}${more}`];
}

function keyTypes({ type }: NamedSet): readonly string[] {
  const [key = ''] = type.split(' : ');
  return key.split(' . ');
}

/** An element of nft's JSON (libnftables-json(5)) as it is written in a ruleset. */
function listedElement(element: unknown, types: readonly string[]): string {
  if (Array.isArray(element)) return element.map((part) => listedElement(part, types)).join(' : ');
  if (!isRecord(element)) return plain(element, types[0]);
  const { concat, prefix, range, elem } = element;
  if (Array.isArray(concat)) return concat.map((part, i) => listedElement(part, types.slice(i))).join(' . ');
  if (Array.isArray(range)) return range.map(String).join('-');
  if (isRecord(prefix)) return `${String(prefix['addr'])}/${String(prefix['len'])}`;
  if (isRecord(elem)) return listedElement(elem['val'], types);
  return JSON.stringify(element);
}

/** Where there is no /etc/protocols nft lists numbers. */
const protocols: Readonly<Record<string, string>> = { '6': 'tcp', '17': 'udp', '132': 'sctp' };

function plain(value: unknown, type: string | undefined): string {
  return type === 'inet_proto' ? (protocols[String(value)] ?? String(value)) : String(value);
}

/** Ranges in order, overlapping and adjacent ones as one: `auto-merge` lists fewer than were loaded. */
export function merged(elements: readonly string[]): readonly string[] {
  const ranges = elements.map(rangeOf).toSorted((a, b) => (a.first < b.first ? -1 : 1));
  const result: Range[] = [];
  for (const range of ranges) {
    const before = result.at(-1);
    if (before === undefined || range.first > before.last + 1n) result.push(range);
    else result[result.length - 1] = { ...before, last: range.last > before.last ? range.last : before.last };
  }
  return result.map(({ first, last, family }) => `${addressOf(first, family)}-${addressOf(last, family)}`);
}

/** nft lists a range as a prefix where it is one, and as a single value where it has one. */
function inFull(part: string): string {
  if (/^\d+$/.test(part)) return `${part}-${part}`;
  if (!/[.:]/.test(part)) return part;
  const { first, last, family } = rangeOf(part);
  return `${addressOf(first, family)}-${addressOf(last, family)}`;
}

/** All of one set are of one family. */
interface Range {
  readonly first: bigint;
  readonly last: bigint;
  readonly family: Family;
}

/** `address`, `address/length` or `address-address`. */
function rangeOf(element: string): Range {
  const [from = '', to = from] = element.split('-');
  const [address = '', length] = from.split('/');
  const family = familyOf(address);
  const first = numberOf(address);
  if (length === undefined) return { first, last: numberOf(to), family };
  const rest = BigInt((family === 'ipv4' ? 32 : 128) - Number(length));
  return { first, last: first + (1n << rest) - 1n, family };
}
