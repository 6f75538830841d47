import { volumeDriver } from '../api/names.ts';
import type { PodIdentity } from '../agent/cni-request.ts';
import { version } from '../version.ts';
import type { Service } from './grpc-server.ts';
import { parsePublish, parseUnpublish } from './requests.ts';
import { services } from './services.ts';
import type { SharedVolume } from './verify-volume.ts';
import type { VolumeStore } from './volume-store.ts';

export interface DriverOptions {
  readonly node: string;
  /** The kubelet's folder of Pods. */
  readonly podsFolder: string;
  readonly store: Pick<VolumeStore, 'publish' | 'unpublish'>;
  /** @throws VolumeError where this Pod may not have it */
  readonly verify: (pod: PodIdentity, volume: string) => Promise<SharedVolume>;
  /** A piece has let go of a volume: it may have been the last one. */
  readonly unpublished: () => void;
}

/** The two services of a CSI driver that has volumes inside of Pods only: nothing is created, attached or staged. */
export function csiServices({ node, podsFolder, store, verify, unpublished }: DriverOptions): readonly Service[] {
  return [
    {
      definition: services.identity,
      handlers: {
        GetPluginInfo: () => ({ name: volumeDriver, vendor_version: version }),
        GetPluginCapabilities: () => ({}),
        Probe: () => ({}),
      },
    },
    {
      definition: services.node,
      handlers: {
        NodeGetInfo: () => ({ node_id: node }),
        NodeGetCapabilities: () => ({}),
        NodePublishVolume: async (request) => {
          const { target, pod, volume } = parsePublish(request, podsFolder);
          await store.publish(await verify(pod, volume), target);
          return {};
        },
        NodeUnpublishVolume: async (request) => {
          await store.unpublish(parseUnpublish(request, podsFolder));
          unpublished();
          return {};
        },
      },
    },
  ];
}
