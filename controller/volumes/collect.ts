import { join } from 'node:path';
import { ownLabels } from '../api/names.ts';
import type { KubeClient } from '../kube/client.ts';
import { resources } from '../kube/resources.ts';
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
