import { addressesOf, findHeld } from '../addresses/allocator.ts';
import { claimOf } from '../addresses/block.ts';
import { poolOf } from '../addresses/pool.ts';
import { siblingName, splitId } from '../api/identity.ts';
import { isRecord } from '../api/json.ts';
import { networksAnnotation, ownLabels } from '../api/names.ts';
import type { AddressBlock, SplitNetwork } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import { isApiError } from '../kube/errors.ts';
import type { Pod } from '../kube/resources.ts';
import { resources } from '../kube/resources.ts';
import { installOf, readPod, wiringText, type LivePod } from '../reconcile/piece-pod.ts';
import { parseWiring, WiringError } from '../rules/wiring-json.ts';
import type { Endpoint, Wiring } from '../rules/wiring.ts';
import { AgentError } from './agent-error.ts';
import type { PodIdentity } from './cni-request.ts';
import type { PeerAttachment } from './cni-result.ts';

export interface VerifyInput {
  readonly pod: PodIdentity;
  /** The network's name in the configuration that the plugin was called with. */
  readonly network: string;
  readonly node: string;
}

export interface VerifiedPiece {
  readonly pod: LivePod;
  readonly wiring: Wiring;
}

export interface VerifiedOrigin extends VerifiedPiece {
  /** The piece itself, or the Pod that owns it. */
  readonly primary: LivePod;
}

/**
 * Was this Pod really made or wired by the controller, with these addresses? Everything is read live, and nothing that a
 * user of the namespace could have written is believed alone: labels and annotations are guarded by admission policies, but
 * the addresses must also stand in an AddressBlock, which no user can write, under the UID of the primary.
 *
 * @throws AgentError
 */
export async function verifyPiece(input: VerifyInput, client: KubeClient): Promise<VerifiedPiece> {
  return verifyOrigin(input.pod, input.node, client, (pod) => {
    checkNetwork(pod, input.network);
  });
}

/**
 * The same for whoever calls without a network.
 *
 * @param check asked before anything but the Pod is read
 * @throws AgentError
 */
export async function verifyOrigin(
  identity: PodIdentity,
  node: string,
  client: KubeClient,
  check: (pod: LivePod) => void = () => undefined,
): Promise<VerifiedOrigin> {
  const raw = await getPod(client, identity);
  const pod = raw === undefined ? undefined : readPod(raw);
  if (raw === undefined)
    throw new AgentError('PodNotFound', `there is no Pod ${nameOf(identity)} with UID ${identity.uid}`);
  if (pod === undefined || (pod.role !== 'primary' && pod.role !== 'sibling')) {
    throw new AgentError('NotAPiece', `Pod ${nameOf(identity)} is no piece of a split Pod`);
  }
  const wiring = readWiring(pod);
  checkNode(pod, node);
  check(pod);
  const primary = pod.role === 'primary' ? pod : await primaryOf(pod, node, client);
  await checkClaim(pod, wiring, primary.uid, client);
  return { pod, wiring, primary };
}

async function getPod(client: KubeClient, { namespace, name, uid }: PodIdentity): Promise<Pod | undefined> {
  const found = await ask(() => client.get(resources.pods, { namespace, name }));
  return found?.metadata.uid === uid ? found : undefined;
}

function readWiring(pod: LivePod): Wiring {
  const text = wiringText(pod);
  if (text === undefined) throw new AgentError('NotAPiece', `Pod ${pod.name} has no annotation podsplit.io/wiring`);
  if (installOf(pod) !== 'node') {
    throw new AgentError('WrongInstall', `Pod ${pod.name} loads its rules by an init container (podsplit.io/install)`);
  }
  try {
    const wiring = parseWiring(text);
    const { split, container, role } = pod;
    if (wiring.piece === container && wiring.role === role && wiring.split === split) return wiring;
    throw new AgentError(
      'NotAPiece',
      `the wiring of Pod ${pod.name} is another piece's: ${wiring.piece} of ${wiring.split}`,
    );
  } catch (error) {
    if (error instanceof WiringError) throw new AgentError('NotAPiece', `Pod ${pod.name}: ${error.message}`);
    throw error;
  }
}

function checkNode(pod: LivePod, node: string): void {
  if (pod.raw.spec?.nodeName === node) return;
  throw new AgentError(
    'WrongNode',
    `Pod ${pod.name} is bound to node ${pod.raw.spec?.nodeName ?? 'none'}, not to ${node}`,
  );
}

function checkNetwork(pod: LivePod, network: string): void {
  const named = networksOf(pod.raw.metadata?.annotations?.[networksAnnotation]);
  if (named.length !== 1 || named[0] !== network) {
    throw new AgentError(
      'WrongNetwork',
      `the network is ${network}, but the annotation ${networksAnnotation} of Pod ${pod.name} names ${named.join(', ')}`,
    );
  }
}

export function networksOf(annotation: string | undefined): readonly string[] {
  try {
    const parsed: unknown = JSON.parse(annotation ?? '[]');
    return Array.isArray(parsed) ? parsed.map((each: unknown) => (isRecord(each) ? String(each['name']) : '')) : [];
  } catch {
    return [];
  }
}

/** A sibling's primary: it owns it, it named it, and it is on this node. */
async function primaryOf(sibling: LivePod, node: string, client: KubeClient): Promise<LivePod> {
  const owner = sibling.raw.metadata?.ownerReferences?.find((each) => each.controller === true);
  if (
    owner?.kind !== 'Pod' ||
    splitId(owner.uid) !== sibling.split ||
    siblingName(owner.name, owner.uid, sibling.container) !== sibling.name
  ) {
    throw new AgentError('NotAPiece', `Pod ${sibling.name} is not a sibling of the Pod that owns it`);
  }
  const { namespace } = sibling;
  const raw = await getPod(client, { namespace, name: owner.name, uid: owner.uid });
  if (raw === undefined)
    throw new AgentError('PodNotFound', `the primary ${owner.name} of Pod ${sibling.name} is gone`);
  const primary = readPod(raw);
  if (primary?.role !== 'primary')
    throw new AgentError('NotAPiece', `Pod ${owner.name}, which owns Pod ${sibling.name}, was not split`);
  if (raw.spec?.nodeName === node) return primary;
  throw new AgentError('WrongNode', `the primary ${owner.name} of Pod ${sibling.name} is not on node ${node}`);
}

/** The claim is what the wiring says, for this piece and for each of its peers. */
async function checkClaim(pod: LivePod, wiring: Wiring, primaryUid: string, client: KubeClient): Promise<void> {
  const labelSelector = `${ownLabels.workload}=${pod.workload ?? ''}`;
  const { items } = (await ask(() => client.list(resources.addressBlocks, { labelSelector }))) ?? { items: [] };
  const own = items.filter(
    ({ spec }) => spec.workload.namespace === pod.namespace && claimOf(spec, primaryUid) !== undefined,
  );
  for (const block of own) {
    const network = await ask(() => client.get(resources.splitNetworks, { name: block.spec.network }));
    if (network !== undefined && isClaimed(block, network, primaryUid, wiring)) return;
  }
  throw new AgentError('ClaimMissing', `no AddressBlock holds the addresses in the wiring of Pod ${pod.name}`);
}

function isClaimed(block: AddressBlock, network: SplitNetwork, primaryUid: string, wiring: Wiring): boolean {
  const parsed = poolOf(network.spec);
  const held = findHeld([block], primaryUid);
  if (parsed.kind !== 'pool' || held === undefined || held.claim.releasing === true) return false;
  const claimed = addressesOf(parsed.pool, held);
  const wired: readonly (readonly [string, Endpoint])[] = [
    [wiring.piece, wiring.self],
    ...wiring.peers.map((peer) => [peer.name, peer] as const),
  ];
  return (
    claimed.size === wired.length &&
    wired.every(([name, endpoint]) => {
      const address = claimed.get(name);
      return address?.mac === endpoint.mac && address.ipv4 === endpoint.ipv4 && address.ipv6 === endpoint.ipv6;
    })
  );
}

/** @throws AgentError AddressMismatch */
export function checkAttachment({ self }: Pick<Wiring, 'self'>, { mac, addresses }: PeerAttachment): void {
  const promised = [self.ipv4, self.ipv6].filter((address) => address !== undefined);
  if (mac === self.mac && addresses.length === promised.length && promised.every((each) => addresses.includes(each)))
    return;
  throw new AgentError(
    'AddressMismatch',
    `the claim says ${[self.mac, ...promised].join(', ')}, but net1 was made with ${[mac, ...addresses].join(', ')}`,
  );
}

/** Undefined where there is no such object. What the API server does not answer now it may answer later. */
export async function ask<T>(request: () => Promise<T>): Promise<T | undefined> {
  try {
    return await request();
  } catch (error) {
    if (isApiError(error, 'NotFound')) return undefined;
    if (!isApiError(error)) throw error;
    throw new AgentError('ApiUnavailable', `the API server: ${error.message}`, { cause: error });
  }
}

function nameOf({ namespace, name }: PodIdentity): string {
  return `${namespace}/${name}`;
}
