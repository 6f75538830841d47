import { isRecord, list, record } from '../api/json.ts';
import { shortHash } from '../api/identity.ts';

/**
 * Of the fields that each CRD of this version has, by its plural: what the cluster has is compared with it. The test that reads
 * crds/ says what to write here when they have changed.
 */
export const schemaHashes: Readonly<Record<string, string>> = {
  addressblocks: '7f15104e6c67',
  containernetworkpolicies: '388261bc7e5f',
  podsplits: '3b64957a4fc4',
  splitnetworks: 'd77df055d949',
};

/** Of the names and nesting alone: an API server may write types and descriptions in another way than we do. */
export function fieldsHash(schema: unknown): string {
  return shortHash(fieldsIn(schema, '').toSorted().join('\n'), 12);
}

function fieldsIn(schema: unknown, path: string): readonly string[] {
  if (!isRecord(schema)) return [];
  const properties = Object.entries(record(schema['properties'])).flatMap(([name, each]) => [
    `${path}.${name}`,
    ...fieldsIn(each, `${path}.${name}`),
  ]);
  const branches = ['allOf', 'anyOf', 'oneOf'].flatMap((key) =>
    list(schema[key]).flatMap((each) => fieldsIn(each, path)),
  );
  return [
    ...properties,
    ...branches,
    ...fieldsIn(schema['items'], `${path}[]`),
    ...fieldsIn(schema['additionalProperties'], `${path}{}`),
  ];
}
