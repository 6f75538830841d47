import { blockErrors } from '../controller/addresses/parse-block.ts';
import { addressesAt, poolOf, withPrefix, type Pool } from '../controller/addresses/pool.ts';
import { splitId, workloadKey } from '../controller/api/identity.ts';
import { isRecord, parseJson } from '../controller/api/json.ts';
import {
  networksAnnotation,
  networkStatusAnnotation,
  ownAnnotations,
  ownLabels,
  peerInterface,
  schedulingGate,
} from '../controller/api/names.ts';
import type { AddressBlock, Claim, PodSplit, SplitNetwork } from '../controller/api/resources.ts';
import { sameJson } from '../controller/api/same-json.ts';
import type { KubeObject, NetworkPolicy, Pod, PodDisruptionBudget } from '../controller/kube/resources.ts';
import { isOwnBudget } from '../controller/policies/disruption-budget.ts';
import { selects } from '../controller/policies/label-selector.ts';
import { findsAsPeer, peerMirror } from '../controller/policies/peer-mirror.ts';
import { isOwn } from '../controller/policies/pieces-found.ts';
import { remembersFor } from '../controller/reconcile/moves.ts';

/** All that podsplit and its users have on a cluster, at one moment. */
export interface Snapshot {
  /** In ms. */
  readonly now: number;
  readonly pods: readonly Pod[];
  readonly blocks: readonly AddressBlock[];
  readonly networks: readonly SplitNetwork[];
  readonly podSplits: readonly PodSplit[];
  readonly nads: readonly KubeObject[];
  readonly networkPolicies: readonly NetworkPolicy[];
  readonly multiNetworkPolicies: readonly KubeObject[];
  readonly budgets: readonly PodDisruptionBudget[];
  /** Folders of shared volumes on the nodes: named by the primary's UID, and `.trash/…` for what is being deleted. */
  readonly volumes: readonly { readonly node: string; readonly folder: string }[];
}

export interface Violation {
  readonly check: keyof typeof checks;
  /** Kind, namespace and name. */
  readonly object: string;
  readonly message: string;
}

/** What must hold once nothing is on its way. One sentence for each. */
export const checks = {
  PieceClaimed:
    'A piece has the addresses and the MAC that its Pod claims for its container, in annotation and status.',
  AddressOnce: 'No two live pieces have one address or MAC.',
  ClaimOwned: 'A claim belongs to a Pod that is there, and a Pod has one claim at most.',
  BlockSound: 'A block reads as podsplit writes it.',
  BlockUsed: 'A block belongs to a workload that has split Pods.',
  PiecesComplete: 'A split Pod that runs has one sibling for each container that was cut from it, on its node.',
  SiblingOwned: 'A sibling belongs to a primary that is there and has not ended.',
  NetworkUsed: 'A generated NAD belongs to a workload with split Pods, and each of those has its NAD.',
  PolicyUsed: 'Generated policies belong to a workload with split Pods, and each sibling has its ingress closed.',
  BudgetUsed:
    'Generated budgets belong to a workload with split Pods, and each sibling is under one, those of DaemonSets aside.',
  MirrorUsed:
    'A policy that lets in split Pods by their labels has one mirror for their siblings, as podsplit makes it; no other has.',
  VolumeOwned: 'A shared volume on a node belongs to a split Pod on that node.',
  PodSplitOwned: 'A PodSplit belongs to a primary that is there, and each split Pod has one.',
} as const;

/** One split Pod, for the table. */
export interface Row {
  readonly pod: string;
  readonly container: string;
  readonly role: string;
  readonly node: string;
  readonly state: string;
  readonly addresses: readonly string[];
  readonly mac: string;
  readonly block: string;
}

export function violations(snapshot: Snapshot): readonly Violation[] {
  const view = viewOf(snapshot);
  return [
    ...view.pieces.flatMap((piece) => claimedAddresses(view, piece)),
    ...addressesOnce(view),
    ...claimsOwned(view),
    ...blocksSound(view),
    ...view.pieces.filter((piece) => piece.role === 'primary').flatMap((primary) => piecesComplete(view, primary)),
    ...view.pieces.filter((piece) => piece.role === 'sibling').flatMap((sibling) => siblingOwned(view, sibling)),
    ...networksUsed(view),
    ...policiesUsed(view),
    ...budgetsUsed(view),
    ...mirrorsUsed(view),
    ...volumesOwned(view),
    ...podSplitsOwned(view),
  ];
}

export function rows(snapshot: Snapshot): readonly Row[] {
  const view = viewOf(snapshot);
  return view.pieces
    .map((piece) => ({
      pod: `${piece.namespace}/${piece.name}`,
      container: piece.container,
      role: piece.role,
      node: piece.pod.spec?.nodeName ?? '',
      state: piece.ending ? 'Ending' : piece.gated ? 'Gated' : (piece.pod.status?.phase ?? ''),
      addresses: piece.networks.flatMap((network) => network.ips),
      mac: piece.networks.map((network) => network.mac).join(' '),
      block: (view.claims.get(piece.split) ?? []).map(({ block }) => block.metadata.name).join(' '),
    }))
    .toSorted((one, other) => (one.pod < other.pod ? -1 : 1));
}

interface Piece {
  readonly pod: Pod;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly role: 'primary' | 'sibling';
  readonly split: string;
  readonly container: string;
  readonly workload: string;
  readonly gated: boolean;
  readonly ending: boolean;
  readonly ended: boolean;
  /** From the networks annotation: what Multus will give it. */
  readonly networks: readonly Attachment[];
  /** From the network-status annotation: what Multus gave it. */
  readonly status: readonly Attachment[];
}

interface Attachment {
  readonly interface: string;
  readonly ips: readonly string[];
  readonly mac: string;
}

interface Claimed {
  readonly block: AddressBlock;
  readonly claim: Claim;
}

interface View extends Snapshot {
  readonly pieces: readonly Piece[];
  /** Primaries by the value of the label `podsplit.io/split`. */
  readonly primaries: ReadonlyMap<string, Piece>;
  /** UIDs of isolated Pods: they have a PodSplit and a NAD, and nothing else of what a split Pod has. */
  readonly isolated: ReadonlySet<string>;
  readonly claims: ReadonlyMap<string, readonly Claimed[]>;
  /** `namespace/key` of the workloads that have a split Pod, gated ones too. */
  readonly workloads: ReadonlySet<string>;
  readonly pools: ReadonlyMap<string, Pool>;
}

function viewOf(snapshot: Snapshot): View {
  const pieces = snapshot.pods.map(pieceOf).filter((piece) => piece !== undefined);
  const primaries = pieces.filter((piece) => piece.role === 'primary');
  const claims = snapshot.blocks.flatMap((block) => block.spec.claims.map((claim) => ({ block, claim })));
  return {
    ...snapshot,
    pieces,
    primaries: new Map(primaries.map((primary) => [primary.split, primary])),
    claims: Map.groupBy(claims, ({ claim }) => splitId(claim.pod.uid)),
    isolated: new Set(snapshot.pods.filter(isIsolated).map(({ metadata }) => metadata.uid ?? '')),
    workloads: new Set([
      ...workloadsOf(primaries, snapshot.podSplits),
      ...snapshot.pods.filter(isIsolated).map(workloadKeyOf),
      // Its next Pod is to know what did not fit.
      ...snapshot.nads.filter((nad) => remembersFor(nad, snapshot.now) > 0).map(workloadKeyOf),
    ]),
    pools: new Map(
      snapshot.networks.flatMap(({ metadata, spec }) => {
        const parsed = poolOf(spec);
        return parsed.kind === 'pool' ? [[metadata.name, parsed.pool]] : [];
      }),
    ),
  };
}

/** A primary is labelled with its workload when its gate is lifted; before, only its PodSplit knows. */
function workloadsOf(primaries: readonly Piece[], podSplits: readonly PodSplit[]): ReadonlySet<string> {
  const uids = new Set(primaries.map((primary) => primary.uid));
  const described = podSplits
    .filter((split) => uids.has(split.spec.pod.uid))
    .map(({ metadata: { namespace = '' }, spec }) => `${namespace}/${workloadKey({ ...spec.workload, namespace })}`);
  const labelled = primaries.filter((primary) => primary.workload !== '').map(workloadOfPiece);
  return new Set([...labelled, ...described]);
}

function isIsolated({ metadata }: Pod): boolean {
  return metadata.labels?.[ownLabels.role] === 'isolated';
}

function pieceOf(pod: Pod): Piece | undefined {
  const { name, namespace = '', uid = '', labels = {}, annotations = {} } = pod.metadata;
  const role = labels[ownLabels.role];
  if (role !== 'primary' && role !== 'sibling') return undefined;
  return {
    pod,
    namespace,
    name,
    uid,
    role,
    split: role === 'primary' ? splitId(uid) : (labels[ownLabels.split] ?? ''),
    container: labels[ownLabels.container] ?? pod.spec?.containers[0]?.name ?? '',
    workload: labels[ownLabels.workload] ?? '',
    gated: pod.spec?.schedulingGates?.some((gate) => gate.name === schedulingGate) ?? false,
    ending: pod.metadata.deletionTimestamp !== undefined,
    ended: pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed',
    networks: attachments(annotations[networksAnnotation]),
    status: attachments(annotations[networkStatusAnnotation]).filter((one) => one.interface === peerInterface),
  };
}

/** Both annotations are lists of objects with `interface`, `ips` and `mac`; anything else reads as nothing. */
function attachments(text: string | undefined): readonly Attachment[] {
  const list = parseJson(text);
  if (!Array.isArray(list)) return [];
  return list.filter(isRecord).map((item) => ({
    interface: typeof item['interface'] === 'string' ? item['interface'] : '',
    ips: Array.isArray(item['ips']) ? item['ips'].filter((ip) => typeof ip === 'string') : [],
    mac: typeof item['mac'] === 'string' ? item['mac'] : '',
  }));
}

/** A gated primary has no addresses yet; whatever else is a piece has them from birth. */
function claimedAddresses(view: View, piece: Piece): readonly Violation[] {
  const report = (message: string) => [podViolation('PieceClaimed', piece, message)];
  if (piece.role === 'primary' && piece.gated) return [];
  const found = view.claims.get(piece.split)?.find(({ claim }) => Object.hasOwn(claim.offsets, piece.container));
  const offset = found?.claim.offsets[piece.container];
  if (found === undefined || offset === undefined) return report(`no claim holds addresses for ${piece.container}.`);
  const pool = view.pools.get(found.block.spec.network);
  if (pool === undefined)
    return report(`its addresses are of SplitNetwork ${found.block.spec.network}, which is gone.`);
  const wanted = addressesAt(pool, found.block.spec.index, offset);
  const cidrs = withPrefix(pool, wanted);
  const differences = [
    ...compare('the networks annotation', piece.networks, cidrs, wanted.mac),
    ...(piece.status.length === 0 ? [] : compare('network-status', piece.status, cidrs.map(withoutPrefix), wanted.mac)),
  ];
  return differences.flatMap(report);
}

function compare(where: string, actual: readonly Attachment[], ips: readonly string[], mac: string): readonly string[] {
  const [only] = actual;
  if (only === undefined || actual.length > 1) return [`${where} names ${actual.length} peer networks.`];
  const wrong = [];
  if (!sameItems(only.ips, ips)) wrong.push(`${where} has ${only.ips.join(', ')}, the claim ${ips.join(', ')}.`);
  if (only.mac.toLowerCase() !== mac) wrong.push(`${where} has MAC ${only.mac}, the claim ${mac}.`);
  return wrong;
}

/** By what the pieces carry, not by the claims: this must find a claim that was given twice as well. */
function addressesOnce(view: View): readonly Violation[] {
  const carried = view.pieces
    .filter((piece) => !piece.gated)
    .flatMap((piece) => {
      const all = [...piece.networks, ...piece.status];
      const own = new Set(all.flatMap(({ ips, mac }) => [...ips.map(withoutPrefix), mac.toLowerCase()]));
      return [...own].filter((address) => address !== '').map((address) => ({ address, piece }));
    });
  return [...Map.groupBy(carried, ({ address }) => address)]
    .filter(([, holders]) => holders.length > 1)
    .flatMap(([address, holders]) =>
      holders.map(({ piece }) => {
        const others = holders.filter((other) => other.piece !== piece).map((other) => nameOf(other.piece));
        return podViolation('AddressOnce', piece, `${address} is also held by ${others.join(', ')}.`);
      }),
    );
}

function claimsOwned(view: View): readonly Violation[] {
  return [...view.claims].flatMap(([split, claims]) => {
    const objects = claims.map(({ block }) => `AddressBlock ${block.metadata.name}`);
    const pod = claims[0]?.claim.pod;
    const primary = view.primaries.get(split);
    const object = objects.join(', ');
    if (primary === undefined || primary.uid !== pod?.uid) {
      return [{ check: 'ClaimOwned' as const, object, message: `Pod ${pod?.name} (${pod?.uid}) is gone: a leak.` }];
    }
    if (claims.length === 1) return [];
    return [{ check: 'ClaimOwned' as const, object, message: `${nameOf(primary)} has ${claims.length} claims.` }];
  });
}

function blocksSound(view: View): readonly Violation[] {
  return view.blocks.flatMap((block) => {
    const object = `AddressBlock ${block.metadata.name}`;
    const { namespace, nad } = block.spec.workload;
    const pool = view.pools.get(block.spec.network);
    const unsound: readonly Violation[] =
      pool === undefined
        ? [{ check: 'BlockSound', object, message: `SplitNetwork ${block.spec.network} is gone.` }]
        : blockErrors(block, pool).map(({ path, message }) => ({
            check: 'BlockSound',
            object,
            message: `${path}: ${message}`,
          }));
    const key = nad.slice(nad.lastIndexOf('-') + 1);
    const used = block.spec.claims.length > 0 && view.workloads.has(`${namespace}/${key}`);
    const unused: readonly Violation[] = used
      ? []
      : [{ check: 'BlockUsed', object, message: `the workload of NAD ${namespace}/${nad} has no split Pod in it.` }];
    return [...unsound, ...unused];
  });
}

/** While the Pod waits, ends or has ended, its pieces come and go. */
function piecesComplete(view: View, primary: Piece): readonly Violation[] {
  if (primary.gated || primary.ending || primary.ended) return [];
  const report = (message: string) => podViolation('PiecesComplete', primary, message);
  const expected = removedContainers(primary.pod);
  if (expected === undefined) return [report(`annotation ${ownAnnotations.removed} does not read.`)];
  const siblings = view.pieces.filter(
    (piece) => piece.role === 'sibling' && piece.split === primary.split && piece.namespace === primary.namespace,
  );
  const counts = expected.map((container) => ({
    container,
    count: siblings.filter((sibling) => sibling.container === container && !sibling.ending).length,
  }));
  const strangers = siblings.filter((sibling) => !expected.includes(sibling.container));
  const node = primary.pod.spec?.nodeName;
  const elsewhere = siblings.filter((sibling) => node !== undefined && sibling.pod.spec?.nodeName !== node);
  return [
    ...counts
      .filter(({ count }) => count !== 1)
      .map(({ container, count }) => report(`container ${container} has ${count} siblings.`)),
    ...strangers.map((sibling) => report(`${sibling.name} runs ${sibling.container}, which was not cut from the Pod.`)),
    ...elsewhere.map((sibling) =>
      report(`${sibling.name} is on node "${sibling.pod.spec?.nodeName ?? ''}", the primary on "${node ?? ''}".`),
    ),
  ];
}

function siblingOwned(view: View, sibling: Piece): readonly Violation[] {
  const primary = view.primaries.get(sibling.split);
  const report = (message: string) => [podViolation('SiblingOwned', sibling, message)];
  if (primary === undefined || primary.namespace !== sibling.namespace) return report('its primary is gone.');
  const owners = sibling.pod.metadata.ownerReferences ?? [];
  if (!owners.some((owner) => owner.uid === primary.uid && owner.controller === true)) {
    return report(`${nameOf(primary)} does not own it.`);
  }
  return primary.ended && !sibling.ending && !sibling.ended ? report(`${nameOf(primary)} has ended.`) : [];
}

function volumesOwned(view: View): readonly Violation[] {
  return view.volumes
    .filter(({ node, folder }) => view.primaries.get(splitId(folder))?.pod.spec?.nodeName !== node)
    .map(({ node, folder }) => ({
      check: 'VolumeOwned' as const,
      object: `Node ${node}`,
      message: folder.startsWith('.')
        ? `volumes/${folder} is not deleted.`
        : `no split Pod of UID ${folder} is there: its volumes are a leak.`,
    }));
}

function networksUsed(view: View): readonly Violation[] {
  const there = new Set(view.nads.map(workloadKeyOf));
  const missing = [...view.workloads].filter(
    (key) => !there.has(key) && view.pieces.some((piece) => !piece.gated && workloadOfPiece(piece) === key),
  );
  return [
    ...strays(view, 'NetworkUsed', 'NetworkAttachmentDefinition', view.nads),
    ...missing.map((key) => ({ check: 'NetworkUsed' as const, object: `workload ${key}`, message: 'it has no NAD.' })),
  ];
}

function policiesUsed(view: View): readonly Violation[] {
  const names = new Set(view.networkPolicies.map(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name}`));
  const open = view.pieces.filter(
    (piece) =>
      piece.role === 'sibling' &&
      !names.has(`${piece.namespace}/podsplit-${piece.workload}-in-${piece.container}`) &&
      view.workloads.has(workloadOfPiece(piece)),
  );
  return [
    ...strays(
      view,
      'PolicyUsed',
      'NetworkPolicy',
      view.networkPolicies.filter((policy) => !isPeerMirror(policy)),
    ),
    ...strays(view, 'PolicyUsed', 'MultiNetworkPolicy', view.multiNetworkPolicies),
    ...open.map((piece) => podViolation('PolicyUsed', piece, 'no NetworkPolicy closes its ingress.')),
  ];
}

function budgetsUsed(view: View): readonly Violation[] {
  const own = view.budgets.filter(isOwnBudget);
  const unguarded = view.pieces.filter(
    (piece) =>
      piece.role === 'sibling' &&
      !isOfDaemonSet(view.primaries.get(piece.split)) &&
      view.workloads.has(workloadOfPiece(piece)) &&
      !own.some(
        ({ metadata, spec }) =>
          metadata.namespace === piece.namespace && selects(spec?.selector, piece.pod.metadata.labels ?? {}),
      ),
  );
  return [
    ...strays(view, 'BudgetUsed', 'PodDisruptionBudget', own),
    ...unguarded.map((piece) => podViolation('BudgetUsed', piece, 'no PodDisruptionBudget keeps it from eviction.')),
  ];
}

function isOfDaemonSet(primary: Piece | undefined): boolean {
  return primary?.pod.metadata.ownerReferences?.some(({ kind }) => kind === 'DaemonSet') ?? false;
}

function mirrorsUsed(view: View): readonly Violation[] {
  const primaries = view.pieces.filter(({ role }) => role === 'primary');
  const pods = primaries.map(({ pod, namespace }) => ({ namespace, labels: pod.metadata.labels ?? {} }));
  const wanted = new Map<string, ReturnType<typeof peerMirror>>(
    view.networkPolicies
      .filter((policy) => pods.some((pod) => findsAsPeer(policy, pod)))
      .map((policy) => {
        const mirror = peerMirror(policy);
        return [`${policy.metadata.namespace ?? ''}/${mirror?.metadata?.name ?? ''}`, mirror] as const;
      }),
  );
  const mirrors = new Map(
    view.networkPolicies
      .filter(isPeerMirror)
      .map((mirror) => [`${mirror.metadata.namespace ?? ''}/${mirror.metadata.name}`, mirror]),
  );
  const report = (name: string, message: string) => ({
    check: 'MirrorUsed' as const,
    object: `NetworkPolicy ${name}`,
    message,
  });
  return [
    ...[...wanted].flatMap(([name, mirror]) => {
      const found = mirrors.get(name);
      if (found === undefined) return [report(name, 'it is missing.')];
      return sameJson(found.spec, mirror?.spec) ? [] : [report(name, 'it is not what its original asks for.')];
    }),
    ...[...mirrors.keys()]
      .filter((name) => !wanted.has(name))
      .map((name) => report(name, 'its original lets in no split Pod.')),
  ];
}

function isPeerMirror(policy: NetworkPolicy): boolean {
  return isOwn(policy) && policy.metadata.ownerReferences?.some(({ kind }) => kind === 'NetworkPolicy') === true;
}

function podSplitsOwned(view: View): readonly Violation[] {
  const described = new Set(view.podSplits.map((split) => split.spec.pod.uid));
  const primaries = [...view.primaries.values()];
  const uids = new Set(primaries.map((primary) => primary.uid));
  return [
    ...view.podSplits
      .filter((split) => !uids.has(split.spec.pod.uid) && !view.isolated.has(split.spec.pod.uid))
      .map((split) => ({
        check: 'PodSplitOwned' as const,
        object: `PodSplit ${split.metadata.namespace ?? ''}/${split.metadata.name}`,
        message: `Pod ${split.spec.pod.name} (${split.spec.pod.uid}) is gone.`,
      })),
    ...primaries
      .filter((primary) => !primary.gated && !primary.ending && !described.has(primary.uid))
      .map((primary) => podViolation('PodSplitOwned', primary, 'no PodSplit describes it.')),
  ];
}

/** Of objects that podsplit generates for a workload: those whose workload has no split Pod. */
function strays(
  view: View,
  check: Violation['check'],
  kind: string,
  objects: readonly KubeObject[],
): readonly Violation[] {
  return objects
    .filter(({ metadata }) => metadata.labels?.[ownLabels.managedBy] === 'podsplit')
    .filter((object) => !view.workloads.has(workloadKeyOf(object)))
    .map(({ metadata }) => ({
      check,
      object: `${kind} ${metadata.namespace ?? ''}/${metadata.name}`,
      message: 'its workload has no split Pod.',
    }));
}

function workloadKeyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ''}/${metadata.labels?.[ownLabels.workload] ?? ''}`;
}

function workloadOfPiece(piece: Piece): string {
  return `${piece.namespace}/${piece.workload}`;
}

function removedContainers(pod: Pod): readonly string[] | undefined {
  const removed = parseJson(pod.metadata.annotations?.[ownAnnotations.removed]);
  if (!isRecord(removed)) return undefined;
  const lists: readonly unknown[] = [removed['containers'], removed['sidecars'] ?? []];
  if (!lists.every(Array.isArray)) return undefined;
  return lists.flat().map((container) => (isRecord(container) ? String(container['name']) : ''));
}

function podViolation(check: Violation['check'], piece: Piece, message: string): Violation {
  return { check, object: nameOf(piece), message };
}

function nameOf(piece: Piece): string {
  return `Pod ${piece.namespace}/${piece.name}`;
}

function withoutPrefix(cidr: string): string {
  return cidr.replace(/\/.*$/, '');
}

function sameItems(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.toSorted().join(' ') === other.toSorted().join(' ');
}
