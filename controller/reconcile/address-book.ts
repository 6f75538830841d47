import {
  claim,
  findHeld,
  addressesOf,
  release,
  type ClaimResult,
  type Held,
  type PieceLookup,
  type ReleaseResult,
} from '../addresses/allocator.ts';
import { claimOf, type PodRef } from '../addresses/block.ts';
import { blockIndexAt, poolOf, type Pool } from '../addresses/pool.ts';
import type { BlockStore } from '../addresses/store.ts';
import type { WorkloadRef } from '../api/identity.ts';
import { siblingName, splitId, workloadKey } from '../api/identity.ts';
import { ownLabels } from '../api/names.ts';
import type { AddressBlock, SplitNetwork } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import { ApiError, isApiError } from '../kube/errors.ts';
import { Batches } from '../kube/batches.ts';
import { resources } from '../kube/resources.ts';
import type { PieceAddresses } from '../split/wire.ts';
import { carriedEndpoint, type LivePod } from './piece-pod.ts';
import { OwnWrites } from './own-writes.ts';
import type { Obstacle } from './wire.ts';
import { claimKey, type SplitKey, type World } from './world.ts';

export interface ClaimInput {
  readonly network: SplitNetwork;
  readonly workload: WorkloadRef;
  readonly pod: LivePod;
  readonly containers: readonly string[];
}

export type Claimed =
  | { readonly kind: 'claimed'; readonly block: string; readonly addresses: Readonly<Record<string, PieceAddresses>> }
  | { readonly kind: 'obstacle'; readonly obstacle: Obstacle };

export type AddressesByContainer = Readonly<Record<string, PieceAddresses>>;

/** The allocator of addresses/, on this cluster. */
export class AddressBook {
  private readonly client: KubeClient;
  private readonly world: World;
  private readonly store: BlockStore;
  /** By network and workload: its Pods take from the same blocks, and would only lose compare-and-swaps to each other. */
  private readonly claims = new Batches<ClaimInput, Claimed>((inputs) => this.claimNow(inputs));

  /** By workload. */
  private readonly releases = new Batches<ReleaseInput, ReleaseResult>((inputs) => this.releaseNow(inputs));

  constructor(client: KubeClient, world: World) {
    this.client = client;
    this.world = world;
    this.store = new ClusterBlockStore(client, world);
  }

  /**
   * The claims of a workload's Pods that come while one is being written go together in the next write. That no address is
   * given twice does not depend on it.
   */
  async claim(input: ClaimInput): Promise<Claimed> {
    return this.claims.run(`${input.network.metadata.name} ${workloadKey(input.workload)}`, input);
  }

  private async claimNow(inputs: readonly [ClaimInput, ...ClaimInput[]]): Promise<readonly Claimed[]> {
    // The newest of them: a SplitNetwork may have changed since the first came.
    const { network, workload } = inputs.at(-1) ?? inputs[0];
    const { name } = network.metadata;
    const parsed = poolOf(network.spec);
    if (parsed.kind !== 'pool')
      return inputs.map(() => obstacle('NetworkNotReady', `SplitNetwork ${name} is not valid.`, 10_000));
    const { pool } = parsed;
    const pods = inputs.map(({ pod, containers }) => {
      const carried = this.carriedBlock(pod, pool);
      return { pod: { name: pod.name, uid: pod.uid }, containers, ...(carried === undefined ? {} : { carried }) };
    });
    const results = await claim(this.store, { network: { name, pool }, workload, pods });
    return inputs.map(({ pod, containers }, index) => {
      const result = results[index] ?? { kind: 'retry', reason: 'no answer' };
      return result.kind === 'claimed'
        ? { kind: 'claimed', block: result.held.block, addresses: Object.fromEntries(addressesOf(pool, result.held)) }
        : refusal(result, name, pod, containers.length);
    });
  }

  /** As the caches have it: for what is shown and told, never for what is given out. */
  addressesOf(pod: LivePod): AddressesByContainer {
    const found = this.heldIn(this.world.blocks.store.byIndex('split', `${pod.namespace}/${pod.split}`), pod);
    return found === undefined ? {} : Object.fromEntries(addressesOf(found.pool, found.held));
  }

  /**
   * Read live: the addresses on which pieces of this Pod may start, undefined where its claim is gone or going, or no block
   * is known to have it.
   *
   * @param block in which it has just been claimed, which the caches may not know yet
   */
  async held(pod: LivePod, block?: string): Promise<AddressesByContainer | undefined> {
    const cached = this.world.blocks.store.byIndex('split', `${pod.namespace}/${pod.split}`);
    const names = new Set([...cached.map(({ metadata }) => metadata.name), ...(block === undefined ? [] : [block])]);
    const blocks = (await Promise.all([...names].map((name) => this.store.get(name)))).filter(
      (one) => one !== undefined,
    );
    const found = this.heldIn(blocks, pod);
    return found === undefined || found.held.claim.releasing === true
      ? undefined
      : Object.fromEntries(addressesOf(found.pool, found.held));
  }

  /** True once nothing is held for the split Pod any more, as far as is known. */
  async release(key: SplitKey): Promise<boolean> {
    const held = this.world.blocks.store.byIndex('split', key);
    const [block] = held;
    if (block === undefined) return true;
    const claims = block.spec.claims.filter(({ pod }) => claimKey(block, pod) === key);
    const { namespace, nad } = block.spec.workload;
    const input = { namespace, uid: claims[0]?.pod.uid ?? '', blocks: held.map(({ metadata }) => metadata.name) };
    // `alive`: the cache is behind, or ahead; either way this Pod has to be looked at again.
    return (await this.releases.run(`${namespace}/${nad}`, input)).kind === 'released';
  }

  private releaseNow(inputs: readonly [ReleaseInput, ...ReleaseInput[]]): Promise<readonly ReleaseResult[]> {
    const [{ namespace }] = inputs;
    const blocks = [...new Set(inputs.flatMap((input) => input.blocks))];
    const pods = inputs.map(({ uid }) => uid);
    return release(this.store, new LivePieces(this.client, namespace), { blocks, pods });
  }

  private heldIn(
    blocks: readonly AddressBlock[],
    pod: LivePod,
  ): { readonly held: Held; readonly pool: Pool } | undefined {
    const own = blocks.filter((block) => claimOf(block.spec, pod.uid) !== undefined);
    const network = own[0] === undefined ? undefined : this.world.networks.store.get(own[0].spec.network);
    const parsed = network === undefined ? undefined : poolOf(network.spec);
    if (parsed?.kind !== 'pool') return undefined;
    const held = findHeld(own, pod.uid, this.carriedBlock(pod, parsed.pool));
    return held === undefined ? undefined : { held, pool: parsed.pool };
  }

  /** The block whose addresses a piece of the Pod carries already, if the Pod has claims in more than one. */
  private carriedBlock(pod: LivePod, pool: Pool): number | undefined {
    const key = `${pod.namespace}/${pod.split}`;
    const blocks = this.world.blocks.store.byIndex('split', key);
    if (blocks.length < 2) return undefined;
    const { primary, siblings } = this.world.piecesOf(key);
    for (const piece of [primary, ...siblings]) {
      const carried = piece === undefined ? undefined : carriedEndpoint(piece.raw);
      const address = carried?.ipv4 ?? carried?.ipv6;
      if (address !== undefined) return blockIndexAt(pool, address);
    }
    return undefined;
  }
}

function obstacle(reason: string, message: string, retryMs: number): Claimed {
  return { kind: 'obstacle', obstacle: { reason, message, retryMs } };
}

function refusal(
  result: Exclude<ClaimResult, { kind: 'claimed' }>,
  network: string,
  pod: LivePod,
  containers: number,
): Claimed {
  switch (result.kind) {
    case 'releasing':
      return obstacle('ClaimReleasing', 'The addresses of this Pod are being released.', 1000);
    case 'other-containers':
      return obstacle(
        'ClaimDiffers',
        `Block ${result.held.block} holds addresses for other containers of ${pod.name}.`,
        10_000,
      );
    case 'too-many-containers':
      return obstacle(
        'TooManyContainers',
        `The Pod has ${containers} containers; a block of SplitNetwork ${network} has ${result.limit} addresses.`,
        60_000,
      );
    case 'exhausted':
      return obstacle(
        'AddressesExhausted',
        `All ${result.total} blocks of SplitNetwork ${network} are held. The Pod goes on when one is freed; or name another in podsplit.io/network.`,
        5000,
      );
    case 'retry':
      return obstacle('ClaimReleasing', `The claim of addresses is tried again: ${result.reason}.`, 500);
  }
}

class ClusterBlockStore implements BlockStore {
  private readonly client: KubeClient;
  private readonly world: World;
  /** The next claim of a workload follows this one within milliseconds. */
  private readonly own = new OwnWrites<AddressBlock>();

  constructor(client: KubeClient, world: World) {
    this.client = client;
    this.world = world;
  }

  async list(network: string, freshness: 'cached' | 'live'): Promise<readonly AddressBlock[]> {
    const { store } = this.world.blocks;
    if (freshness === 'cached') {
      const cached = network === '' ? store.list() : store.byIndex('network', network);
      const known = this.own.over(cached, (key) => store.get(key));
      return network === '' ? known : known.filter((block) => block.spec.network === network);
    }
    const { items } = await this.client.list(resources.addressBlocks);
    return items.filter((block) => block.spec.network === network);
  }

  async get(name: string): Promise<AddressBlock | undefined> {
    try {
      return await this.client.get(resources.addressBlocks, { name });
    } catch (error) {
      if (isApiError(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  async create(block: AddressBlock) {
    try {
      return { kind: 'ok' as const, block: this.wrote(await this.client.create(resources.addressBlocks, block)) };
    } catch (error) {
      if (isApiError(error, 'AlreadyExists')) return { kind: 'already-exists' as const };
      return unknown(error);
    }
  }

  async replace(block: AddressBlock) {
    try {
      return { kind: 'ok' as const, block: this.wrote(await this.client.replace(resources.addressBlocks, block)) };
    } catch (error) {
      this.own.forget(block);
      if (isApiError(error, 'Conflict')) return { kind: 'conflict' as const };
      if (isApiError(error, 'NotFound')) return { kind: 'not-found' as const };
      return unknown(error);
    }
  }

  async delete(block: AddressBlock) {
    const { uid, resourceVersion, name } = block.metadata;
    try {
      const preconditions = {
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      };
      this.own.forget(block);
      await this.client.delete(resources.addressBlocks, { name }, { preconditions });
      return { kind: 'ok' as const };
    } catch (error) {
      if (isApiError(error, 'Conflict')) return { kind: 'conflict' as const };
      if (isApiError(error, 'NotFound')) return { kind: 'not-found' as const };
      return unknown(error);
    }
  }

  private wrote(block: AddressBlock): AddressBlock {
    this.own.wrote(block, this.world.blocks.store.get(block.metadata.name));
    return block;
  }
}

/** A refusal is an error of ours and goes up; a lost answer is part of the protocol. */
function unknown(error: unknown) {
  if (error instanceof ApiError && error.maybeHappened) return { kind: 'unknown' as const, reason: error.message };
  throw error;
}

class LivePieces implements PieceLookup {
  private readonly client: KubeClient;
  private readonly namespace: string;

  constructor(client: KubeClient, namespace: string) {
    this.client = client;
    this.namespace = namespace;
  }

  async primaryExists(pod: PodRef): Promise<boolean> {
    try {
      const found = await this.client.get(resources.pods, { namespace: this.namespace, name: pod.name });
      return found.metadata.uid === pod.uid;
    } catch (error) {
      if (isApiError(error, 'NotFound')) return false;
      throw error;
    }
  }

  /** By their names, which are made of the Pod and the container: what there is else in the namespace costs nothing. */
  async siblings(pod: PodRef, containers: readonly string[]): Promise<readonly string[]> {
    const there = containers.map(async (container) => {
      const name = siblingName(pod.name, pod.uid, container);
      try {
        const found = await this.client.get(resources.pods, { namespace: this.namespace, name });
        // Either: an administrator may have taken the label off a piece that runs.
        const { labels, ownerReferences = [] } = found.metadata;
        const ours =
          labels?.[ownLabels.split] === splitId(pod.uid) || ownerReferences.some(({ uid }) => uid === pod.uid);
        return ours ? [name] : [];
      } catch (error) {
        if (isApiError(error, 'NotFound')) return [];
        throw error;
      }
    });
    return (await Promise.all(there)).flat();
  }
}

interface ReleaseInput {
  readonly namespace: string;
  readonly uid: string;
  readonly blocks: readonly string[];
}
