import { stringify } from 'yaml';
import { sameJson } from '../api/same-json.ts';
import type { SourceDocument } from './documents.ts';
import { conditions, imagePlaces, type Place, settings, versionPlaces } from './settings.ts';
import { type Edit, splice, valueAt } from './splice.ts';
import { imageOf, valueOf, type Values } from './values.ts';

export interface Rendering {
  readonly values: Values;
  /** Of podsplit, for the label that says what is installed. */
  readonly version: string;
}

/** An object to apply. */
export type RenderedDocument = Pick<SourceDocument, 'object' | 'text'>;

/** What to apply, in order: each document is the source's text, but for what the values change. */
export function renderManifests(
  documents: readonly SourceDocument[],
  rendering: Rendering,
): readonly RenderedDocument[] {
  return documents
    .filter(({ object }) => (conditions[object] ?? []).every((key) => saysYes(valueOf(rendering.values, key))))
    .map((document) => ({
      object: document.object,
      text: splice(document.text, document.contents, editsOf(document, rendering)),
    }));
}

/** Of what the schemas of conditions allow, what Helm's `if` takes for true. */
function saysYes(value: unknown): boolean {
  return value === true || (Array.isArray(value) && value.length > 0);
}

/** One YAML stream, as `kubectl apply -f` takes it. */
export function manifestStream(documents: readonly RenderedDocument[]): string {
  return documents.map(({ text }) => text).join('---\n');
}

/** Values that are as in the source stay as they are written there. */
function editsOf({ object, contents }: SourceDocument, { values, version }: Rendering): readonly Edit[] {
  const there = (places: readonly Place[], value: unknown): readonly Edit[] =>
    places
      .filter((place) => place.object === object)
      .filter(({ path }) => !sameJson(valueAt(contents, path), value))
      .map(({ path }) => ({ path, text: () => ` ${inline(value)}` }));
  return [
    ...settings.flatMap(({ key, places }) => there(places, valueOf(values, key))),
    ...there(imagePlaces, imageOf(values)),
    ...there(versionPlaces, version),
  ];
}

/** On one line, quoted so that readers of YAML 1.1 see the same. */
function inline(value: unknown): string {
  const options = { collectionStyle: 'flow', lineWidth: 0, compat: 'yaml-1.1', flowCollectionPadding: false } as const;
  return stringify(value, options).trimEnd().replaceAll(/\n\s*/g, ' ');
}
