import { ownAnnotations, userAnnotations } from '../api/names.ts';
import type { Refusal, RefusalCode } from '../api/refusal.ts';
import { maxIsolated } from '../rules/isolate-wiring.ts';
import { privilegedContainers } from '../split/checks/containers.ts';
import { ownNetworks, reservedLabels, reservedNames } from '../split/checks/metadata.ts';
import { hostNamespaces, nodeName, windows } from '../split/checks/pod-fields.ts';
import { portNamesTwice, portsDeclaredTwice, tooManyFlows, unsupportedProtocols } from '../split/checks/ports.ts';
import { indexed, type Finding, type Subject as SplitSubject } from '../split/checks/subject.ts';
import { hardenedFields } from '../split/harden.ts';
import { annotationsOf, specOf } from '../split/pod.ts';
import type { Member } from './subject.ts';

interface Subject extends SplitSubject {
  /** With the UIDs that the webhook assigns. */
  readonly members: readonly Member[];
}

type Check = readonly [RefusalCode, (subject: Subject) => readonly Finding[]];

/** A check of mode split that does not ask how the Pod is divided. */
const shared =
  (check: (subject: SplitSubject) => readonly Finding[]) =>
  (subject: Subject): readonly Finding[] =>
    check(subject).map((finding) => ({
      ...finding,
      action: finding.action.replace('o not split this Pod', 'o not isolate this Pod'),
    }));

/** What no isolated Pod may have. */
const checks: readonly Check[] = [
  ['ReservedLabel', shared(reservedLabels)],
  ['ReservedName', shared(reservedNames)],
  ['ForgedAnnotation', wasCut],
  ['OwnNetworks', shared(ownNetworks)],
  ['NeedsNodeAgent', installedByInit],
  ['HostNamespace', shared(hostNamespaces)],
  ['SharedProcessNamespace', sharedProcessNamespace],
  ['UserNamespace', userNamespace],
  ['WindowsPod', shared(windows)],
  ['NodeNameSet', shared(nodeName)],
  ['TooManyContainers', tooMany],
  ['UserMissing', userMissing],
  ['RootUser', rootUser],
  ['SharedUser', sharedUser],
  ['PrivilegedContainer', shared(privilegedContainers)],
  ['PrivilegeEscalation', privilegeEscalation],
  ['IdentityCapability', identityCapabilities],
  ['IdentityCapability', undroppedCapabilities],
  ['UnsupportedProtocol', shared(unsupportedProtocols)],
  ['PortDeclaredTwice', shared(portsDeclaredTwice)],
  ['PortNameTwice', shared(portNamesTwice)],
  ['AnnotationsTooLarge', shared(tooManyFlows)],
];

export function checkIsolation(subject: Subject): readonly Refusal[] {
  return checks.flatMap(([code, check]) => check(subject).map((finding) => ({ code, ...finding })));
}

function wasCut({ pod }: Subject): readonly Finding[] {
  if (!Object.hasOwn(annotationsOf(pod), ownAnnotations.removed)) return [];
  return [
    {
      path: `metadata.annotations[${ownAnnotations.removed}]`,
      message: 'Nothing is removed from an isolated Pod.',
      action: 'Remove the annotation.',
    },
  ];
}

function installedByInit({ pod }: Subject): readonly Finding[] {
  if (annotationsOf(pod)[userAnnotations.install] !== 'init') return [];
  return [
    {
      path: `metadata.annotations[${userAnnotations.install}]`,
      message: 'An init container would share the network namespace that it is to close.',
      action: 'Set it to "node", or remove it.',
    },
  ];
}

function sharedProcessNamespace({ pod }: Subject): readonly Finding[] {
  if (specOf(pod).shareProcessNamespace !== true) return [];
  return [
    {
      path: 'spec.shareProcessNamespace',
      message: "The containers see each other's processes, and the files and sockets that those have open.",
      action: 'Remove shareProcessNamespace, or do not isolate this Pod.',
    },
  ];
}

function userNamespace({ pod }: Subject): readonly Finding[] {
  if (specOf(pod).hostUsers !== false) return [];
  return [
    {
      path: 'spec.hostUsers',
      message: "The kernel knows the containers' users by other numbers than the Pod says.",
      action: 'Remove hostUsers, or do not isolate this Pod.',
    },
  ];
}

function tooMany({ members }: Subject): readonly Finding[] {
  if (members.length <= maxIsolated) return [];
  return [
    {
      path: 'spec.containers',
      message: `The Pod has ${members.length} containers, isolation tells ${maxIsolated} apart.`,
      action: 'Use fewer containers.',
    },
  ];
}

function userMissing({ members }: Subject): readonly Finding[] {
  return members
    .filter(({ uid }) => uid === undefined)
    .map(({ container, uidPath }) => ({
      path: uidPath,
      message: `Container ${JSON.stringify(container.name)} runs as whatever its image says.`,
      action: `Give it a UID of its own, or have podsplit assign one: ${userAnnotations.assignUsers}=true.`,
    }));
}

function rootUser({ members }: Subject): readonly Finding[] {
  return members
    .filter(({ uid }) => uid === 0)
    .map(({ container, uidPath }) => ({
      path: uidPath,
      message: `Container ${JSON.stringify(container.name)} runs as root, who can become any user.`,
      action: 'Give it a UID other than 0, or split this Pod.',
    }));
}

/** A plain init container may have the UID of a container: the two never run at once, and are judged as one. */
function sharedUser({ members }: Subject): readonly Finding[] {
  const beside = members.filter(({ runsBeside }) => runsBeside);
  return members.flatMap((member): Finding[] => {
    if (member.uid === undefined || member.uid === 0) return [];
    const before = beside.slice(0, member.runsBeside ? beside.indexOf(member) : undefined);
    const other = before.find(
      ({ uid, list }) => uid === member.uid && (member.runsBeside || list === 'initContainers'),
    );
    if (other === undefined) return [];
    return [
      {
        path: member.uidPath,
        message: `Container ${JSON.stringify(member.container.name)} has the UID ${member.uid} of container ${JSON.stringify(other.container.name)}.`,
        action: 'Give each container a runAsUser of its own.',
      },
    ];
  });
}

/** no_new_privs: without it a setuid file in the container's own image makes it another user. */
function privilegeEscalation({ pod, members }: Subject): readonly Finding[] {
  const written = hardenedFields(pod);
  return members
    .filter(({ container }) => container.securityContext?.allowPrivilegeEscalation !== false)
    .map(({ container, path }) => ({
      path: `${path}.securityContext.allowPrivilegeEscalation`,
      message: `Container ${JSON.stringify(container.name)} may gain privileges by a setuid program, and then be any user.`,
      action: `Set it to false${orHarden(written(container), 'allowPrivilegeEscalation')}.`,
    }));
}

function orHarden(written: readonly string[], field: string): string {
  if (!written.includes(field)) return '';
  return `, or have podsplit write it: ${userAnnotations.guards}=all, or a list with "hardening"`;
}

/** None of them changes who a process is, what it sends, or what other containers' processes do. */
const harmless: readonly string[] = [
  'NET_BIND_SERVICE',
  'AUDIT_WRITE',
  'CHOWN',
  'FOWNER',
  'FSETID',
  'IPC_LOCK',
  'KILL',
  'LEASE',
  'SYS_CHROOT',
  'SYS_NICE',
  'SYS_RESOURCE',
  'SYS_TIME',
];

/**
 * What runtimes give a container unless it is dropped. A process that is not root begins without them, but not if its
 * program's file bears them: the runtime execs it while it has them, and no_new_privs takes none away that the caller has
 * (capabilities(7), "Transformation of capabilities during execve"; prctl(2), PR_SET_NO_NEW_PRIVS).
 */
const harmfulDefaults: readonly string[] = ['SETUID', 'SETGID', 'NET_RAW'];

/** By the very names that runtimes know: one that they do not drops nothing. */
function isDropped(drop: readonly string[], capability: string): boolean {
  return drop.includes('ALL') || drop.includes(capability);
}

function undroppedCapabilities({ pod, members }: Subject): readonly Finding[] {
  const written = hardenedFields(pod);
  return members.flatMap(({ container, path }) => {
    const drop = container.securityContext?.capabilities?.drop ?? [];
    const left = harmfulDefaults.filter((capability) => !isDropped(drop, capability));
    if (left.length === 0) return [];
    return [
      {
        path: `${path}.securityContext.capabilities.drop`,
        message: `Container ${JSON.stringify(container.name)} keeps ${left.join(', ')}, with which a program of its image may be any user or send in any name.`,
        action: `Set it to [ALL]${orHarden(written(container), 'capabilities')}.`,
      },
    ];
  });
}

function identityCapabilities({ members }: Subject): readonly Finding[] {
  return members.flatMap(({ container, path }) => {
    const added = indexed(
      container.securityContext?.capabilities?.add,
      `${path}.securityContext.capabilities.add`,
    ).filter(({ item }) => !harmless.includes(item.toUpperCase().replace(/^CAP_/, '')));
    const findings = added.map(({ item, path }) => ({
      path,
      message: `Container ${JSON.stringify(container.name)} adds ${item.slice(0, 80)}, which is more than one identity needs.`,
      action: 'Remove the capability, or split this Pod.',
    }));
    if (container.securityContext?.procMount !== 'Unmasked') return findings;
    return [
      ...findings,
      {
        path: `${path}.securityContext.procMount`,
        message: `Container ${JSON.stringify(container.name)} may write to /proc/sys/net, and so change what the rules rest on.`,
        action: 'Remove procMount, or do not isolate this Pod.',
      },
    ];
  });
}
