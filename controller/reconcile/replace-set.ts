import type { KubeClient } from '../kube/client.ts';
import { isApiError } from '../kube/errors.ts';
import type { KubeObject, Resource } from '../kube/resources.ts';
import { sameJson } from '../api/same-json.ts';
import { createOrFind } from './create-or-find.ts';

/** Creates what is missing, replaces what differs, deletes what is no longer wanted. */
export async function replaceSet<T extends KubeObject>(
  client: Pick<KubeClient, 'create' | 'patch' | 'delete'>,
  resource: Resource<T>,
  namespace: string,
  wanted: readonly NoInfer<T>[],
  actual: readonly NoInfer<T>[],
): Promise<void> {
  for (const object of wanted) {
    const { name } = object.metadata;
    const found = actual.find((one) => one.metadata.name === name);
    if (found === undefined) await createOrFind(client, resource, object);
    else if (!isAsWanted(found, object)) {
      // `spec` is replaced whole: a merge would keep rules that are gone. Annotations that others added stay.
      const annotations = { ...found.metadata.annotations, ...object.metadata.annotations };
      await client.patch(
        resource,
        { namespace, name },
        {
          type: 'json',
          body: [
            { op: 'replace', path: '/spec', value: specOf(object) },
            { op: 'add', path: '/metadata/annotations', value: annotations },
          ],
        },
      );
    }
  }
  for (const object of actual) {
    if (wanted.some((one) => one.metadata.name === object.metadata.name)) continue;
    await deleteIfThere(client, resource, object);
  }
}

export async function deleteIfThere(
  client: Pick<KubeClient, 'delete'>,
  resource: Resource,
  object: KubeObject,
): Promise<void> {
  const { namespace, name, uid } = object.metadata;
  try {
    await client.delete(resource, { namespace, name }, uid === undefined ? {} : { preconditions: { uid } });
  } catch (error) {
    if (!isApiError(error, 'NotFound', 'Conflict')) throw error;
  }
}

/** Labels, and annotations that others added, are theirs. */
function isAsWanted(found: KubeObject, wanted: KubeObject): boolean {
  const annotations = Object.entries(wanted.metadata.annotations ?? {});
  return (
    sameJson(specOf(found), specOf(wanted)) &&
    annotations.every(([key, value]) => found.metadata.annotations?.[key] === value)
  );
}

function specOf(object: object): unknown {
  return 'spec' in object ? object.spec : undefined;
}
