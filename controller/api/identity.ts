import { createHash } from 'node:crypto';
import type { InstallMode } from './install.ts';
import { bridgeNamePrefix, nadNamePrefix, waitNamePrefix } from './names.ts';

/** First `length` hex digits of SHA-256: names need to be short and stable, not secret. */
export function shortHash(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length);
}

/** The value of the label `podsplit.io/split`, from the primary's UID: a StatefulSet's next Pod of the same name differs. */
export function splitId(primaryUid: string): string {
  return shortHash(primaryUid, 10);
}

export interface WorkloadRef {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** 12 hex digits that name the workload's bridge, NAD, policies and the label `podsplit.io/workload`. */
export function workloadKey(workload: WorkloadRef): string {
  return shortHash(`${workload.namespace}/${workload.kind}/${workload.name}/${workload.uid}`, 12);
}

/** Names the workload's peer network, whoever loads the rules on it: its address blocks are marked with it. */
export function networkName(workload: WorkloadRef): string {
  return `${nadNamePrefix}${truncateName(workload.name, 40)}-${workloadKey(workload)}`;
}

/** One NAD for each install mode that the workload's Pods have: during a rollout there may be both. */
export function nadName(workload: WorkloadRef, install: InstallMode): string {
  return install === 'node' ? `${networkName(workload)}-node` : networkName(workload);
}

/** Of the Pods on this NAD. The name of an `init` one ends with hex digits. */
export function installOfNad(name: string): InstallMode {
  return name.endsWith('-node') || name.endsWith(isolateSuffix) ? 'node' : 'init';
}

const isolateSuffix = '-isolate';

/** The NAD of the workload's isolated Pods. It has no bridge and no addresses: only podsplit's plugin is in it. */
export function isolateNadName(workload: WorkloadRef): string {
  return `${networkName(workload)}${isolateSuffix}`;
}

export function isIsolateNad(name: string): boolean {
  return name.endsWith(isolateSuffix);
}

export function bridgeName(workload: WorkloadRef): string {
  return `${bridgeNamePrefix}${workloadKey(workload)}`;
}

/** Pod names are DNS-1123 subdomains of at most 253 characters (RFC 1123); the container and the hash are kept whole. */
export function siblingName(primaryName: string, primaryUid: string, container: string): string {
  const suffix = `-${container}-${shortHash(`${primaryUid}/${container}`, 6)}`;
  return `${truncateName(primaryName, 253 - suffix.length)}${suffix}`;
}

/** The init container that holds the primary where this native sidecar starts: a DNS label (RFC 1123, 63 characters). */
export function waitName(sidecar: string): string {
  const name = `${waitNamePrefix}${sidecar}`;
  return name.length <= 63 ? name : `${truncateName(name, 54)}-${shortHash(sidecar, 8)}`;
}

/** `PodSplit` objects are named for the Pod, with the UID's hash: two Pods of one name may overlap in time. */
export function podSplitName(primaryName: string, primaryUid: string): string {
  return `${truncateName(primaryName, 242)}-${splitId(primaryUid)}`;
}

/** Cuts at `length` and drops what a DNS label must not end with. */
function truncateName(name: string, length: number): string {
  return name.slice(0, length).replace(/[-.]+$/, '');
}
