import { join } from 'node:path';
import { ownLabels } from '../api/names.ts';
import type { KubeClient } from '../kube/client.ts';
import { isApiError } from '../kube/errors.ts';
import { resources, type Pod } from '../kube/resources.ts';
import type { VolumeRecord } from './volume-record.ts';
import type { VolumeStore } from './volume-store.ts';

export interface CollectOptions {
  readonly store: Pick<VolumeStore, 'primaries' | 'collect' | 'empty'>;
  readonly client: Pick<KubeClient, 'pages'>;
  readonly node: string;
  readonly podsFolder: string;
}

/** Volumes of Pods that ended while the driver did not run, or that the kubelet never unpublished. */
export async function collectVolumes({ store, client, node, podsFolder }: CollectOptions): Promise<void> {
  store.empty();
  // In this order: of a volume that was there before, the Pod was there too.
  const found = await store.primaries();
  if (found.length === 0) return;
  const living = new Set<string>();
  const selection = {
    labelSelector: `${ownLabels.role}=primary`,
    fieldSelector: `spec.nodeName=${node}`,
    pageSize: 10,
  };
  for await (const { items } of client.pages(resources.pods, selection)) {
    for (const { metadata } of items) if (metadata.uid !== undefined) living.add(metadata.uid);
  }
  const targetOf = (podUid: string, volume: string): string =>
    join(podsFolder, podUid, 'volumes', 'kubernetes.io~csi', volume, 'mount');
  for (const uid of found.filter((uid) => !living.has(uid))) await store.collect(uid, targetOf);
}

export interface RemoveIdleOptions {
  readonly store: Pick<VolumeStore, 'idle' | 'removeIdle'>;
  readonly client: Pick<KubeClient, 'get'>;
}

/**
 * An emptyDir lives as long as its Pod, and so does what stands for it: of two pieces that share one, the first may have ended
 * before the second mounts it. Once the primary ends, no piece is started any more.
 */
export async function removeIdleVolumes({ store, client }: RemoveIdleOptions): Promise<void> {
  for (const volume of await store.idle()) {
    if (!(await isLiving(volume, client))) await store.removeIdle(volume);
  }
}

async function isLiving({ pod }: VolumeRecord, client: RemoveIdleOptions['client']): Promise<boolean> {
  try {
    const live: Pod = await client.get(resources.pods, pod);
    return live.metadata.uid === pod.uid && !hasEnded(live);
  } catch (error) {
    if (isApiError(error, 'NotFound')) return false;
    throw error;
  }
}

/** Or is about to. */
export function hasEnded({ metadata, status }: Pod): boolean {
  return metadata.deletionTimestamp !== undefined || status?.phase === 'Succeeded' || status?.phase === 'Failed';
}
