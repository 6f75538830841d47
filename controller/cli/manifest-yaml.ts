import { parseJson } from '../api/json.ts';
import {
  type Document,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseAllDocuments,
  type ScalarTag,
  stringify,
  type Tags,
} from 'yaml';

export type ParsedDocuments =
  | { readonly kind: 'documents'; readonly documents: readonly unknown[] }
  | { readonly kind: 'invalid'; readonly line: number; readonly message: string };

/** Reads YAML, and so JSON, as kubectl does: YAML 1.1 (`defaultMode: 0644` is octal), empty documents left out. */
export function parseManifests(text: string): ParsedDocuments {
  // What kubectl prints as JSON may be a cluster's Pods: a parser of YAML takes many times as long.
  const json = /^\s*\{/.test(text) ? parseJson(text) : undefined;
  if (json !== undefined) return { kind: 'documents', documents: [json] };
  // Aliases may be many, as in a list of equal arguments, but a document that explodes (a "billion laughs") is refused.
  const options = { version: '1.1', customTags: withoutTimes, prettyErrors: false, logLevel: 'error' } as const;
  const documents: Document[] = [];
  for (const document of parseAllDocuments(text, options)) {
    const [error] = document.errors;
    if (error !== undefined) {
      return { kind: 'invalid', line: lineAt(text, error.pos[0]), message: error.message };
    }
    documents.push(document);
  }
  try {
    const values = documents.map((document): unknown => document.toJS({ maxAliasCount: 10_000 }));
    return { kind: 'documents', documents: values.filter((value) => value !== null && value !== undefined) };
  } catch (error) {
    return { kind: 'invalid', line: 1, message: error instanceof Error ? error.message : String(error) };
  }
}

/** One document, quoted so that readers of YAML 1.1 see the same: `"on"`, `"0777"`, `"1:30"` stay strings. */
export function formatManifest(value: unknown): string {
  return stringify(value, { compat: 'yaml-1.1', version: '1.2', lineWidth: 0, aliasDuplicateObjects: false });
}

/** kubectl's reader leaves `12:30` and `2026-01-31` strings. */
/**
 * Finds the line of a field, or of the deepest one above it that is written down.
 *
 * @returns from the index of a document, empty ones left out, and a path in it; the first line is 1
 */
export function lineFinder(text: string): (document: number, path: readonly (string | number)[]) => number {
  const lineCounter = new LineCounter();
  const parsed = parseAllDocuments(text, { version: '1.1', prettyErrors: false, logLevel: 'error', lineCounter });
  const documents = [...parsed].filter(
    ({ contents }) => contents !== null && !(isScalar(contents) && contents.value === null),
  );
  return (document, path) => {
    let node: unknown = documents[document]?.contents;
    let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
    for (const step of path) {
      const found = childOf(node, step);
      if (found === undefined) break;
      offset = found.offset;
      node = found.node;
    }
    return lineCounter.linePos(offset).line;
  };
}

/** What stands there; of a field the line is its key's. Aliases lead elsewhere, and are not followed. */
function childOf(
  node: unknown,
  step: string | number,
): { readonly node: unknown; readonly offset: number } | undefined {
  if (isMap(node)) {
    const pair = node.items.find(({ key }) => (isScalar(key) ? String(key.value) : key) === String(step));
    const key = pair?.key;
    return pair === undefined || !isNode(key) ? undefined : { node: pair.value, offset: key.range?.[0] ?? 0 };
  }
  if (!isSeq(node) || typeof step !== 'number') return undefined;
  const item = node.items[step];
  return isNode(item) ? { node: item, offset: item.range?.[0] ?? 0 } : undefined;
}

function withoutTimes(tags: Tags): Tags {
  return tags.filter((tag) => typeof tag === 'string' || !isTime(tag));
}

function isTime(tag: { readonly tag: string } & Partial<Pick<ScalarTag, 'format'>>): boolean {
  return tag.format === 'TIME' || tag.tag === 'tag:yaml.org,2002:timestamp';
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}
