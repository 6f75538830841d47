import { elementDifferences } from './elements.ts';
import { isRecord } from './json-reader.ts';
import { markerName, type NamedSet, type Table } from './nft.ts';

/**
 * How the table that the kernel lists (`nft -j list table inet podsplit`, parsed) differs from the one that was compiled;
 * empty when it is in: the marker, every chain with its hook, priority, policy and number of rules, every set with its
 * elements (dynamic sets fill themselves). What the rules say is not compared, because nft lists it in words of its own:
 * `fingerprint` tells whether it is what it was. The listing does not name the device of an ingress chain.
 */
export function differences(table: Table, listing: unknown): readonly string[] {
  const found = contents(listing);
  const wanted = new Map<string, string>([
    [`counter ${markerName}`, table.marker],
    ...table.counters.map((name) => [`counter ${name}`, ''] as const),
    ...table.sets.map((set) => [nameOf(set), ''] as const),
    ...table.chains.map(
      ({ name, base, rules }) => [`chain ${name}`, `${describe(base)}${rules.length} rules`] as const,
    ),
  ]);
  const missing = [...wanted].flatMap(([what, how]) => {
    const actual = found.said.get(what);
    if (actual === undefined) return [`${what} is missing`];
    return how === '' || actual === how ? [] : [`${what} is "${actual}", not "${how}"`];
  });
  const foreign = [...found.said.keys()].filter((what) => !wanted.has(what)).map((what) => `${what} is not ours`);
  const elements = table.sets.flatMap((set) => {
    const listed = found.elements.get(nameOf(set));
    return listed === undefined ? [] : elementDifferences(set, listed).map((how) => `${nameOf(set)} ${how}`);
  });
  return [...missing, ...foreign, ...elements];
}

function nameOf({ kind, name }: NamedSet): string {
  return `${kind === 'map' ? 'map' : 'set'} ${name}`;
}

interface Contents {
  readonly said: ReadonlyMap<string, string>;
  readonly elements: ReadonlyMap<string, readonly unknown[]>;
}

/** What is in the table, each with what can be said of it in few words. */
function contents(listing: unknown): Contents {
  const objects = isRecord(listing) && Array.isArray(listing['nftables']) ? listing['nftables'] : [];
  const found = new Map<string, string>();
  const elements = new Map<string, readonly unknown[]>();
  const rules = new Map<string, number>();
  for (const each of objects as unknown[]) {
    if (!isRecord(each)) continue;
    const [kind = '', value] = Object.entries(each)[0] ?? [];
    if (!isRecord(value)) continue;
    const name = String(value['name']);
    if (kind === 'rule') rules.set(String(value['chain']), (rules.get(String(value['chain'])) ?? 0) + 1);
    if (kind === 'counter') found.set(`counter ${name}`, typeof value['comment'] === 'string' ? value['comment'] : '');
    if (kind === 'set' || kind === 'map') {
      found.set(`${kind} ${name}`, '');
      elements.set(`${kind} ${name}`, Array.isArray(value['elem']) ? value['elem'] : []);
    }
    if (kind === 'chain') {
      const base = { type: value['type'], hook: value['hook'], priority: value['prio'], policy: value['policy'] };
      found.set(`chain ${name}`, describe(base.type === undefined ? undefined : base));
    }
  }
  for (const [what, how] of found) {
    if (what.startsWith('chain ')) found.set(what, `${how}${rules.get(what.slice('chain '.length)) ?? 0} rules`);
  }
  return { said: found, elements };
}

interface Described {
  readonly type: unknown;
  readonly hook: unknown;
  readonly priority: unknown;
  readonly policy: unknown;
}

function describe(base: Described | undefined): string {
  if (base === undefined) return '';
  return `${[base.type, base.hook, base.priority, base.policy].map(String).join(' ')}, `;
}
