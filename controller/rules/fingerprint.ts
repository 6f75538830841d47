import { createHash } from 'node:crypto';
import { isRecord } from './json-reader.ts';

/**
 * Of what a listing (`nft -j list table …`, parsed) says apart from elements: chains, rules in their order, declarations of
 * sets and counters. Taken right after a load that `differences` proved, and compared with later ones, it finds a rule that
 * somebody edited. Handles, counts and elements do not enter into it, and so it outlives what `changes` does; it depends on
 * the version of nft.
 */
export function fingerprint(listing: unknown): string {
  const objects: readonly unknown[] =
    isRecord(listing) && Array.isArray(listing['nftables']) ? listing['nftables'] : [];
  const said = objects
    .filter((each) => isRecord(each) && !('metainfo' in each))
    .map((each) => JSON.stringify(lasting(each)));
  const rules = said.filter((each) => each.startsWith('{"rule"'));
  const others = said.filter((each) => !each.startsWith('{"rule"')).sort();
  return createHash('sha256')
    .update([...others, ...rules].join('\n'))
    .digest('hex');
}

/** A new marker is a new counter and may be listed elsewhere: order matters among rules only. */
function lasting(object: unknown): unknown {
  if (!isRecord(object)) return object;
  return Object.fromEntries(
    Object.entries(object).map(([kind, value]) => [kind, kind === 'rule' ? rule(value) : declaration(kind, value)]),
  );
}

function declaration(kind: string, value: unknown): unknown {
  const passing = kind === 'counter' ? ['handle', 'packets', 'bytes', 'comment'] : ['handle', 'elem'];
  return isRecord(value) ? without(value, passing) : value;
}

function rule(value: unknown): unknown {
  return isRecord(value) ? { ...without(value, ['handle']), expr: uncounted(value['expr']) } : value;
}

function without(value: Readonly<Record<string, unknown>>, keys: readonly string[]): object {
  return Object.fromEntries(Object.entries(value).filter(([key]) => !keys.includes(key)));
}

/** Counters inside a rule count; named ones are strings. */
function uncounted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(uncounted);
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, key === 'counter' && isRecord(inner) ? {} : uncounted(inner)]),
  );
}
