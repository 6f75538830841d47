import type { OwnerReference } from '../api/resources.ts';
import type { WorkloadRef } from '../api/identity.ts';
import { isApiError } from '../kube/errors.ts';
import type { KubeClient } from '../kube/client.ts';
import { resources } from '../kube/resources.ts';
import type { LivePod } from './piece-pod.ts';

/**
 * The workload that a Pod belongs to: its owner's owner where Kubernetes has such pairs, else its owner (of any kind, so
 * that custom workloads work), else the Pod itself. All Pods of a workload share one NAD and one bridge.
 */
export async function workloadOf(client: Pick<KubeClient, 'get'>, pod: LivePod): Promise<WorkloadRef> {
  const { namespace } = pod;
  const owner = controllerOf(pod.raw.metadata?.ownerReferences);
  if (owner === undefined) return { apiVersion: 'v1', kind: 'Pod', namespace, name: pod.name, uid: pod.uid };
  const above = await ownerOfOwner(client, namespace, owner);
  const { apiVersion, kind, name, uid } = above ?? owner;
  return { apiVersion, kind, namespace, name, uid };
}

const ownersBetween: Readonly<Record<string, typeof resources.replicaSets | typeof resources.jobs>> = {
  'apps/v1/ReplicaSet': resources.replicaSets,
  'batch/v1/Job': resources.jobs,
};

async function ownerOfOwner(
  client: Pick<KubeClient, 'get'>,
  namespace: string,
  owner: OwnerReference,
): Promise<OwnerReference | undefined> {
  const resource = ownersBetween[`${owner.apiVersion}/${owner.kind}`];
  if (resource === undefined) return undefined;
  try {
    const object = await client.get<(typeof resource)['objects'] & object>(resource, { namespace, name: owner.name });
    return object.metadata.uid === owner.uid ? controllerOf(object.metadata.ownerReferences) : undefined;
  } catch (error) {
    if (isApiError(error, 'NotFound')) return undefined;
    throw error;
  }
}

function controllerOf(owners: readonly OwnerReference[] | undefined): OwnerReference | undefined {
  return owners?.find((owner) => owner.controller === true);
}

/** Owner of the generated objects: they go when the workload goes. */
export function ownerReference(workload: WorkloadRef): OwnerReference {
  const { apiVersion, kind, name, uid } = workload;
  return { apiVersion, kind, name, uid, controller: false, blockOwnerDeletion: false };
}
