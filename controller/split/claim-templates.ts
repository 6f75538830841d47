import { at, list, record, type JsonObject } from '../api/json.ts';

/**
 * A Pod's spec with the volumes that its StatefulSet adds to the template, one for each of `spec.volumeClaimTemplates`: they
 * win over volumes of the same name (pkg/controller/statefulset, updateStorage).
 *
 * @param pod the Pod's name, which the claims' names end in
 */
export function withClaimVolumes(spec: JsonObject, templates: unknown, pod: string): JsonObject {
  const volumes = list(templates).flatMap((template) => {
    const name = at(template, ['metadata', 'name']);
    return typeof name === 'string' ? [{ name, persistentVolumeClaim: { claimName: `${name}-${pod}` } }] : [];
  });
  if (volumes.length === 0) return spec;
  const replaced = new Set<unknown>(volumes.map(({ name }) => name));
  const others = list(spec['volumes']).filter((volume) => !replaced.has(record(volume)['name']));
  return { ...spec, volumes: [...others, ...volumes] };
}
