import type { IPod } from 'kubernetes-models/v1/Pod';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import type { Division } from '../divide.ts';
import type { Piece } from '../plan.ts';
import { claimNamesOf, isEmptyDir, specOf, volumeNamesOf } from '../pod.ts';
import { emptyDirOf, readsVariablesFrom } from '../shared-volumes.ts';
import { type DividedSubject, type Finding, indexed } from './subject.ts';

interface SharedVolume {
  readonly volume: IVolume;
  readonly path: string;
  readonly users: string;
}

function sharedVolumes(pod: IPod, division: Division): readonly SharedVolume[] {
  const pieces = [division.primary, ...division.siblings].map((piece) => ({ piece, volumes: new Set(piece.volumes) }));
  return indexed(specOf(pod).volumes, 'spec.volumes').flatMap(({ item: volume, path }) => {
    const users = pieces.filter(({ volumes }) => volumes.has(volume)).map(({ piece }) => piece);
    return users.length < 2 ? [] : [{ volume, path, users: usersOf(volume, users) }];
  });
}

/** An init container's name says more than its piece's, the primary. */
function usersOf(volume: IVolume, pieces: readonly Piece[]): string {
  const names = pieces.map((piece) => {
    const init = piece.initContainers.find((container) => volumeNamesOf(container).has(volume.name));
    const byInit = init !== undefined && !volumeNamesOf(piece.container).has(volume.name);
    return JSON.stringify(piece.name) + (byInit ? ` (init container ${JSON.stringify(init.name)})` : '');
  });
  return names.join(' and ');
}

function listOf(pieces: readonly Piece[]): string {
  return pieces.map((piece) => JSON.stringify(piece.name)).join(' and ');
}

export function sharedEmptyDirs({ pod, division, install }: DividedSubject): Finding[] {
  return sharedVolumes(pod, division).flatMap(({ volume, path, users }): Finding[] => {
    if (!isEmptyDir(volume)) return [];
    const name = JSON.stringify(volume.name);
    const readers = [division.primary, ...division.siblings].flatMap((piece) => readsVariablesFrom(volume.name, piece));
    if (install === 'init') {
      return [
        {
          path,
          message: `emptyDir ${name} is shared by the pieces ${users}, and only the agent of the node can give it to all of them.`,
          action:
            'Set podsplit.io/install to "node", the default of a cluster with podsplit (for kubectl podsplit split: ' +
            '--install node), or do not split this Pod.',
        },
      ];
    }
    if (emptyDirOf(volume, division) === undefined) {
      return [
        {
          path: `${path}.emptyDir.medium`,
          message: `emptyDir ${name} is of ${JSON.stringify(volume.emptyDir?.medium)}, and shared by the pieces ${users}.`,
          action: 'Leave the medium away or set it to "Memory", or do not split this Pod.',
        },
      ];
    }
    return readers.map((container) => ({
      path,
      message:
        `emptyDir ${name} is shared by the pieces ${users}, and the kubelet reads the variables of container ` +
        `${JSON.stringify(container.name)} from files of an emptyDir of its own Pod only.`,
      action: 'Let the container read the file itself, or do not split this Pod.',
    }));
  });
}

export function sharedEphemeralVolumes({ pod, division }: DividedSubject): Finding[] {
  return sharedVolumes(pod, division).flatMap(({ volume, path, users }): Finding[] => {
    const kind = ephemeralKind(volume);
    if (kind === undefined) return [];
    return [
      {
        path,
        message: `Volume ${JSON.stringify(volume.name)} (${kind}) is made anew for each Pod, and shared by the pieces ${users}.`,
        action: 'Use a persistent claim that several Pods can mount, or do not split this Pod.',
      },
    ];
  });
}

/** Each of these is one copy a Pod. A read-only inline CSI volume is the same for all: secrets, certificates. */
function ephemeralKind(volume: IVolume): string | undefined {
  if (volume.ephemeral !== undefined) return 'ephemeral';
  if (volume.gitRepo !== undefined) return 'gitRepo';
  if (volume.csi !== undefined && volume.csi.readOnly !== true) return 'csi, writable';
  return undefined;
}

export function sharedReadWriteOncePod({ pod, options, division }: DividedSubject): Finding[] {
  const claims = options.readWriteOncePodClaims ?? new Set<string>();
  return sharedVolumes(pod, division)
    .filter(({ volume }) => claims.has(volume.persistentVolumeClaim?.claimName ?? ''))
    .map(({ volume, path, users }) => ({
      path,
      message: `Claim ${JSON.stringify(volume.persistentVolumeClaim?.claimName)} is ReadWriteOncePod, and shared by the pieces ${users}.`,
      action: 'Use a claim of mode ReadWriteOnce: all pieces run on one node.',
    }));
}

export function sharedResourceClaims({ pod, division }: DividedSubject): Finding[] {
  const pieces = [division.primary, ...division.siblings];
  return indexed(specOf(pod).resourceClaims, 'spec.resourceClaims').flatMap(({ item, path }) => {
    const users = pieces.filter((piece) =>
      [piece.container, ...piece.initContainers].some((container) => claimNamesOf(container).has(item.name)),
    );
    if (users.length < 2) return [];
    return [
      {
        path,
        message: `Resource claim ${JSON.stringify(item.name)} is used by the pieces ${listOf(users)}.`,
        action: 'Give each container a claim of its own.',
      },
    ];
  });
}
