import type { KubeClient } from '../kube/client.ts';
import { resources, type KubeObject, type Resource } from '../kube/resources.ts';
import type { Directory } from '../policies/directory.ts';
import { directoryOf } from '../policies/read-directory.ts';
import { listReadable } from './find-pod.ts';

/** Of all namespaces, or of the Pod's own where the user may see no more. */
export async function readDirectory(
  client: KubeClient,
  namespace: string,
): Promise<{ readonly directory: Directory; readonly unseen: readonly string[] }> {
  const unseen: string[] = [];
  const list = <T extends KubeObject>(resource: Resource<T>): Promise<readonly T[]> =>
    listReadable(client, resource, namespace, (plural) => unseen.push(plural));
  const [pods, namespaces, services, endpointSlices] = await Promise.all([
    list(resources.pods),
    list(resources.namespaces),
    list(resources.services),
    list(resources.endpointSlices),
  ]);
  return { directory: directoryOf({ pods, namespaces, services, endpointSlices }), unseen };
}
