import { isDeepStrictEqual } from 'node:util';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import type { IVolumeMount } from 'kubernetes-models/v1/VolumeMount';
import type { Intent } from '../api/annotations.ts';
import { tokenVolumeName, userAnnotations } from '../api/names.ts';
import type { Refusal } from '../api/refusal.ts';
import { indexed } from './checks/subject.ts';
import { specOf, unlessEmpty, volumeNamesOf, without } from './pod.ts';

/** Where client libraries look, and where the ServiceAccount admission plugin mounts (client-go, rest.InClusterConfig). */
export const tokenPath = '/var/run/secrets/kubernetes.io/serviceaccount';

/** The containers that keep a token; undefined where nobody guards it. */
export function tokenKeepers({ guards, token }: Pick<Intent, 'guards' | 'token'>): readonly string[] | undefined {
  return guards.includes('token') ? token : undefined;
}

/**
 * The token guard (docs/guards.md): the whole Pod without the token that the ServiceAccount admission plugin gives to every
 * container, and with one of the same kind for the containers that keep it. What a user mounts by hand stays.
 * Guarding a guarded Pod changes nothing.
 */
export function guardToken(given: IPod, keepers: readonly string[] | undefined): IPod {
  if (keepers === undefined) return given;
  const pod = withoutInjectedTokens(withoutOwnToken(given));
  const spec = specOf(pod);
  const kept = new Set(
    [...spec.containers, ...(spec.initContainers ?? [])]
      .filter(({ name, volumeMounts = [] }) => keepers.includes(name) && !volumeMounts.some(isAtTokenPath))
      .map(({ name }) => name),
  );
  const mounting = (container: IContainer): IContainer =>
    kept.has(container.name)
      ? { ...container, volumeMounts: [...(container.volumeMounts ?? []), tokenMount] }
      : container;
  return {
    ...pod,
    spec: {
      ...without(spec, 'volumes', 'initContainers'),
      // The plugin looks again when a webhook has changed the Pod, and when siblings are made.
      automountServiceAccountToken: false,
      containers: spec.containers.map(mounting),
      ...unlessEmpty('initContainers', (spec.initContainers ?? []).map(mounting)),
      ...unlessEmpty('volumes', [...(spec.volumes ?? []), ...(kept.size === 0 ? [] : [tokenVolume])]),
    },
  };
}

/** A Pod as it was before `guardToken` gave tokens back: one that admission cut or marked is judged anew. */
export function withoutOwnToken(pod: IPod): IPod {
  const isOwn = (volume: IVolume): boolean => volume.name === tokenVolumeName && isDeepStrictEqual(volume, tokenVolume);
  return specOf(pod).volumes?.some(isOwn) === true ? withoutMounted(pod, isOwn) : pod;
}

function withoutInjectedTokens(pod: IPod): IPod {
  return specOf(pod).volumes?.some(isInjectedToken) === true ? withoutMounted(pod, isInjectedToken) : pod;
}

/** What `goes` is no more mounted where tokens are; a volume that nobody else mounts is gone with its mounts. */
function withoutMounted(pod: IPod, goes: (volume: IVolume) => boolean): IPod {
  const spec = specOf(pod);
  const names = new Set((spec.volumes ?? []).filter(goes).map(({ name }) => name));
  const strip = (container: IContainer): IContainer => withoutTokenMounts(container, names);
  const containers = spec.containers.map(strip);
  const initContainers = (spec.initContainers ?? []).map(strip);
  const needed = new Set([...containers, ...initContainers].flatMap((container) => [...volumeNamesOf(container)]));
  const volumes = (spec.volumes ?? []).filter(({ name }) => !names.has(name) || needed.has(name));
  return {
    ...pod,
    spec: {
      ...without(spec, 'volumes', 'initContainers'),
      containers,
      ...unlessEmpty('initContainers', initContainers),
      ...unlessEmpty('volumes', volumes),
    },
  };
}

/**
 * Where nobody guards it, the plugin gives a sibling a token when it is created, as it gave the Pod one, and the init
 * container of podsplit's too. So it is given one by name, which is bound to the sibling; `undefined` where it had none.
 */
export function siblingToken(
  container: IContainer,
  volumes: readonly IVolume[],
): { readonly container: IContainer; readonly volumes: readonly IVolume[] } | undefined {
  const tokens = new Set(volumes.filter(isInjectedToken).map(({ name }) => name));
  const stripped = withoutTokenMounts(container, tokens);
  if (stripped === container) return undefined;
  const needed = volumeNamesOf(stripped);
  return {
    container: { ...stripped, volumeMounts: [...(stripped.volumeMounts ?? []), tokenMount] },
    volumes: [...volumes.filter(({ name }) => needed.has(name)), tokenVolume],
  };
}

/** Mounted elsewhere, the user mounted it. */
function withoutTokenMounts(container: IContainer, volumes: ReadonlySet<string>): IContainer {
  const { volumeMounts = [] } = container;
  const left = volumeMounts.filter((mount) => !volumes.has(mount.name) || !isAtTokenPath(mount));
  if (left.length === volumeMounts.length) return container;
  // In its place: what a second pass writes about a removed container is to be the same text.
  return left.length > 0 ? { ...container, volumeMounts: left } : without(container, 'volumeMounts');
}

function isAtTokenPath({ mountPath }: IVolumeMount): boolean {
  return mountPath.replace(/\/+$/, '') === tokenPath;
}

/** By the plugin's own name for it (plugin/pkg/admission/serviceaccount, ServiceAccountVolumeName). */
export function isInjectedToken(volume: IVolume): boolean {
  return (
    isNamedAsInjected(volume) &&
    (volume.projected?.sources ?? []).some((source) => source.serviceAccountToken !== undefined)
  );
}

function isNamedAsInjected({ name }: IVolume): boolean {
  return name.startsWith('kube-api-access-');
}

/**
 * The plugin mounts the first volume of such a name into every container, whatever is in it: a Secret with a token too. Who
 * mounted it cannot be told afterwards, so under the guard nobody may have one.
 */
export function mistakenTokens(pod: IPod): readonly Refusal[] {
  return indexed(specOf(pod).volumes, 'spec.volumes')
    .filter(({ item }) => isNamedAsInjected(item) && !isInjectedToken(item))
    .map(({ item, path }) => ({
      code: 'ReservedName',
      path: `${path}.name`,
      message: `Kubernetes takes ${JSON.stringify(item.name)} for the token of the ServiceAccount, and mounts it into every container.`,
      action: `Choose another name, or leave "token" out of ${userAnnotations.guards}.`,
    }));
}

const tokenMount: IVolumeMount = { name: tokenVolumeName, mountPath: tokenPath, readOnly: true };

/**
 * As the plugin makes it (TokenVolumeSource): without an audience it is for the API server and for nobody else. The token is
 * bound to the piece that mounts it, and ends with it.
 */
const tokenVolume: IVolume = {
  name: tokenVolumeName,
  projected: {
    defaultMode: 0o644,
    sources: [
      { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
      { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
      {
        downwardAPI: {
          items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
        },
      },
    ],
  },
};
