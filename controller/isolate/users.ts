import type { IPod } from 'kubernetes-models/v1/Pod';
import { userAnnotations } from '../api/names.ts';
import type { Refusal } from '../api/refusal.ts';
import { isReadOnlyVolume, specOf } from '../split/pod.ts';
import { type AssignedUser } from './plan.ts';
import type { Member } from './subject.ts';

/** Above those of distributions and of images (systemd's list ends at 65535), below the overflow UID. */
const firstAssigned = 64_000;

const path = `metadata.annotations[${userAnnotations.assignUsers}]`;

export function checkAssignment(annotations: Readonly<Record<string, string>>): readonly Refusal[] {
  const value = annotations[userAnnotations.assignUsers];
  if (value === undefined || value === 'true' || value === 'false') return [];
  return [
    {
      code: 'InvalidAssignment',
      path,
      message: `${JSON.stringify(value.slice(0, 80))} is neither true nor false.`,
      action: 'Set it to "true", or remove it.',
    },
  ];
}

/**
 * Free UIDs for those that have none; what is set stays as it is. The same Pod always gets the same ones, so that files of
 * one replica can be read by the next.
 */
export function assignUsers(
  members: readonly Member[],
  annotations: Readonly<Record<string, string>>,
): readonly AssignedUser[] {
  if (annotations[userAnnotations.assignUsers] !== 'true') return [];
  const taken = new Set(members.map(({ uid }) => uid));
  let next = firstAssigned;
  return members
    .filter(({ uid }) => uid === undefined)
    .map(({ container, list, index }) => {
      while (taken.has(next)) next++;
      return { container: container.name, list, index, uid: next++ };
    });
}

/** The members as they will be. */
export function withAssigned(members: readonly Member[], assigned: readonly AssignedUser[]): readonly Member[] {
  return members.map((member) => {
    const found = assigned.find(({ list, index }) => list === member.list && index === member.index);
    return found === undefined ? member : { ...member, uid: found.uid };
  });
}

/**
 * What to hear of UIDs that nobody chose: whose files they are not. A volume that one writes and another uses has files of both
 * users; a hostPath keeps the owners that it has on the node, whatever the Pod's fsGroup.
 *
 * @param members as they will be
 */
export function assignedMessage(pod: IPod, members: readonly Member[], assigned: readonly AssignedUser[]): string {
  const general = 'Containers without a runAsUser get one; what their images expect to own, they do not.';
  const { volumes = [], securityContext } = specOf(pod);
  const uids = new Set(assigned.map(({ uid }) => uid));
  const shared = volumes
    .filter((volume) => !isReadOnlyVolume(volume) && volume.hostPath === undefined)
    .filter(({ name }) => isSharedByUsers(members, name, uids))
    .map(({ name }) => JSON.stringify(name));
  if (shared.length === 0) return general;
  const group = securityContext?.fsGroup === undefined ? 'set securityContext.fsGroup of the Pod, and ' : '';
  return (
    `${general} As different users they share the volume${shared.length === 1 ? '' : 's'} ${shared.join(', ')}: ` +
    `${group}let them write files for the group (umask 002).`
  );
}

function isSharedByUsers(members: readonly Member[], volume: string, assigned: ReadonlySet<number>): boolean {
  const mounts = members.flatMap(({ uid, container }) =>
    (container.volumeMounts ?? []).filter(({ name }) => name === volume).map(({ readOnly }) => ({ uid, readOnly })),
  );
  const users = new Set(mounts.map(({ uid }) => uid));
  const isWritten = mounts.some(({ readOnly }) => readOnly !== true);
  return users.size > 1 && isWritten && mounts.some(({ uid }) => uid !== undefined && assigned.has(uid));
}
