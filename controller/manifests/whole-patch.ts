import { at, type JsonObject, record } from '../api/json.ts';

/** A workload, as far as its annotations are concerned. */
export interface Annotated {
  readonly kind: string;
  readonly metadata: JsonObject;
  readonly spec?: unknown;
}

/**
 * The JSON merge patch (RFC 7396) that takes every annotation of podsplit from a workload and from its template, so that it
 * rolls out whole Pods.
 *
 * @returns undefined where there is none, or where a controller would put them on again
 */
export function wholePatch({ kind, metadata, spec }: Annotated): object | undefined {
  const owners = Array.isArray(metadata['ownerReferences']) ? metadata['ownerReferences'] : [];
  if (owners.some((owner) => record(owner)['controller'] === true)) return undefined;
  const own = removals(metadata['annotations']);
  const templatePath = kind === 'CronJob' ? ['jobTemplate', 'spec', 'template'] : ['template'];
  const template = removals(at(spec, [...templatePath, 'metadata', 'annotations']));
  // A Job that was made cannot change its template: it ends by itself, or its Pods are deleted.
  const onTemplate = kind !== 'Job' && Object.keys(template).length > 0;
  if (Object.keys(own).length === 0 && !onTemplate) return undefined;
  const patch: object = { metadata: { annotations: template } };
  const inSpec = templatePath.toReversed().reduce<object>((inner, name) => ({ [name]: inner }), patch);
  return {
    ...(Object.keys(own).length > 0 && { metadata: { annotations: own } }),
    ...(onTemplate && { spec: inSpec }),
  };
}

/** A merge patch removes what is null. */
function removals(annotations: unknown): Readonly<Record<string, null>> {
  const keys = Object.keys(record(annotations)).filter((key) => key.startsWith('podsplit.io/'));
  return Object.fromEntries(keys.map((key) => [key, null]));
}
