import { shortHash } from '../api/identity.ts';
import type { AddressBlockSpec, Claim } from '../api/resources.ts';
import { usableOffsets, type Pool } from './pool.ts';

/** Transitions of one block's content. Each returns a new spec; who may write it, and when, is the allocator's part. */

export type PodRef = Claim['pod'];

export type ClaimIn =
  /** `spec` is to be written: it holds `claim`. */
  | { readonly kind: 'claimed'; readonly spec: AddressBlockSpec; readonly claim: Claim }
  /** The Pod has its addresses here. */
  | { readonly kind: 'already'; readonly claim: Claim }
  /** The Pod had addresses here and is gone: nobody starts a piece of it again. */
  | { readonly kind: 'releasing' }
  /** The Pod has addresses here for other containers: what says which ones it runs was changed since. */
  | { readonly kind: 'other-containers'; readonly claim: Claim }
  | { readonly kind: 'full' };

/** All of a Pod's addresses come from one block: one write gives them all or none. */
export function claimIn(block: AddressBlockSpec, pool: Pool, pod: PodRef, containers: readonly string[]): ClaimIn {
  const existing = claimOf(block, pod.uid);
  if (existing !== undefined) {
    if (existing.releasing === true) return { kind: 'releasing' };
    const same = sameNames(Object.keys(existing.offsets), containers);
    return { kind: same ? 'already' : 'other-containers', claim: existing };
  }
  const free = freeOffsets(block, pool, pod);
  if (free.length < containers.length) return { kind: 'full' };
  const offsets = Object.fromEntries(containers.map((container, i) => [container, free[i] ?? 0]));
  const claim: Claim = { pod: { name: pod.name, uid: pod.uid }, offsets };
  return { kind: 'claimed', spec: { ...block, claims: [...block.claims, claim] }, claim };
}

export function claimOf(block: AddressBlockSpec, podUid: string): Claim | undefined {
  return block.claims.find((claim) => claim.pod.uid === podUid);
}

/**
 * The first phase of a release: a latch. Nothing takes it back, so whoever sees it open saw it before it was set. The same
 * object comes back where nothing changes.
 */
export function markReleasing(block: AddressBlockSpec, podUids: ReadonlySet<string>): AddressBlockSpec {
  const isOpen = ({ pod, releasing }: Claim): boolean => podUids.has(pod.uid) && releasing !== true;
  if (!block.claims.some(isOpen)) return block;
  return { ...block, claims: block.claims.map((claim) => (isOpen(claim) ? { ...claim, releasing: true } : claim)) };
}

/** The second phase. A claim that was not marked stays: removing it would be a release in one phase. */
export function finishRelease(block: AddressBlockSpec, podUids: ReadonlySet<string>): AddressBlockSpec {
  const claims = block.claims.filter(({ pod, releasing }) => !podUids.has(pod.uid) || releasing !== true);
  return claims.length === block.claims.length ? block : { ...block, claims };
}

export function isEmpty(block: AddressBlockSpec): boolean {
  return block.claims.length === 0;
}

/** The create of this name is the claim to the block. No name is made by two pairs: an index has no dash. */
export function blockName(network: string, index: number): string {
  return `${network}-${index}`;
}

/** Where a workload starts to look. Hashed, so that workloads wired at once do not all race for the first free block. */
export function candidateIndex(workloadKey: string, total: number): number {
  return hashBelow(workloadKey, total);
}

/** From `start` upwards and around. Undefined: the pool is exhausted. */
export function nextFreeIndex(taken: ReadonlySet<number>, start: number, total: number): number | undefined {
  for (let step = 0; step < total; step++) {
    const index = (start + step) % total;
    if (!taken.has(index)) return index;
  }
  return undefined;
}

/**
 * Next fit: from behind the newest claim on, and in an empty block from a place that the Pod's UID gives. An address that
 * was just released is taken last, because the API server may know a Pod as gone whose containers still run: a forced
 * deletion, or a node that is lost. On the workload's bridge of that node the old piece and a new one would share it.
 */
function freeOffsets(block: AddressBlockSpec, pool: Pool, pod: PodRef): readonly number[] {
  const taken = new Set(block.claims.flatMap((claim) => Object.values(claim.offsets)));
  const free = usableOffsets(pool, block.index).filter((offset) => !taken.has(offset));
  const newest = block.claims.at(-1);
  const start =
    newest === undefined ? hashBelow(pod.uid, pool.blockSize) : (Object.values(newest.offsets).at(-1) ?? -1) + 1;
  return [...free.filter((offset) => offset >= start), ...free.filter((offset) => offset < start)];
}

function hashBelow(text: string, limit: number): number {
  return Number.parseInt(shortHash(text, 12), 16) % limit;
}

function sameNames(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((name) => others.includes(name));
}
