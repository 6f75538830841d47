import { apiVersion, ownLabels } from '../api/names.ts';
import { networkName, workloadKey, type WorkloadRef } from '../api/identity.ts';
import type { AddressBlock, AddressBlockSpec, Claim } from '../api/resources.ts';
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
  /** Each once. Pods that start at the same time have their claims in one write. */
  readonly pods: readonly PodClaim[];
}

export interface PodClaim {
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

/** What became of each Pod's claim, in the order of the request. One Pod's claim neither needs nor delays another's. */
export async function claim(store: BlockStore, request: ClaimRequest): Promise<readonly ClaimResult[]> {
  const { network, pods } = request;
  const limit = maxContainers(network.pool);
  const results = new Map<string, ClaimResult>();
  for (const { pod, containers } of pods) {
    if (containers.length > limit) results.set(pod.uid, { kind: 'too-many-containers', limit });
  }
  const lostIndices = new Set<number>();
  let freshness: Freshness = 'cached';
  let reason = '';
  for (let lost = 0; lost < attempts;) {
    const open = pods.filter(({ pod }) => !results.has(pod.uid));
    if (open.length === 0) break;
    const blocks = await store.list(network.name, freshness);
    const attempt = { store, request, open, settled: results };
    const again =
      (await claimInOwnBlocks(attempt, ownBlocks(blocks, request))) ??
      // A new block is made on fresh knowledge only: an old view may lack the very block that holds a Pod's claim.
      (freshness === 'cached' ? 'no block with room is known' : await claimNewBlock(attempt, blocks, lostIndices));
    freshness = 'live';
    if (again === undefined) continue;
    lost += 1;
    reason = again;
  }
  return pods.map(({ pod }) => results.get(pod.uid) ?? { kind: 'retry', reason });
}

interface Attempt {
  readonly store: BlockStore;
  readonly request: ClaimRequest;
  /** Whose claims are not settled when it begins. */
  readonly open: readonly PodClaim[];
  /** By UID: results are added. */
  readonly settled: Map<string, ClaimResult>;
}

/** Returns why to look again at once; undefined if Pods that are left over find no room in these blocks. */
async function claimInOwnBlocks(attempt: Attempt, own: readonly AddressBlock[]): Promise<string | undefined> {
  const holding = new Map(attempt.open.map(({ pod, carried }) => [pod.uid, heldOf(own, pod.uid, carried)]));
  for (const block of own) {
    const filled = fill(attempt, block, ({ pod }) => (holding.get(pod.uid) ?? block) === block);
    if (filled.added.length === 0) continue;
    const written = await attempt.store.replace({ ...block, spec: filled.spec });
    const again = settle(attempt, block, filled.added, written);
    if (again !== undefined) return again;
  }
  return undefined;
}

/** For as many of them as it has room for. */
async function claimNewBlock(
  attempt: Attempt,
  blocks: readonly AddressBlock[],
  lostIndices: Set<number>,
): Promise<string | undefined> {
  const { request, open, settled, store } = attempt;
  const { network, workload } = request;
  const left = open.filter(({ pod }) => !settled.has(pod.uid));
  if (left.length === 0) return undefined;
  const total = blockCount(network.pool);
  const taken = new Set([...blocks.map((block) => block.spec.index), ...lostIndices]);
  const index = nextFreeIndex(taken, candidateIndex(workloadKey(workload), total), total);
  if (index === undefined) {
    for (const { pod } of left) settled.set(pod.uid, { kind: 'exhausted', total });
    return undefined;
  }
  const block = emptyBlock(network.name, index, workload);
  const { spec, added } = fill(attempt, block, () => true);
  if (added.length === 0) return `block ${block.metadata.name} has no room`;
  const written = await store.create({ ...block, spec });
  if (written.kind === 'already-exists') lostIndices.add(index);
  return settle(attempt, block, added, written);
}

type Added = readonly (readonly [uid: string, claim: Claim])[];

/** The block with the claims that go into it. What has to be said of others without a write is settled. */
function fill(
  { request, open, settled }: Attempt,
  block: AddressBlock,
  mayBeHere: (claim: PodClaim) => boolean,
): { readonly spec: AddressBlockSpec; readonly added: Added } {
  const { pool } = request.network;
  const [error] = blockErrors(block, pool);
  let { spec } = block;
  const added: [string, Claim][] = [];
  for (const one of open.filter(mayBeHere)) {
    const { uid } = one.pod;
    if (settled.has(uid)) continue;
    const transition = claimIn(spec, pool, one.pod, one.containers);
    if (transition.kind === 'full') continue;
    if (transition.kind === 'releasing') {
      settled.set(uid, transition);
    } else if (error !== undefined) {
      // Where it has a claim in an unsound block it waits, else it looks for another block.
      if (transition.kind !== 'claimed') settled.set(uid, { kind: 'retry', reason: formatBlockError(block, error) });
    } else if (transition.kind === 'claimed') {
      ({ spec } = transition);
      added.push([uid, transition.claim]);
    } else {
      const kind = transition.kind === 'already' ? 'claimed' : transition.kind;
      settled.set(uid, { kind, held: heldIn(block, transition.claim) });
    }
  }
  return { spec, added };
}

/** A lost answer is not tried again at once: what was sent may still arrive. */
function settle(
  { settled }: Attempt,
  block: AddressBlock,
  added: Added,
  written: { readonly kind: 'ok' } | Failure,
): string | undefined {
  if (written.kind === 'ok')
    for (const [uid, found] of added) settled.set(uid, { kind: 'claimed', held: heldIn(block, found) });
  else if (written.kind === 'unknown') {
    const reason = written.reason ?? written.kind;
    for (const [uid] of added) settled.set(uid, { kind: 'retry', reason });
  } else return written.kind;
  return undefined;
}

interface Failure {
  readonly kind: 'already-exists' | 'conflict' | 'not-found' | 'unknown';
  readonly reason?: string;
}

export interface PieceLookup {
  /** Linearizable: is there a Pod of this name with this UID? One that is being deleted, or has ended, is there. */
  primaryExists(pod: PodRef): Promise<boolean>;
  /** Linearizable: which siblings for these containers are there, gated and terminating ones too? Names, for messages. */
  siblings(pod: PodRef, containers: readonly string[]): Promise<readonly string[]>;
}

export interface ReleaseRequest {
  /** The blocks that are known to hold claims of these Pods. What stands in others is released when it is known. */
  readonly blocks: readonly string[];
  /** UIDs of primaries. Pods that end together are released in the same writes. */
  readonly pods: readonly string[];
}

export type ReleaseResult =
  | { readonly kind: 'released' }
  /** The primary is there: nothing was done. */
  | { readonly kind: 'alive' }
  /** Siblings of a primary that is gone: delete them, and come again when they are. */
  | { readonly kind: 'siblings-left'; readonly siblings: readonly string[] }
  | Retry;

/** Releases what the Pods hold in these blocks, in two phases. Safe to call at any time, for any Pod. In their order. */
export async function release(
  store: BlockStore,
  pieces: PieceLookup,
  request: ReleaseRequest,
): Promise<readonly ReleaseResult[]> {
  const results = new Map<string, ReleaseResult>();
  const open = (): ReadonlySet<string> => new Set(request.pods.filter((uid) => !results.has(uid)));
  let blocks = (await Promise.all(request.blocks.map((name) => store.get(name)))).filter((one) => one !== undefined);
  // The claims say what their Pods are called: a caller who is wrong about a name would find nobody there.
  const claims = Map.groupBy(
    blocks.flatMap(({ spec }) => spec.claims),
    ({ pod }) => pod.uid,
  );
  const ask = async (question: (pod: PodRef, containers: readonly string[]) => Promise<ReleaseResult | undefined>) => {
    const answers = [...open()].map(async (uid) => {
      const [first, ...others] = claims.get(uid) ?? [];
      const containers = [first, ...others].flatMap((found) => Object.keys(found?.offsets ?? {}));
      const answer = first === undefined ? released : await question(first.pod, [...new Set(containers)]);
      if (answer !== undefined) results.set(uid, answer);
    });
    await Promise.all(answers);
  };
  const write = async (change: Transition): Promise<void> => {
    const left: AddressBlock[] = [];
    for (const block of blocks) {
      const uids = open();
      const outcome = await writeUntilDone(store, block, (spec) => change(spec, uids));
      if (outcome.kind === 'done' && outcome.block !== undefined) left.push(outcome.block);
      if (outcome.kind === 'done') continue;
      for (const { pod } of block.spec.claims) if (uids.has(pod.uid)) results.set(pod.uid, outcome);
    }
    blocks = left;
  };

  // A UID never comes back, so this answer holds for ever; the latch is only set for Pods that have ended.
  await ask(async (pod) => ((await pieces.primaryExists(pod)) ? { kind: 'alive' } : undefined));
  await write(markReleasing);
  await ask(async (pod, containers) => {
    const siblings = await pieces.siblings(pod, containers);
    return siblings.length > 0 ? { kind: 'siblings-left', siblings } : undefined;
  });
  await write(finishRelease);
  // Somebody who did not know that the Pod is gone has claimed for it again since: that claim needs a latch of its own.
  for (const uid of open()) {
    const again = blocks.some(({ spec }) => claimOf(spec, uid) !== undefined);
    results.set(uid, again ? { kind: 'retry', reason: 'claimed again meanwhile' } : released);
  }
  return request.pods.map((uid) => results.get(uid) ?? released);
}

const released: ReleaseResult = { kind: 'released' };

type Transition = (spec: AddressBlockSpec, podUids: ReadonlySet<string>) => AddressBlockSpec;

/** `block` is what stands there now, undefined if it is gone. */
interface Done {
  readonly kind: 'done';
  readonly block: AddressBlock | undefined;
}

/** Repeats a compare-and-swap on what is there now, until it is done or no longer needed. */
async function writeUntilDone(
  store: BlockStore,
  seen: AddressBlock,
  change: (spec: AddressBlockSpec) => AddressBlockSpec,
): Promise<Done | Retry> {
  let block: AddressBlock | undefined = seen;
  let reason = '';
  for (let attempt = 0; attempt < attempts; attempt++) {
    if (block === undefined) return { kind: 'done', block };
    const spec = change(block.spec);
    if (spec === block.spec) return { kind: 'done', block };
    const written = isEmpty(spec)
      ? { block: undefined, ...(await store.delete(block)) }
      : await store.replace({ ...block, spec });
    if (written.kind === 'ok') return { kind: 'done', block: written.block };
    // A lost answer is not tried again at once: what was sent may still arrive.
    if (written.kind === 'unknown') return { kind: 'retry', reason: written.reason };
    reason = written.kind;
    block = await store.get(seen.metadata.name);
  }
  return { kind: 'retry', reason };
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
