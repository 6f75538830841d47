import type { WorkloadRef } from '../api/identity.ts';
import { nadName, siblingName, workloadKey } from '../api/identity.ts';
import { networksAnnotation as networksKey, ownAnnotations, ownLabels, schedulingGate } from '../api/names.ts';
import { formatRefusal } from '../api/refusal.ts';
import type { SplitNetwork } from '../api/resources.ts';
import { sameJson } from '../api/same-json.ts';
import type { ApiError } from '../kube/errors.ts';
import { isApiError } from '../kube/errors.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Pod } from '../kube/resources.ts';
import { resources } from '../kube/resources.ts';
import { formatWiring } from '../rules/wiring-json.ts';
import type { Plan, SplitOptions } from '../split/plan.ts';
import { siblingPod } from '../split/sibling.ts';
import { split } from '../split/split.ts';
import { sidecarsOf } from '../split/wait-containers.ts';
import { buildWirings, networksAnnotation, withPrefixOf, type PieceAddresses } from '../split/wire.ts';
import type { AddressBook } from './address-book.ts';
import { dnsUnknown, type ClusterDns } from './cluster-dns.ts';
import { createOrFind } from './create-or-find.ts';
import { carriedEndpoint, carriedInstall, type LivePod } from './piece-pod.ts';
import { splitSubject } from '../policies/subject.ts';
import { policed, policedVia, policedWiring, type Policed } from './policy-book.ts';
import { podSplitOf } from './podsplit-status.ts';
import type { MoveBook } from './moves.ts';
import type { PolicyMirrors } from './policy-mirrors.ts';
import { workloadOf } from './workload-of.ts';
import type { WorkloadObjects } from './workload-objects.ts';
import type { World } from './world.ts';

/** Why a Pod stays gated. `retryMs` is left out where only another Pod can help. */
export interface Obstacle {
  readonly reason: string;
  readonly message: string;
  readonly retryMs?: number;
}

export type Wired = { readonly kind: 'wired' } | ({ readonly kind: 'obstacle' } & Obstacle);

export interface WiringDependencies {
  readonly client: KubeClient;
  readonly world: World;
  readonly addresses: AddressBook;
  readonly objects: WorkloadObjects;
  readonly mirrors: PolicyMirrors;
  readonly moves: MoveBook;
  readonly clusterDns: ClusterDns;
  readonly options: SplitOptions;
}

function obstacle(reason: string, message: string, retryMs?: number): Wired {
  return { kind: 'obstacle', reason, message, ...(retryMs === undefined ? {} : { retryMs }) };
}

/**
 * Step 2 of a split Pod's life (docs/life-of-a-split-pod.md): everything that its pieces need is there before the first of them may run.
 * Safe to be cut off anywhere and to be run again: each part finds what an earlier run has done.
 */
export async function wire(primary: LivePod, deps: WiringDependencies): Promise<Wired> {
  const { client, world, addresses, objects, mirrors } = deps;
  const decided = await decide(primary, deps);
  if (decided.kind === 'obstacle') return decided;
  const { plan } = decided;
  const policies = policed(splitSubject(primary.raw, plan), world);
  const unpoliced = policyObstacle(plan, policies);
  if (unpoliced !== undefined) return unpoliced;

  const resolvers = await deps.clusterDns.resolversOf(policedVia(plan, policies));
  if (resolvers === undefined) return { kind: 'obstacle', ...dnsUnknown };

  const network = world.networks.store.get(plan.network);
  const unusable = networkObstacle(plan.network, network);
  if (unusable !== undefined || network === undefined) return unusable ?? obstacle('NetworkNotFound', '');

  const workload = await workloadOf(client, primary);
  const held = deps.moves.held(workload, plan, primary);
  if (held !== undefined) return { kind: 'obstacle', ...held };
  const nad = nadName(workload, plan.install);
  const missing = await objects.ensure(workload, network, plan, primary);
  if (missing !== undefined) return { kind: 'obstacle', ...missing };
  await mirrors.ensure(primary);

  const claim = await addresses.claim({ network, workload, pod: primary, containers: pieceNames(plan) });
  if (claim.kind !== 'claimed') return { kind: 'obstacle', ...claim.obstacle };

  await createOrFind(client, resources.podSplits, podSplitOf(primary, plan, workload, nad));
  const context: PieceContext = {
    primary,
    plan,
    workload,
    nad,
    network,
    addresses: claim.addresses,
    policies,
    resolvers,
  };
  const refused = await createSiblings(context, deps);
  if (refused !== undefined) return { kind: 'obstacle', ...refused };

  // After the siblings were made: docs/decisions/0004-address-claims.md has why this order closes every race.
  if (!sameJson(await addresses.held(primary, claim.block), claim.addresses)) {
    return obstacle('ClaimReleasing', 'The addresses of this Pod are being released.', 1000);
  }
  await liftPrimary(context, deps.moves.nodesToAvoid(workload, plan, primary), client);
  return { kind: 'wired' };
}

function pieceNames(plan: Plan): readonly string[] {
  return [plan.primary, ...plan.siblings].map((piece) => piece.name);
}

/** What admission decided is decided again: the Pod may have been made while the webhook was not there, or forged. */
async function decide(
  primary: LivePod,
  { client, options }: WiringDependencies,
): Promise<{ readonly kind: 'plan'; readonly plan: Plan } | Extract<Wired, { kind: 'obstacle' }>> {
  const decision = split(primary.raw, options);
  if (decision.kind === 'left-alone') {
    return { kind: 'obstacle', reason: decision.code, message: decision.message };
  }
  if (decision.kind === 'refused') {
    const [first] = decision.refusals;
    return {
      kind: 'obstacle',
      reason: first?.code ?? 'Refused',
      message: decision.refusals.map(formatRefusal).join('\n'),
    };
  }
  // Nobody would load the rules of a primary that says one thing and is made for the other.
  if (carriedInstall(primary) !== decision.install) {
    return {
      kind: 'obstacle',
      reason: 'NotAsAdmitted',
      message: `The Pod is not as admission leaves one of install mode ${decision.install}: delete it, and create it again.`,
    };
  }
  const claims = await readWriteOncePodClaims(primary, decision, client);
  if (claims.size === 0) return { kind: 'plan', plan: decision };
  const again = split(primary.raw, { ...options, readWriteOncePodClaims: claims });
  if (again.kind !== 'refused') return { kind: 'plan', plan: decision };
  const message = again.refusals.map(formatRefusal).join('\n');
  return { kind: 'obstacle', reason: again.refusals[0]?.code ?? 'Refused', message };
}

/** Admission makes no API calls, so a claim's access mode is seen only here. Asked for claims that several pieces mount. */
async function readWriteOncePodClaims(primary: LivePod, plan: Plan, client: KubeClient): Promise<ReadonlySet<string>> {
  const mounted = [plan.primary, ...plan.siblings].flatMap((piece) =>
    piece.volumes.map((volume) => volume.persistentVolumeClaim?.claimName).filter((name) => name !== undefined),
  );
  const shared = new Set(mounted.filter((name, index) => mounted.indexOf(name) !== index));
  const found = new Set<string>();
  for (const name of shared) {
    try {
      const claim = await client.get(resources.persistentVolumeClaims, { namespace: primary.namespace, name });
      if (claim.spec?.accessModes?.includes('ReadWriteOncePod') === true) found.add(name);
    } catch (error) {
      if (!isApiError(error, 'NotFound')) throw error;
    }
  }
  return found;
}

function networkObstacle(name: string, network: SplitNetwork | undefined): Wired | undefined {
  if (network === undefined) {
    return obstacle(
      'NetworkNotFound',
      `There is no SplitNetwork ${name}: create it, or name another in podsplit.io/network.`,
      10_000,
    );
  }
  const ready = network.status?.conditions?.find((condition) => condition.type === 'Ready');
  if (ready?.status === 'True') return undefined;
  const why = ready === undefined ? 'it was not looked at yet' : ready.message;
  return obstacle(
    ready === undefined ? 'NetworkPending' : 'NetworkNotReady',
    `SplitNetwork ${name} gives no addresses: ${why}`,
    ready === undefined ? 1000 : 10_000,
  );
}

/** A piece starts under all policies that select it, or not at all. */
function policyObstacle(plan: Plan, { kind }: Policed): Wired | undefined {
  if (kind === 'pending') return obstacle('PoliciesPending', 'The policies that select this Pod are being read.', 500);
  if (kind === 'none' || plan.install === 'node') return undefined;
  return obstacle(
    'PolicyNeedsAgent',
    'A ContainerNetworkPolicy selects this Pod, but an init container loads its rules, and cannot be told when policies ' +
      'change: set podsplit.io/install to "node", or let the policy select other Pods.',
    10_000,
  );
}

export interface PieceContext {
  readonly primary: LivePod;
  readonly plan: Plan;
  readonly workload: WorkloadRef;
  readonly nad: string;
  readonly network: SplitNetwork;
  readonly addresses: Readonly<Record<string, PieceAddresses>>;
  readonly policies: Policed;
  readonly resolvers: readonly string[];
}

/**
 * The wirings of all pieces before anybody runs. Init containers hold until they are told the Pod IPs; the agent of a node
 * finds those itself, and has nothing to wait for.
 */
function firstWirings(context: PieceContext) {
  const { plan, network, addresses, primary, policies, resolvers } = context;
  const release = plan.install === 'node' ? 'go' : 'hold';
  return buildWirings({
    plan,
    splitId: primary.split,
    pool: poolRanges(network),
    addresses,
    policies: policedWiring(plan, policies),
    resolvers,
    release,
  });
}

export function poolRanges({ spec }: SplitNetwork): { readonly ipv4?: string; readonly ipv6?: string } {
  return {
    ...(spec.ipv4 === undefined ? {} : { ipv4: spec.ipv4 }),
    ...(spec.ipv6 === undefined ? {} : { ipv6: spec.ipv6 }),
  };
}

export function networksOf({ network, nad, addresses }: PieceContext, container: string): string {
  const piece = addresses[container];
  if (piece === undefined) throw new RangeError(`no addresses for piece ${container}`);
  const { ipv4, ipv6 } = network.spec;
  return networksAnnotation({
    nad,
    mac: piece.mac,
    ...(ipv4 === undefined || piece.ipv4 === undefined ? {} : { ipv4Cidr: withPrefixOf(ipv4, piece.ipv4) }),
    ...(ipv6 === undefined || piece.ipv6 === undefined ? {} : { ipv6Cidr: withPrefixOf(ipv6, piece.ipv6) }),
  });
}

/**
 * All siblings while nothing runs, so that quota and Pod security give their verdict; a set that is refused in part is
 * taken back, since two half-made sets could keep each other out of a quota for ever.
 */
async function createSiblings(context: PieceContext, deps: WiringDependencies): Promise<Obstacle | undefined> {
  const { primary, plan, workload } = context;
  const wirings = firstWirings(context);
  const created: string[] = [];
  const there: { readonly name: string; readonly uid: string }[] = [];
  const sidecars = sidecarsOf(plan);
  // In the order in which they end: a native sidecar outlives all that are made before it.
  const others = plan.siblings.filter((piece) => !sidecars.includes(piece));
  for (const piece of [...others, ...sidecars.toReversed()]) {
    const wiring = wirings[piece.name];
    const pod = siblingPod({
      primary: primary.raw,
      plan,
      piece,
      workloadKey: workloadKey(workload),
      wiring: wiring === undefined ? undefined : formatWiring(wiring),
      networks: networksOf(context, piece.name),
      owner: true,
      outlives: sidecars.includes(piece) ? there : [],
      gated: true,
      options: deps.options,
    });
    const name = siblingName(primary.name, primary.uid, piece.name);
    const mac = context.addresses[piece.name]?.mac;
    const outcome = await createSibling({ primary, name, mac }, pod, deps.client);
    if ('uid' in outcome) {
      if (outcome.isNew) created.push(name);
      there.push({ name, uid: outcome.uid });
      continue;
    }
    for (const taken of created) await deleteQuietly(primary.namespace, taken, deps.client);
    return outcome;
  }
  return undefined;
}

interface SiblingRef {
  readonly primary: LivePod;
  readonly name: string;
  /** Of the claim: what a sibling that is there already must carry. */
  readonly mac: string | undefined;
}

interface SiblingMade {
  readonly uid: string;
  readonly isNew: boolean;
}

async function createSibling(sibling: SiblingRef, pod: object, client: KubeClient): Promise<SiblingMade | Obstacle> {
  try {
    const { metadata } = await client.create(resources.pods, pod as Pod);
    return { uid: metadata.uid ?? '', isNew: true };
  } catch (error) {
    if (isApiError(error, 'AlreadyExists', 'Conflict')) return existing(sibling, client);
    if (isApiError(error, 'Forbidden', 'Invalid', 'BadRequest')) return refusedSibling(error);
    throw error;
  }
}

/** A name that is taken is a success only if the Pod is ours, has the addresses of the claim, and stays. */
async function existing({ primary, name, mac }: SiblingRef, client: KubeClient): Promise<SiblingMade | Obstacle> {
  const found = await client.get(resources.pods, { namespace: primary.namespace, name });
  const ours =
    found.metadata.ownerReferences?.some((owner) => owner.uid === primary.uid) === true &&
    found.metadata.labels?.[ownLabels.split] === primary.split;
  if (!ours)
    return { reason: 'NameTaken', message: `A Pod named ${name} is not podsplit's: delete it.`, retryMs: 5000 };
  const stays = found.metadata.deletionTimestamp === undefined;
  if (stays && mac !== undefined && carriedEndpoint(found)?.mac === mac) {
    return { uid: found.metadata.uid ?? '', isNew: false };
  }
  // Of an earlier claim, whose answer was lost: it is gated, and nothing of it runs.
  if (stays) await deleteQuietly(primary.namespace, name, client);
  return { reason: 'PieceEnding', message: `The earlier piece ${name} is still ending.`, retryMs: 1000 };
}

function refusedSibling(error: ApiError): Obstacle {
  return {
    reason: 'PieceRefused',
    message: `The cluster refused a piece, and the Pod stays unstarted: ${error.message}`,
    retryMs: 15_000,
  };
}

async function deleteQuietly(namespace: string, name: string, client: KubeClient): Promise<void> {
  try {
    await client.delete(resources.pods, { namespace, name }, { gracePeriodSeconds: 0 });
  } catch (error) {
    if (!isApiError(error, 'NotFound')) throw error;
  }
}

/** One write: the label that siblings' affinity looks for, networks and wiring, and the gate goes. */
async function liftPrimary(context: PieceContext, avoid: readonly string[], client: KubeClient): Promise<void> {
  const { primary, plan, workload } = context;
  const wiring = firstWirings(context)[plan.primary.name];
  const gates = (primary.raw.spec?.schedulingGates ?? []).filter((gate) => gate.name !== schedulingGate);
  const body = {
    // The UID and version make it a compare-and-swap: another Pod of this name is never touched.
    metadata: {
      uid: primary.uid,
      resourceVersion: primary.raw.metadata?.resourceVersion,
      labels: {
        [ownLabels.split]: primary.split,
        [ownLabels.container]: plan.primary.name,
        [ownLabels.workload]: workloadKey(workload),
      },
      annotations: {
        [networksKey]: networksOf(context, plan.primary.name),
        ...(wiring === undefined ? {} : { [ownAnnotations.wiring]: formatWiring(wiring) }),
      },
    },
    spec: { schedulingGates: gates.length === 0 ? null : gates, ...elsewhere(primary, avoid) },
  };
  await client.patch(resources.pods, primary, { type: 'merge', body });
}

/**
 * Where Pods like it did not fit is preferred least, and not forbidden: the node may have room by now, or be the only one.
 * Preferences may be added as long as a Pod is gated (KEP-3838).
 */
function elsewhere({ raw }: LivePod, avoid: readonly string[]) {
  if (avoid.length === 0) return {};
  const matchFields = avoid.map((node) => ({ key: 'metadata.name', operator: 'NotIn', values: [node] }));
  const preferred = raw.spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  const preferredDuringSchedulingIgnoredDuringExecution = [...preferred, { weight: 100, preference: { matchFields } }];
  return { affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution } } };
}
