import type { Refusal, RefusalCode } from '../../api/refusal.ts';
import {
  foreignResourceFields,
  missingVolumes,
  namesTwice,
  nativeSidecarAsPrimary,
  networkCapabilities,
  privilegedContainers,
} from './containers.ts';
import { ownNetworks, reservedLabels, reservedNames } from './metadata.ts';
import {
  hostNamespaces,
  nodeName,
  podLevelResources,
  sharedProcessNamespace,
  tooManyContainers,
  windows,
} from './pod-fields.ts';
import { flowPortConflicts, portNamesTwice, portsDeclaredTwice, tooManyFlows, unsupportedProtocols } from './ports.ts';
import { foreignProbes } from './probes.ts';
import { sharedEmptyDirs, sharedEphemeralVolumes, sharedReadWriteOncePod, sharedResourceClaims } from './sharing.ts';
import type { DividedSubject, Finding, Subject } from './subject.ts';

type PodCheck = readonly [RefusalCode, (subject: Subject) => readonly Finding[]];
type DivisionCheck = readonly [RefusalCode, (subject: DividedSubject) => readonly Finding[]];

/** What makes a Pod too large to be divided at all: asked first. */
const limitChecks: readonly PodCheck[] = [
  ['TooManyContainers', tooManyContainers],
  ['AnnotationsTooLarge', tooManyFlows],
];

/** What no Pod may have, whichever way it is divided. */
const podChecks: readonly PodCheck[] = [
  ['ReservedLabel', reservedLabels],
  ['ReservedName', reservedNames],
  ['OwnNetworks', ownNetworks],
  ['HostNamespace', hostNamespaces],
  ['SharedProcessNamespace', sharedProcessNamespace],
  ['WindowsPod', windows],
  ['PodLevelResources', podLevelResources],
  ['PrivilegedContainer', privilegedContainers],
  ['NetworkCapability', networkCapabilities],
  ['UnsupportedProtocol', unsupportedProtocols],
  ['PortDeclaredTwice', portsDeclaredTwice],
  ['PortNameTwice', portNamesTwice],
  ['ResourceFieldOfOtherContainer', foreignResourceFields],
  ['NodeNameSet', nodeName],
  ['InvalidPod', missingVolumes],
  ['InvalidPod', namesTwice],
];

/** What depends on which container is the primary. */
const divisionChecks: readonly DivisionCheck[] = [
  ['NativeSidecar', nativeSidecarAsPrimary],
  ['FlowPortConflict', flowPortConflicts],
  ['SharedEmptyDir', sharedEmptyDirs],
  ['SharedEphemeralVolume', sharedEphemeralVolumes],
  ['SharedReadWriteOncePod', sharedReadWriteOncePod],
  ['SharedResourceClaim', sharedResourceClaims],
  ['ProbeOfOtherContainer', foreignProbes],
];

export function checkLimits(subject: Subject): readonly Refusal[] {
  return limitChecks.flatMap(([code, check]) => check(subject).map((finding) => ({ code, ...finding })));
}

export function checkPod(subject: Subject): readonly Refusal[] {
  return podChecks.flatMap(([code, check]) => check(subject).map((finding) => ({ code, ...finding })));
}

export function checkDivision(subject: DividedSubject): readonly Refusal[] {
  return divisionChecks.flatMap(([code, check]) => check(subject).map((finding) => ({ code, ...finding })));
}
