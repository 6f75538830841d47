import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import type { DeclaredPort } from '../api/flow.ts';
import { at } from '../api/json.ts';
import { initContainerName, userAnnotations } from '../api/names.ts';

/** A Pod whose spec is there: `shapeOf` has looked. */
export function specOf(pod: IPod): IPodSpec {
  return pod.spec ?? { containers: [] };
}

export function annotationsOf(pod: IPod): Readonly<Record<string, string>> {
  return pod.metadata?.annotations ?? {};
}

/** Before the Pod's shape is looked at, so of anything: what did not opt in is none of podsplit's business. */
export function modeOf(pod: unknown): unknown {
  return at(pod, ['metadata', 'annotations', userAnnotations.mode]);
}

export function labelsOf(pod: IPod): Readonly<Record<string, string>> {
  return pod.metadata?.labels ?? {};
}

/** KEP-753: an init container that runs on beside the containers, which start once it has started. */
export function isNativeSidecar(container: IContainer): boolean {
  return container.restartPolicy === 'Always';
}

/** All that run side by side, and so become pieces: the containers, then the native sidecars, each in their order. */
export function runningContainers(spec: IPodSpec): readonly IContainer[] {
  return [...spec.containers, ...(spec.initContainers ?? []).filter(isNativeSidecar)];
}

/** Does the Pod have the init container that loads rules? Then it was made for install mode `init`. */
export function carriesInit(pod: IPod): boolean {
  return specOf(pod).initContainers?.some(({ name }) => name === initContainerName) ?? false;
}

/** Names of all volumes that a container needs: mounts, raw devices, and files that its environment is read from. */
export function volumeNamesOf(container: IContainer): ReadonlySet<string> {
  return new Set([
    ...(container.volumeMounts ?? []).map((mount) => mount.name),
    ...(container.volumeDevices ?? []).map((device) => device.name),
    ...(container.env ?? []).flatMap((env) => env.valueFrom?.fileKeyRef?.volumeName ?? []),
  ]);
}

export function claimNamesOf(container: IContainer): ReadonlySet<string> {
  return new Set((container.resources?.claims ?? []).map((claim) => claim.name));
}

/** Whether a volume is made for one Pod and gone with it. Without a source it is an emptyDir (API defaulting). */
export function isEmptyDir(volume: IVolume): boolean {
  return volume.emptyDir !== undefined || Object.keys(volume).every((field) => field === 'name');
}

/** What the kubelet writes, and containers cannot. */
export function isReadOnlyVolume(volume: IVolume): boolean {
  const { configMap, secret, projected, downwardAPI, image, persistentVolumeClaim, csi } = volume;
  if ([configMap, secret, projected, downwardAPI, image].some((source) => source !== undefined)) return true;
  return persistentVolumeClaim?.readOnly === true || csi?.readOnly === true;
}

/** SCTP is left out: split() refuses it. */
export function declaredPortsOf(container: IContainer): readonly DeclaredPort[] {
  return (container.ports ?? []).flatMap((port): DeclaredPort[] => {
    const protocol = port.protocol ?? 'TCP';
    if (protocol === 'SCTP') return [];
    return [
      {
        container: container.name,
        ...(port.name === undefined || port.name === '' ? {} : { name: port.name }),
        port: port.containerPort,
        protocol: protocol === 'UDP' ? 'udp' : 'tcp',
      },
    ];
  });
}

/** The entries of `record` that `keep` takes, or undefined where none is left. */
export function pickEntries<T>(record: Readonly<Record<string, T>>, keep: (key: string) => boolean): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([key]) => keep(key)));
}

/** The field where the list has something in it: Kubernetes takes an empty list for none, and tools do not. */
export function unlessEmpty<K extends string, T>(field: K, list: readonly T[]): { [field in K]?: T[] } {
  return list.length === 0 ? {} : ({ [field]: [...list] } as { [field in K]: T[] });
}

/** Later records win. */
export function mergeAll<T>(records: readonly Readonly<Record<string, T>>[]): Record<string, T> {
  return Object.fromEntries(records.flatMap((record) => Object.entries(record)));
}

/** A copy without these fields: whatever else is there stays, known or not. */
export function without<T extends object, K extends keyof T>(object: T, ...fields: readonly K[]): Omit<T, K> {
  const copy = { ...object };
  for (const field of fields) Reflect.deleteProperty(copy, field);
  return copy;
}
