import type { ContainerNetworkPolicy } from '../api/container-network-policy.ts';
import type { KubeClient } from '../kube/client.ts';
import { isApiError } from '../kube/errors.ts';
import { resources, type KubeObject, type Resource } from '../kube/resources.ts';
import type { Directory } from '../policies/directory.ts';
import { directoryOf } from '../policies/read-directory.ts';
import { listReadable, unanswered } from './find-pod.ts';

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

/** Of a namespace; undefined where the user may not see them. */
export async function readPolicies(
  client: KubeClient,
  namespace: string,
): Promise<readonly ContainerNetworkPolicy[] | undefined> {
  try {
    return (await client.list(resources.containerNetworkPolicies, { namespace })).items;
  } catch (error) {
    if (!isApiError(error)) throw error;
    if (error.code === 'Forbidden') return undefined;
    // An older podsplit has none.
    if (error.code === 'NotFound') return [];
    throw unanswered(error, 'list containernetworkpolicies.podsplit.io', namespace, client.server);
  }
}
