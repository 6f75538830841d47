import { withoutNulls } from '../../controller/api/json.ts';
import { parseManifests } from '../../controller/cli/manifest-yaml.ts';

interface Named {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** The objects of a YAML stream by what names them on a cluster: their order, comments and quotes do not matter. */
export function objectsOf(text: string): Readonly<Record<string, unknown>> {
  const parsed = parseManifests(text);
  if (parsed.kind === 'invalid') throw new Error(`line ${parsed.line}: ${parsed.message}`);
  const objects = parsed.documents.map((document) => withoutNulls(document) as Named);
  const named = objects.map((object) => [nameOf(object), object] as const);
  const unique = Object.fromEntries(named);
  if (Object.keys(unique).length < named.length) throw new Error('an object is there twice');
  return unique;
}

function nameOf({ apiVersion, kind, metadata: { name, namespace = '' } }: Named): string {
  return `${apiVersion} ${kind} ${namespace}/${name}`;
}
