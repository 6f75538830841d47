import { userAnnotations } from '../api/names.ts';
import type { Refusal } from '../api/refusal.ts';
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
