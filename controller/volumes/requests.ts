import { join, relative, sep } from 'node:path';
import { isDnsLabel } from '../api/dns-names.ts';
import { isRecord } from '../api/json.ts';
import type { PodIdentity } from '../agent/cni-request.ts';
import { VolumeError } from './volume-error.ts';

/** Where the kubelet wants a volume of a Pod: `PODS/UID/volumes/kubernetes.io~csi/NAME/mount`. */
export interface Target {
  readonly path: string;
  readonly podUid: string;
  /** The volume's name in the Pod's spec. */
  readonly volume: string;
}

export interface PublishRequest {
  readonly target: Target;
  /** As the kubelet says, since the CSIDriver has podInfoOnMount: no attribute of a volume can say otherwise. */
  readonly pod: PodIdentity;
  /** What the volume's only attribute names. */
  readonly volume: string;
}

/** @throws VolumeError */
export function parsePublish(request: unknown, podsFolder: string): PublishRequest {
  const fields = isRecord(request) ? request : {};
  const context = isRecord(fields['volume_context']) ? fields['volume_context'] : {};
  const said = (key: string): string => {
    const value = context[key];
    if (typeof value === 'string' && value !== '') return value;
    throw new VolumeError(
      'BadRequest',
      `volume_context[${key}] is missing: this driver is for volumes inside of a Pod`,
    );
  };
  if (said('csi.storage.k8s.io/ephemeral') !== 'true') {
    throw new VolumeError('BadRequest', 'volume_context[csi.storage.k8s.io/ephemeral] is not "true"');
  }
  const pod = {
    namespace: said('csi.storage.k8s.io/pod.namespace'),
    name: said('csi.storage.k8s.io/pod.name'),
    uid: said('csi.storage.k8s.io/pod.uid'),
  };
  const target = parseTarget(fields['target_path'], podsFolder);
  if (target.podUid !== pod.uid) {
    throw new VolumeError(
      'WrongTarget',
      `target_path ${target.path} is not in Pod ${pod.namespace}/${pod.name} (${pod.uid})`,
    );
  }
  const volume = said('volume');
  if (target.volume !== volume) {
    throw new VolumeError('WrongTarget', `the volume ${target.volume} names another: ${JSON.stringify(volume)}`);
  }
  return { target, pod, volume };
}

/** @throws VolumeError */
export function parseUnpublish(request: unknown, podsFolder: string): Target {
  return parseTarget(isRecord(request) ? request['target_path'] : undefined, podsFolder);
}

function parseTarget(path: unknown, podsFolder: string): Target {
  if (typeof path !== 'string' || path === '') throw new VolumeError('BadRequest', 'target_path is missing');
  const [podUid = '', volumes, plugin, volume = '', mount, ...more] = relative(podsFolder, path).split(sep);
  const sound =
    join(podsFolder, podUid, 'volumes', 'kubernetes.io~csi', volume, 'mount') === path &&
    [volumes, plugin, mount].join(' ') === 'volumes kubernetes.io~csi mount' &&
    more.length === 0 &&
    isUid(podUid) &&
    isDnsLabel(volume);
  if (sound) return { path, podUid, volume };
  throw new VolumeError(
    'WrongTarget',
    `target_path ${path} is not the place of a Pod's CSI volume below ${podsFolder}`,
  );
}

/** They become names of folders. */
export function isUid(text: string): boolean {
  return /^[0-9A-Za-z][0-9A-Za-z-]{0,62}$/.test(text);
}
