import { at, isRecord, parseJson } from '../api/json.ts';
import { systemNamespace } from '../api/names.ts';
import type { RenderedDocument } from '../manifests/render.ts';
import { imageOf, mergeValues, type Values } from '../manifests/values.ts';
import { formatManifest } from './manifest-yaml.ts';

/** Of the ConfigMap in podsplit-system that says what was chosen, so that an upgrade chooses it again. */
export const recordName = 'podsplit-install';
const key = 'values.json';

export function recordOf(values: Values): RenderedDocument {
  const record = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: recordName, namespace: systemNamespace, labels: { 'app.kubernetes.io/name': 'podsplit' } },
    data: { [key]: JSON.stringify(values) },
  };
  const why = '# What was chosen: kubectl podsplit upgrade chooses it again.\n';
  return { object: `ConfigMap/${recordName}`, text: why + formatManifest(record) };
}

/** @returns undefined where it is no record */
export function readRecord(configMap: unknown): Values | undefined {
  const text = at(configMap, ['data', key]);
  const values = typeof text === 'string' ? parseJson(text) : undefined;
  return isRecord(values) ? values : undefined;
}

/** A node has the image that a developer builds; nobody else's has it. And what `latest` is changes under a cluster. */
export function imageNote(defaults: Values, chosen: Values): readonly string[] {
  const image = imageOf(mergeValues(defaults, chosen));
  if (image.startsWith('podsplit.local/')) {
    return [
      `The image ${image} is in no registry: build it, push it, and name it by --image. docs/operations.md has how.`,
    ];
  }
  return image.endsWith(':latest')
    ? [
        `The image ${image} is another one each time that somebody pushes it: name a version, or better a digest, by --image.`,
      ]
    : [];
}
