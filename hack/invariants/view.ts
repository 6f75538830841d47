import { poolOf, type Pool } from '../../controller/addresses/pool.ts';
import { splitId, workloadKey } from '../../controller/api/identity.ts';
import { isRecord, parseJson } from '../../controller/api/json.ts';
import {
  networksAnnotation,
  networkStatusAnnotation,
  ownLabels,
  peerInterface,
  schedulingGate,
} from '../../controller/api/names.ts';
import type { AddressBlock, Claim, PodSplit, SplitNetwork } from '../../controller/api/resources.ts';
import type { KubeObject, NetworkPolicy, Pod, PodDisruptionBudget } from '../../controller/kube/resources.ts';
import { remembersFor } from '../../controller/reconcile/moves.ts';

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

export interface Piece {
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

export interface Attachment {
  readonly interface: string;
  readonly ips: readonly string[];
  readonly mac: string;
}

interface Claimed {
  readonly block: AddressBlock;
  readonly claim: Claim;
}

export interface View extends Snapshot {
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

export function viewOf(snapshot: Snapshot): View {
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

export function workloadKeyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ''}/${metadata.labels?.[ownLabels.workload] ?? ''}`;
}

export function workloadOfPiece(piece: Piece): string {
  return `${piece.namespace}/${piece.workload}`;
}

export function podViolation(check: Violation['check'], piece: Piece, message: string): Violation {
  return { check, object: nameOf(piece), message };
}

export function nameOf(piece: Piece): string {
  return `Pod ${piece.namespace}/${piece.name}`;
}
