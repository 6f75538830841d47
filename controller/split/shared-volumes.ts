import { isDeepStrictEqual } from 'node:util';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import { volumeDriver } from '../api/names.ts';
import { formatBytes, parseQuantity } from '../api/quantity.ts';
import type { Division } from './divide.ts';
import type { Piece, Plan } from './plan.ts';
import { isEmptyDir, specOf } from './pod.ts';

/**
 * An emptyDir that containers of several pieces mount: one Pod's directory would be needed in several Pods. The pieces carry
 * an inline CSI volume in its place, and the driver on their node binds one directory into all of them
 * (docs/decisions/0023-shared-volumes.md).
 */
export function sharedEmptyDirNames(
  pod: IPod,
  { primary, siblings }: Pick<Division, 'primary' | 'siblings'>,
): readonly string[] {
  const pieces = [primary, ...siblings].map((piece) => new Set(piece.volumes));
  return (specOf(pod).volumes ?? [])
    .filter((volume) => isEmptyDir(volume) && pieces.filter((volumes) => volumes.has(volume)).length > 1)
    .map(({ name }) => name);
}

/** A volume as the pieces carry it. */
export function pieceVolume(volume: IVolume, { sharedVolumes }: Pick<Plan, 'sharedVolumes'>): IVolume {
  return sharedVolumes.includes(volume.name) ? standIn(volume.name) : volume;
}

/** The name and nothing else: whose directory it is the driver finds out itself, and the rest is in the Pod. */
function standIn(name: string): IVolume {
  return { name, csi: { driver: volumeDriver, volumeAttributes: { volume: name } } };
}

/** Is `volume` what `pieceVolume` made of the emptyDir `original`? */
export function standsFor(volume: IVolume, original: IVolume): boolean {
  return isEmptyDir(original) && isDeepStrictEqual(volume, standIn(original.name));
}

export function isOfDriver(volume: IVolume): boolean {
  return volume.csi?.driver === volumeDriver;
}

/** What an emptyDir is, as the kubelet reads it. */
export interface EmptyDir {
  readonly medium: 'disk' | 'memory';
  /** As the user wrote it, where there is one. */
  readonly sizeLimit?: string;
  /** Bytes that it may hold; in memory also what the Pod's own limits leave. Undefined: as much as there is. */
  readonly bytes?: number;
}

/** Undefined where it is of huge pages: those are reserved for one Pod. */
export function emptyDirOf(
  volume: IVolume,
  pieces: Pick<Plan, 'primary' | 'siblings' | 'startOrder'>,
): EmptyDir | undefined {
  const { medium = '', sizeLimit } = volume.emptyDir ?? {};
  if (medium !== '' && medium !== 'Memory') return undefined;
  const written = sizeLimit === undefined ? undefined : String(sizeLimit);
  // To the kubelet a limit of 0 is none.
  const limit = positive(written === undefined ? undefined : parseQuantity(written));
  const bounds = [limit, medium === 'Memory' ? positive(podLimit('memory', pieces)) : undefined].filter(
    (bytes) => bytes !== undefined,
  );
  return {
    medium: medium === 'Memory' ? 'memory' : 'disk',
    ...(written === undefined || limit === undefined ? {} : { sizeLimit: written }),
    ...(bounds.length === 0 ? {} : { bytes: Math.min(...bounds) }),
  };
}

function positive(bytes: number | undefined): number | undefined {
  return bytes !== undefined && bytes > 0 ? bytes : undefined;
}

export interface StorageLimit {
  /** As the user wrote it, or as one would. */
  readonly text: string;
  readonly bytes: number;
}

/** What limits of the whole Pod are computed from. */
type Pieces = Pick<Plan, 'primary' | 'siblings' | 'startOrder'>;

/**
 * What the containers' limits on ephemeral storage leave the whole Pod, as the kubelet counts them: those that have none do
 * not make it more (pkg/kubelet/eviction, podEphemeralStorageLimitEviction).
 */
export function storageLimitOf(pieces: Pieces): StorageLimit | undefined {
  const bytes = podLimit('ephemeral-storage', pieces);
  return bytes > 0 ? { text: formatBytes(bytes), bytes } : undefined;
}

/**
 * Of the whole Pod: all containers, or the largest init container with the native sidecars that run beside it (KEP-753). By
 * that of memory the kubelet sizes a tmpfs (KEP-1967).
 */
function podLimit(resource: string, { primary, siblings, startOrder }: Pieces): number {
  const limitOf = ({ resources }: IContainer): number => {
    const limit = resources?.limits?.[resource];
    return limit === undefined ? 0 : (parseQuantity(String(limit)) ?? 0);
  };
  const together = [primary, ...siblings].reduce((sum, { container }) => sum + limitOf(container), 0);
  const inits = new Map(primary.initContainers.map((container) => [container.name, limitOf(container)]));
  const sidecars = new Map(siblings.map(({ name, container }) => [name, limitOf(container)]));
  let beside = 0;
  let largest = together;
  for (const name of startOrder) {
    largest = Math.max(largest, beside + (inits.get(name) ?? 0));
    beside += sidecars.get(name) ?? 0;
  }
  return largest;
}

/** Containers whose variables are read from files of the volume: the kubelet reads those of an emptyDir only (KEP-3721). */
export function readsVariablesFrom(name: string, { container, initContainers }: Piece): readonly IContainer[] {
  return [...initContainers, container].filter((one) =>
    one.env?.some(({ valueFrom }) => valueFrom?.fileKeyRef?.volumeName === name),
  );
}
