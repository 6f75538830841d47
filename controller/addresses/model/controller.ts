import type { WorkloadRef } from '../../api/identity.ts';
import {
  addressesOf,
  claim,
  findHeld,
  isHeld,
  release,
  type ClaimResult,
  type Held,
  type PieceLookup,
  type ReleaseRequest,
  type ReleaseResult,
} from '../allocator.ts';
import { blockIndexAt, type Pool } from '../pool.ts';
import type { BlockStore } from '../store.ts';
import type { ModelCluster, ModelPod, ModelState } from './cluster.ts';
import { LostAnswer, type ModelNetwork } from './network.ts';

export const network = 'net';
export const containers = ['main', 'side'] as const;

/** What the reconcilers do around the allocator, as bare as it goes, over views of any age. */
export interface Protocol {
  release(store: BlockStore, pieces: PieceLookup, request: ReleaseRequest): Promise<readonly ReleaseResult[]>;
  /** Asked between the create of a sibling and the lifting of its gate. */
  mayLift(store: BlockStore, held: Held): Promise<boolean>;
  /** How old may what `release` sees of the siblings be? */
  readonly lookup: 'live' | 'cached';
}

export const soundProtocol: Protocol = { release, mayLift: isHeld, lookup: 'live' };

export interface ModelController {
  readonly name: string;
  /** The cache: a view of any age. */
  readonly view: () => ModelState;
  /** Of another age: nothing says that what is known of a primary is as old as what is known of its siblings. */
  readonly siblingsView: () => ModelState;
  /** Does this claim take others of its workload with it? */
  readonly batched: () => boolean;
  readonly cluster: ModelCluster;
  readonly network: ModelNetwork;
  readonly pool: Pool;
  readonly protocol: Protocol;
  readonly seen: (outcome: ClaimResult['kind'] | ReleaseResult['kind'] | 'lifted' | 'late-lift') => void;
}

export function workloadRef(index: number): WorkloadRef {
  return { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'ns', name: `w${index}`, uid: `w${index}` };
}

/** One reconcile of one split Pod, on the views that the controller has of it. */
export async function reconcile(controller: ModelController, split: string): Promise<void> {
  const primary = [...controller.view().pods.values()].find((pod) => pod.uid === split);
  const siblings = siblingsIn(controller.siblingsView(), split);
  try {
    if (primary === undefined) await end(controller, split);
    else if (primary.deleting) await endSiblings(controller, split);
    else if (primary.gated) await wire(controller, primary, siblings);
    else await liftSiblings(controller, siblings);
  } catch (error) {
    if (!(error instanceof LostAnswer)) throw error;
  }
}

async function wire(controller: ModelController, primary: ModelPod, siblings: readonly ModelPod[]): Promise<void> {
  const { cluster, network: net, pool, name, protocol } = controller;
  const store = storeOf(controller);
  const carried = siblings.find((pod) => pod.address !== undefined)?.address;
  const claims = [
    { pod: primary, containers, carried: carried === undefined ? undefined : blockIndexAt(pool, carried) },
    ...companions(controller, primary).map((pod) => ({ pod, containers })),
  ];
  const request = { network: { name: network, pool }, workload: workloadRef(primary.workload), pods: claims };
  const results = await claim(store, request);
  for (const { kind } of results) controller.seen(kind);
  const [result] = results;
  if (result?.kind !== 'claimed') return;
  const addresses = addressesOf(pool, result.held);
  const sibling = `${primary.name}-side-${primary.uid}`;
  const address = addresses.get('side')?.ipv4;
  const created = await net.call(name, true, () =>
    cluster.createPod({
      name: sibling,
      role: 'sibling',
      split: primary.uid,
      workload: primary.workload,
      address,
      gated: true,
    }),
  );
  if (created === 'already-exists') {
    const there = await net.call(name, false, () => cluster.pods.get(sibling));
    if (there?.address !== address) {
      if (there?.gated === true)
        await net.call(name, true, () => {
          cluster.deletePod(sibling, there.uid);
        });
      return;
    }
  }
  if (!(await protocol.mayLift(store, result.held))) return;
  await net.call(name, true, () => cluster.lift(primary.name, primary.uid, addresses.get('main')?.ipv4));
}

/** Whose claims go with this one: by an old view they may be gone, or have theirs elsewhere. */
function companions({ view, batched }: ModelController, primary: ModelPod): readonly ModelPod[] {
  if (!batched()) return [];
  return [...view().pods.values()].filter(
    (pod) => pod.role === 'primary' && pod.gated && pod.workload === primary.workload && pod.uid !== primary.uid,
  );
}

async function liftSiblings(controller: ModelController, siblings: readonly ModelPod[]): Promise<void> {
  const { cluster, network: net, pool, name, protocol } = controller;
  const store = storeOf(controller);
  for (const sibling of siblings.filter((pod) => pod.gated)) {
    const { address } = sibling;
    if (address === undefined) continue;
    const held = findHeld(await store.list(network, 'cached'), sibling.split, blockIndexAt(pool, address));
    if (held === undefined || addressesOf(pool, held).get('side')?.ipv4 !== address) continue;
    if (!(await protocol.mayLift(store, held))) continue;
    await net.call(name, true, () => {
      const primaryLeft = [...cluster.pods.values()].some((pod) => pod.uid === sibling.split);
      if (cluster.lift(sibling.name, sibling.uid)) controller.seen(primaryLeft ? 'lifted' : 'late-lift');
    });
  }
}

async function endSiblings(controller: ModelController, split: string): Promise<void> {
  const { cluster, network: net, name } = controller;
  const siblings = await net.call(name, false, () => siblingsIn(cluster, split));
  for (const { name: sibling, uid } of siblings) {
    await net.call(name, true, () => {
      cluster.deletePod(sibling, uid);
    });
  }
}

async function end(controller: ModelController, split: string): Promise<void> {
  const { cluster, network: net, name, protocol } = controller;
  await endSiblings(controller, split);
  const lookup: PieceLookup = {
    primaryExists: (pod) => net.call(name, false, () => cluster.pods.get(pod.name)?.uid === pod.uid),
    siblings: async (pod) => {
      const seen = protocol.lookup === 'live' ? cluster : controller.siblingsView();
      return net.call(name, false, () => siblingsIn(seen, pod.uid).map((sibling) => sibling.name));
    },
  };
  const { blocks, pods } = controller.view();
  const claims = [...blocks.values()].flatMap(({ spec }) => spec.claims);
  const gone = claims.map(({ pod }) => pod.uid).filter((uid) => ![...pods.values()].some((pod) => pod.uid === uid));
  const uids = [...new Set([split, ...(controller.batched() ? gone : [])])];
  const known = [...blocks.values()].filter(({ spec }) => spec.claims.some(({ pod }) => uids.includes(pod.uid)));
  const request = { blocks: known.map(({ metadata }) => metadata.name), pods: uids };
  for (const { kind } of await protocol.release(storeOf(controller), lookup, request)) controller.seen(kind);
}

function siblingsIn(state: ModelState, split: string): readonly ModelPod[] {
  return [...state.pods.values()].filter((pod) => pod.role === 'sibling' && pod.split === split);
}

/** A lost answer to a read is an exception, to a write `unknown`. */
export function storeOf({ cluster, network: net, name, view }: ModelController): BlockStore {
  const write = async <T extends { readonly kind: string }>(perform: () => T) => {
    try {
      return await net.call(name, true, perform);
    } catch (error) {
      if (error instanceof LostAnswer) return { kind: 'unknown' as const, reason: 'lost' };
      throw error;
    }
  };
  return {
    list: (_network, freshness) =>
      freshness === 'cached'
        ? Promise.resolve([...view().blocks.values()])
        : net.call(name, false, () => [...cluster.blocks.values()]),
    get: (block) => net.call(name, false, () => cluster.blocks.get(block)),
    create: (block) => write(() => cluster.createBlock(block)),
    replace: (block) => write(() => cluster.replaceBlock(block)),
    delete: (block) => write(() => cluster.deleteBlock(block)),
  };
}
