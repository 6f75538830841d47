import { type Document, type ScalarTag, type Tags, parseAllDocuments, stringify } from 'yaml';

export type ParsedDocuments =
  | { readonly kind: 'documents'; readonly documents: readonly unknown[] }
  | { readonly kind: 'invalid'; readonly line: number; readonly message: string };

/** Reads YAML, and so JSON, as kubectl does: YAML 1.1 (`defaultMode: 0644` is octal), empty documents left out. */
export function parseManifests(text: string): ParsedDocuments {
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
function withoutTimes(tags: Tags): Tags {
  return tags.filter((tag) => typeof tag === 'string' || !isTime(tag));
}

function isTime(tag: { readonly tag: string } & Partial<Pick<ScalarTag, 'format'>>): boolean {
  return tag.format === 'TIME' || tag.tag === 'tag:yaml.org,2002:timestamp';
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}
