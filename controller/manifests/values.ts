import { at, isRecord, type JsonObject } from '../api/json.ts';
import type { SourceDocument } from './documents.ts';
import { misfits, type Schema } from './schema.ts';
import { settings, type Setting } from './settings.ts';
import { valueAt } from './splice.ts';

/** What was chosen, by the names of `settings`: as in the chart's values.yaml. */
export type Values = JsonObject;

/** What podsplit.yaml is made with. */
export function defaultValues(documents: readonly SourceDocument[]): Values {
  return nested((setting) => defaultOf(setting, documents));
}

function defaultOf({ places: [place], otherwise }: Setting, documents: readonly SourceDocument[]): unknown {
  if (place === undefined || otherwise !== undefined) return otherwise;
  const document = documents.find(({ object }) => object === place.object);
  if (document === undefined) throw new Error(`no ${place.object} in crds/ or templates/`);
  return valueAt(document.contents, place.path);
}

/** The chart's values.schema.json. */
export function valuesSchema(): Schema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Values of podsplit',
    ...group(nested(({ schema, about }) => ({ ...schema, description: about }))),
  };
}

/** Names that are groups become objects; `nested` gives schemas at the leaves. */
function group(tree: JsonObject): Schema {
  const keys = settings.map(({ key }) => key);
  const below = (path: string, node: unknown): Schema => {
    if (keys.includes(path)) return node as Schema;
    const properties = Object.fromEntries(
      Object.entries(isRecord(node) ? node : {}).map(([name, inner]) => [
        name,
        below(path === '' ? name : `${path}.${name}`, inner),
      ]),
    );
    // A chart that is part of another one gets `global`.
    return {
      type: 'object',
      properties: path === '' ? { ...properties, global: { type: 'object' } } : properties,
      additionalProperties: false,
    };
  };
  return below('', tree);
}

function nested(leaf: (setting: Setting) => unknown): JsonObject {
  const tree: Record<string, unknown> = {};
  for (const setting of settings) {
    const names = setting.key.split('.');
    const last = names.pop() ?? '';
    let node = tree;
    for (const name of names) node = (node[name] ??= {}) as Record<string, unknown>;
    node[last] = leaf(setting);
  }
  return tree;
}

/** As Helm does: objects are merged, lists and all else replaced, null takes a key away. */
export function mergeValues(values: Values, given: Values): Values {
  const merged: Record<string, unknown> = { ...values };
  for (const [name, value] of Object.entries(given)) {
    const known = merged[name];
    if (value === null) Reflect.deleteProperty(merged, name);
    else merged[name] = isRecord(value) && isRecord(known) ? mergeValues(known, value) : value;
  }
  return merged;
}

/** What does not fit into the schema: a null, which takes a default away, fits. */
export function valueProblems(given: unknown): readonly string[] {
  return misfits(withoutNullMembers(given), valuesSchema());
}

function withoutNullMembers(value: unknown): unknown {
  if (!isRecord(value)) return value;
  const kept = Object.entries(value).filter(([, member]) => member !== null);
  return Object.fromEntries(kept.map(([name, member]) => [name, withoutNullMembers(member)]));
}

export function valueOf(values: Values, key: string): unknown {
  return at(values, key.split('.'));
}

/** The reference that container runtimes take. */
export function imageOf(values: Values): string {
  const part = (name: string) => {
    const value = valueOf(values, `image.${name}`);
    return typeof value === 'string' ? value : '';
  };
  const digest = part('digest');
  return digest === '' ? `${part('repository')}:${part('tag')}` : `${part('repository')}@${digest}`;
}

/** The other way round. A colon before the last slash is a registry's port. */
export function imageValues(reference: string): Values {
  const [name = '', digest] = reference.split('@', 2);
  const colon = name.lastIndexOf(':');
  const tagged = colon > name.lastIndexOf('/');
  const repository = tagged ? name.slice(0, colon) : name;
  const tag = tagged ? name.slice(colon + 1) : 'latest';
  return { image: { repository, tag, ...(digest === undefined ? {} : { digest }) } };
}
