import { isRecord } from '../api/json.ts';

type JsonObject = Readonly<Record<string, unknown>>;

/**
 * A Pod's spec with the volumes that its StatefulSet adds to the template, one for each of `spec.volumeClaimTemplates`: they
 * win over volumes of the same name (pkg/controller/statefulset, updateStorage).
 *
 * @param pod the Pod's name, which the claims' names end in
 */
export function withClaimVolumes(spec: JsonObject, templates: unknown, pod: string): JsonObject {
  const volumes = list(templates).flatMap((template) => {
    const metadata = isRecord(template) && isRecord(template['metadata']) ? template['metadata'] : {};
    const { name } = metadata;
    return typeof name === 'string' ? [{ name, persistentVolumeClaim: { claimName: `${name}-${pod}` } }] : [];
  });
  if (volumes.length === 0) return spec;
  const replaced = new Set<unknown>(volumes.map(({ name }) => name));
  const others = list(spec['volumes']).filter((volume) => !(isRecord(volume) && replaced.has(volume['name'])));
  return { ...spec, volumes: [...others, ...volumes] };
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
