import { apiVersion, ownLabels } from '../api/names.ts';
import { networkName, workloadKey, type WorkloadRef } from '../api/identity.ts';
import type { AddressBlock, Claim } from '../api/resources.ts';
import {
  blockName,
  candidateIndex,
  claimIn,
  claimOf,
  finishRelease,
  isEmpty,
  markReleasing,
  nextFreeIndex,
  type PodRef,
} from './block.ts';
import { blockErrors, formatBlockError } from './parse-block.ts';
import { addressesAt, blockCount, maxContainers, type PieceAddress, type Pool } from './pool.ts';
import type { BlockStore, Freshness } from './store.ts';

/** The protocol of docs/decisions/0004-address-claims.md, where the proof of it is. */

export interface ClaimRequest {
  readonly network: { readonly name: string; readonly pool: Pool };
  readonly workload: WorkloadRef;
  readonly pod: PodRef;
  /** Primary and siblings. */
  readonly containers: readonly string[];
  /**
   * Index of the block that an existing piece of this Pod has its address of (`blockIndexAt`). It decides where a Pod has
   * two claims, as after a lost answer: see the decision record.
   */
  readonly carried?: number | undefined;
}

/** A claim together with the block that it stands in. */
export interface Held {
  readonly block: string;
  readonly index: number;
  readonly claim: Claim;
}

export type ClaimResult =
  | { readonly kind: 'claimed'; readonly held: Held }
  /** The Pod is gone and its addresses are being released: leave it alone. */
  | { readonly kind: 'releasing' }
  | { readonly kind: 'other-containers'; readonly held: Held }
  | { readonly kind: 'too-many-containers'; readonly limit: number }
  /** Every block of the pool is held. It heals by itself when one is freed. */
  | { readonly kind: 'exhausted'; readonly total: number }
  | Retry;

/** Somebody else was faster, or nobody knows what was done: begin anew, later. */
export interface Retry {
  readonly kind: 'retry';
  readonly reason: string;
}

/** More conflicts in one go mean that somebody else is at work: let others have the queue. */
const attempts = 8;

export async function claim(store: BlockStore, request: ClaimRequest): Promise<ClaimResult> {
  const limit = maxContainers(request.network.pool);
  if (request.containers.length > limit) return { kind: 'too-many-containers', limit };
  const lostIndices = new Set<number>();
  let freshness: Freshness = 'cached';
  let reason = '';
  for (let attempt = 0; attempt < attempts; attempt++) {
    const blocks = await store.list(request.network.name, freshness);
    const outcome =
      (await claimInOwnBlock(store, request, ownBlocks(blocks, request))) ??
      // A new block is made on fresh knowledge only: an old view may lack the very block that holds this Pod's claim.
      (freshness === 'cached'
        ? again('no block with room is known')
        : await claimNewBlock(store, request, blocks, lostIndices));
    if (outcome.kind !== 'again') return outcome;
    ({ reason } = outcome);
    freshness = 'live';
  }
  return { kind: 'retry', reason };
}

interface Again {
  readonly kind: 'again';
  readonly reason: string;
}

/** Undefined: the workload has no block with room. */
async function claimInOwnBlock(
  store: BlockStore,
  request: ClaimRequest,
  own: readonly AddressBlock[],
): Promise<ClaimResult | Again | undefined> {
  const { network, pod, containers } = request;
  const holding = heldOf(own, pod.uid, request.carried);
  for (const block of holding === undefined ? own : [holding]) {
    const transition = claimIn(block.spec, network.pool, pod, containers);
    if (transition.kind === 'full') continue;
    if (transition.kind === 'releasing') return transition;
    const [error] = blockErrors(block, network.pool);
    if (error !== undefined && holding === undefined) continue;
    if (error !== undefined) return { kind: 'retry', reason: formatBlockError(block, error) };
    if (transition.kind === 'already') return { kind: 'claimed', held: heldIn(block, transition.claim) };
    if (transition.kind === 'other-containers') return { kind: transition.kind, held: heldIn(block, transition.claim) };
    const written = await store.replace({ ...block, spec: transition.spec });
    return written.kind === 'ok' ? { kind: 'claimed', held: heldIn(block, transition.claim) } : failed(written);
  }
  return undefined;
}

async function claimNewBlock(
  store: BlockStore,
  request: ClaimRequest,
  blocks: readonly AddressBlock[],
  lostIndices: Set<number>,
): Promise<ClaimResult | Again> {
  const { network, workload } = request;
  const total = blockCount(network.pool);
  const taken = new Set([...blocks.map((block) => block.spec.index), ...lostIndices]);
  const index = nextFreeIndex(taken, candidateIndex(workloadKey(workload), total), total);
  if (index === undefined) return { kind: 'exhausted', total };
  const block = emptyBlock(network.name, index, workload);
  const transition = claimIn(block.spec, network.pool, request.pod, request.containers);
  if (transition.kind !== 'claimed') return { kind: 'retry', reason: `block ${block.metadata.name} has no room` };
  const written = await store.create({ ...block, spec: transition.spec });
  if (written.kind === 'ok') return { kind: 'claimed', held: heldIn(block, transition.claim) };
  if (written.kind === 'already-exists') lostIndices.add(index);
  return failed(written);
}

interface Failure {
  readonly kind: 'already-exists' | 'conflict' | 'not-found' | 'unknown';
  readonly reason?: string;
}

/** A lost answer is not tried again at once: what was sent may still arrive. */
function failed(failure: Failure): Again | Retry {
  return failure.kind === 'unknown' ? { kind: 'retry', reason: failure.reason ?? failure.kind } : again(failure.kind);
}

function again(reason: string): Again {
  return { kind: 'again', reason };
}

export interface PieceLookup {
  /** Linearizable: is there a Pod of this name with this UID? One that is being deleted, or has ended, is there. */
  primaryExists(pod: PodRef): Promise<boolean>;
  /** Linearizable: the siblings of the split Pod, by label, gated and terminating ones too. Names, for messages. */
  siblings(pod: PodRef): Promise<readonly string[]>;
}

export type ReleaseResult =
  | { readonly kind: 'released' }
  /** The primary is there: nothing was done. */
  | { readonly kind: 'alive' }
  /** Siblings of a primary that is gone: delete them, and come again when they are. */
  | { readonly kind: 'siblings-left'; readonly siblings: readonly string[] }
  | Retry;

/** Releases all that the Pod holds in the SplitNetwork, in two phases. Safe to call at any time, for any Pod. */
export async function release(
  store: BlockStore,
  pieces: PieceLookup,
  request: { readonly network: string; readonly pod: Pick<PodRef, 'uid'> },
): Promise<ReleaseResult> {
  const { uid } = request.pod;
  const blocks = (await store.list(request.network, 'live')).filter(({ spec }) => claimOf(spec, uid) !== undefined);
  // The claim says what its Pod is called: a caller who is wrong about the name would find nobody there.
  const [pod] = blocks.map(({ spec }) => claimOf(spec, uid)?.pod);
  if (pod === undefined) return { kind: 'released' };
  // A UID never comes back, so this answer holds for ever; the latch is only set for Pods that have ended.
  if (await pieces.primaryExists(pod)) return { kind: 'alive' };
  const marked: AddressBlock[] = [];
  for (const block of blocks) {
    const latched = await writeUntilDone(store, block, uid, markOnce);
    if (latched.kind === 'retry') return latched;
    if (latched.block !== undefined) marked.push(latched.block);
  }
  const siblings = await pieces.siblings(pod);
  if (siblings.length > 0) return { kind: 'siblings-left', siblings };
  for (const block of marked) {
    const done = await writeUntilDone(store, block, uid, finishOnce);
    if (done.kind === 'retry') return done;
  }
  return { kind: 'released' };
}

/** `block` is what stands there now, undefined if nothing of the Pod is left in it. */
interface Done {
  readonly kind: 'done';
  readonly block: AddressBlock | undefined;
}

/** Repeats a compare-and-swap on what is there now, until it is done or no longer needed. */
async function writeUntilDone(
  store: BlockStore,
  seen: AddressBlock,
  podUid: string,
  once: (store: BlockStore, block: AddressBlock, podUid: string) => Promise<Done | Again | Retry>,
): Promise<Done | Retry> {
  let block: AddressBlock | undefined = seen;
  let reason = '';
  for (let attempt = 0; attempt < attempts; attempt++) {
    if (block === undefined || claimOf(block.spec, podUid) === undefined) return { kind: 'done', block: undefined };
    const step = await once(store, block, podUid);
    if (step.kind !== 'again') return step;
    ({ reason } = step);
    block = await store.get(seen.metadata.name);
  }
  return { kind: 'retry', reason };
}

async function markOnce(store: BlockStore, block: AddressBlock, podUid: string): Promise<Done | Again | Retry> {
  if (claimOf(block.spec, podUid)?.releasing === true) return { kind: 'done', block };
  const written = await store.replace({ ...block, spec: markReleasing(block.spec, podUid) });
  return written.kind === 'ok' ? { kind: 'done', block: written.block } : failed(written);
}

async function finishOnce(store: BlockStore, block: AddressBlock, podUid: string): Promise<Done | Again | Retry> {
  // Somebody who did not know that the Pod is gone has claimed for it again since: that claim needs a latch of its own.
  if (claimOf(block.spec, podUid)?.releasing !== true) return { kind: 'retry', reason: 'claimed again meanwhile' };
  const spec = finishRelease(block.spec, podUid);
  const written = isEmpty(spec) ? await store.delete(block) : await store.replace({ ...block, spec });
  return written.kind === 'ok' ? { kind: 'done', block: undefined } : failed(written);
}

/**
 * To be asked after the create of a sibling returned and before its gate is lifted: are these addresses still the Pod's?
 * The gate is then lifted with the sibling's UID as precondition.
 */
export async function isHeld(store: BlockStore, held: Held): Promise<boolean> {
  const block = await store.get(held.block);
  const current = block === undefined ? undefined : claimOf(block.spec, held.claim.pod.uid);
  return current !== undefined && current.releasing !== true && sameOffsets(current, held.claim);
}

/** The addresses of each container, by name. */
export function addressesOf(pool: Pool, held: Held): ReadonlyMap<string, PieceAddress> {
  return new Map(
    Object.entries(held.claim.offsets).map(([container, offset]) => [container, addressesAt(pool, held.index, offset)]),
  );
}

/** The claim of a Pod among a workload's blocks, chosen as `claim` chooses it. */
export function findHeld(blocks: readonly AddressBlock[], podUid: string, carried?: number): Held | undefined {
  const block = heldOf(byIndex(blocks), podUid, carried);
  const found = block === undefined ? undefined : claimOf(block.spec, podUid);
  return block === undefined || found === undefined ? undefined : heldIn(block, found);
}

/** What is wrong with the network's blocks, for the SplitNetwork's condition. */
export function unsoundBlocks(blocks: readonly AddressBlock[], pool: Pool): readonly string[] {
  return blocks.flatMap((block) => blockErrors(block, pool).map((error) => formatBlockError(block, error)));
}

function heldOf(
  blocks: readonly AddressBlock[],
  podUid: string,
  carried: number | undefined,
): AddressBlock | undefined {
  const holding = blocks.filter((block) => claimOf(block.spec, podUid) !== undefined);
  return holding.find((block) => block.spec.index === carried) ?? holding[0];
}

function ownBlocks(blocks: readonly AddressBlock[], { network, workload }: ClaimRequest): readonly AddressBlock[] {
  const nad = networkName(workload);
  return byIndex(blocks).filter(
    ({ spec }) =>
      spec.network === network.name && spec.workload.namespace === workload.namespace && spec.workload.nad === nad,
  );
}

function byIndex(blocks: readonly AddressBlock[]): readonly AddressBlock[] {
  return blocks.toSorted((one, other) => one.spec.index - other.spec.index);
}

function heldIn(block: AddressBlock, found: Claim): Held {
  return { block: block.metadata.name, index: block.spec.index, claim: found };
}

function sameOffsets(one: Claim, other: Claim): boolean {
  const names = Object.keys(one.offsets);
  return (
    names.length === Object.keys(other.offsets).length &&
    names.every((name) => one.offsets[name] === other.offsets[name])
  );
}

function emptyBlock(network: string, index: number, workload: WorkloadRef): AddressBlock {
  return {
    apiVersion,
    kind: 'AddressBlock',
    metadata: {
      name: blockName(network, index),
      labels: { [ownLabels.managedBy]: 'podsplit', [ownLabels.workload]: workloadKey(workload) },
    },
    spec: { network, index, workload: { namespace: workload.namespace, nad: networkName(workload) }, claims: [] },
  };
}
