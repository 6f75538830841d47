import { isRecord } from './json-reader.ts';
import type { LinkBatches } from './links.ts';

/** Input of `ip -4 -json -batch -` and of `ip -6 …`: all that `links` sets can be seen in these. */
export const linkListing: readonly string[] = [
  'link show dev net1',
  'neighbour show dev net1',
  'rule show',
  'route show table all dev net1',
];

/** What a line of a batch makes, or one object of a listing is, in words that are the same for both. */
type Fact = string;

/**
 * What of a batch is not there any more, in what `ip` lists (its arrays, flattened); empty where all is. What somebody added
 * is not looked for: the tables judge packets, and links only lead them.
 */
export function linkDifferences(batch: LinkBatches['ipv4'], listed: readonly unknown[]): readonly string[] {
  const found = new Set(listed.flatMap((each) => (isRecord(each) ? listedFact(each) : [])));
  return batch
    .flatMap(wantedFact)
    .filter((fact) => !found.has(fact))
    .map((fact) => `net1 has no ${fact}`);
}

/** None for a line that takes something away. */
export function wantedFact(line: string): readonly Fact[] {
  const [object = '', verb = '', ...words] = line.split(' ');
  const after = (word: string): string | undefined => {
    const at = words.indexOf(word);
    return at === -1 ? undefined : words[at + 1];
  };
  switch (`${object} ${verb}`) {
    case 'link set':
      return after('arp') === 'off' ? [noArp] : [];
    case 'neighbour replace':
      return [neighbour(words[0], after('lladdr'))];
    case 'rule add': {
      const [pref, iif, oif, mark] = [after('pref'), after('iif'), after('oif'), after('fwmark')];
      return [rule({ pref, iif, oif, to: after('to')?.replace(/\/128$|\/32$/, ''), mark, table: after('lookup') })];
    }
    case 'route replace': {
      const type = words[0] === 'local' ? 'local' : undefined;
      const to = (type === undefined ? words[0] : words[1])?.replace(/\/128$|\/32$/, '');
      return [route({ type, to, via: after('via'), table: after('table') })];
    }
    default:
      return [];
  }
}

function listedFact(each: Readonly<Record<string, unknown>>): readonly Fact[] {
  const text = (key: string): string | undefined => {
    const value = each[key];
    return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
  };
  const { flags, state, priority, ifindex, lladdr, dst } = each;
  if (ifindex !== undefined) return Array.isArray(flags) && flags.includes('NOARP') ? [noArp] : [];
  if (priority !== undefined) {
    const [pref, iif, oif, mark] = [text('priority'), text('iif'), text('oif'), text('fwmark')];
    return [rule({ pref, iif, oif, to: text('dst'), mark, table: text('table') })];
  }
  if (lladdr !== undefined) {
    return Array.isArray(state) && state.includes('PERMANENT') ? [neighbour(text('dst'), text('lladdr'))] : [];
  }
  return dst === undefined
    ? []
    : [route({ type: text('type'), to: text('dst'), via: text('gateway'), table: text('table') })];
}

const noArp: Fact = 'flag NOARP';

function neighbour(address: string | undefined, mac: string | undefined): Fact {
  return `permanent neighbour ${address} at ${mac}`;
}

function rule(words: Readonly<Record<'pref' | 'iif' | 'oif' | 'to' | 'mark' | 'table', string | undefined>>): Fact {
  return `rule ${said(words)}`;
}

function route(words: Readonly<Record<'type' | 'to' | 'via' | 'table', string | undefined>>): Fact {
  return `route ${said(words)}`;
}

/** In the order of the fields, whatever order they were given in. */
function said(words: Readonly<Record<string, string | undefined>>): string {
  return Object.entries(words)
    .flatMap(([key, value]) => (value === undefined ? [] : [`${key} ${value}`]))
    .toSorted()
    .join(' ');
}
