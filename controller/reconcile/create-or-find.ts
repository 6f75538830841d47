import type { KubeClient } from '../kube/client.ts';
import { isApiError } from '../kube/errors.ts';
import type { KubeObject, Resource } from '../kube/resources.ts';

/** Undefined where another, or an earlier call of which no answer came, had made it. */
export async function createOrFind<T extends KubeObject>(
  client: Pick<KubeClient, 'create'>,
  resource: Resource<T>,
  object: NoInfer<T>,
): Promise<T | undefined> {
  try {
    return await client.create(resource, object);
  } catch (error) {
    if (!isApiError(error, 'AlreadyExists')) throw error;
    return undefined;
  }
}
