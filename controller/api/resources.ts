import type { InstallMode } from './install.ts';
import type { ResourceDefaults } from './resource-defaults.ts';

/** The custom resources' shapes; crds/ has the same as OpenAPI schemas, and a test holds the two together. */

export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

/** KEP-1623. */
export interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime: string;
  readonly observedGeneration?: number;
}

/** Cluster-scoped: a pool of addresses for peer networks. Its ranges are immutable, since claims are offsets in them. */
export interface SplitNetwork {
  readonly apiVersion: string;
  readonly kind: 'SplitNetwork';
  readonly metadata: ObjectMeta;
  readonly spec: SplitNetworkSpec;
  readonly status?: SplitNetworkStatus;
}

export interface SplitNetworkSpec {
  /** CIDR, for example 198.18.0.0/15 (RFC 2544). At least one of the two families. */
  readonly ipv4?: string;
  /** CIDR, for example a ULA /64 (RFC 4193). */
  readonly ipv6?: string;
  /** Addresses in a workload's block: a power of two, 8 to 256. */
  readonly blockSize: number;
  /** Link options of the generated NAD. */
  readonly mtu?: number;
  /** Default: true where an init container loads the rules, false where the node agent judges each frame anyway. */
  readonly macSpoofCheck?: boolean;
  /** Of workloads that use this network and do not say themselves. May change: it counts for Pods made from then on. */
  readonly install?: InstallMode;
  /** Likewise: what containers get that state no memory or CPU. */
  readonly resources?: ResourceDefaults;
}

export interface SplitNetworkStatus {
  readonly observedGeneration?: number;
  readonly blocks?: { readonly total: number; readonly claimed: number };
  readonly addresses?: { readonly claimed: number };
  readonly conditions?: readonly Condition[];
}

/**
 * Cluster-scoped, named `NETWORK-INDEX`: one block of a SplitNetwork, held by one workload. Its existence is the claim to
 * the block (create is atomic by name), its entries are the claims of the workload's Pods (replaced by compare-and-swap on
 * resourceVersion). Only the controller writes it.
 */
export interface AddressBlock {
  readonly apiVersion: string;
  readonly kind: 'AddressBlock';
  readonly metadata: ObjectMeta;
  readonly spec: AddressBlockSpec;
}

export interface AddressBlockSpec {
  readonly network: string;
  readonly index: number;
  /** `nad` names the workload's peer network, whose NADs are named for it: `networkName`, not `nadName`. */
  readonly workload: { readonly namespace: string; readonly nad: string };
  readonly claims: readonly Claim[];
}

/** All addresses of one split Pod. */
export interface Claim {
  readonly pod: { readonly name: string; readonly uid: string };
  /** Container name to offset in the block. */
  readonly offsets: Readonly<Record<string, number>>;
  /**
   * Set before the releasing controller looks whether a piece is left, removed with the claim. While it stands nobody may
   * start a piece on these addresses: see docs/decisions on addresses.
   */
  readonly releasing?: boolean;
}

/** One per split Pod, owned by its primary: what people look at. Nothing is decided by it. */
export interface PodSplit {
  readonly apiVersion: string;
  readonly kind: 'PodSplit';
  readonly metadata: ObjectMeta;
  readonly spec: {
    readonly pod: { readonly name: string; readonly uid: string };
    readonly workload: {
      readonly apiVersion: string;
      readonly kind: string;
      readonly name: string;
      readonly uid: string;
    };
    readonly network: string;
    readonly networkAttachmentDefinition: string;
    readonly flows: readonly string[];
  };
  readonly status?: PodSplitStatus;
}

export interface PodSplitStatus {
  readonly phase: 'Pending' | 'Wiring' | 'Starting' | 'Running' | 'Ending' | 'Refused';
  readonly node?: string;
  /** `3/3`. */
  readonly readyPieces?: string;
  readonly pieces?: readonly PieceStatus[];
  /** What the pieces tried and were denied: newest first, at most 64. Only the agent of the node writes it. */
  readonly denied?: readonly Denial[];
  /** While nothing is enforced between the pieces: the connections that they opened, newest first, at most 128. Likewise. */
  readonly observed?: readonly ObservedUse[];
  readonly conditions?: readonly Condition[];
}

/** Connections of one kind that a piece opened while it was observed (`podsplit.io/flows: observe`). */
export interface ObservedUse {
  readonly from: string;
  /** A container of the Pod; on the Pod's own network, and where nobody knows who was called, the address. */
  readonly to: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  /** `loopback`: what the containers of an isolated Pod share. */
  readonly network: 'peer' | 'pod' | 'loopback';
  readonly connections: number;
  /** RFC 3339. */
  readonly lastSeen: string;
  /** Between the pieces, without `observe`: only declared ports would be open. */
  readonly wouldDeny: boolean;
}

/** One kind of attempt that some piece's rules dropped, or that the kernel refused inside of the piece. */
export interface Denial {
  /** A container of the Pod, or the address of somebody else. */
  readonly from: string;
  /** Likewise; of a call to the own loopback that was for nobody known, the address that was called. */
  readonly to: string;
  /** As it was called. */
  readonly address: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  /** The peer network, the Pod's own (eth0), or loopback: the caller's own, in an isolated Pod what its containers share. */
  readonly network: 'peer' | 'pod' | 'loopback';
  /** The container whose rules dropped it, or recorded that the kernel refused it. */
  readonly seenBy: string;
  readonly packets: number;
  /** It passed: a ContainerNetworkPolicy with action Audit would refuse it. */
  readonly audited?: boolean;
  /** RFC 3339. */
  readonly lastSeen: string;
}

export interface PieceStatus {
  readonly name: string;
  readonly role: 'primary' | 'sibling' | 'isolated';
  readonly pod: string;
  readonly state: string;
  readonly ready: boolean;
  readonly node?: string;
  readonly addresses: readonly string[];
  readonly mac: string;
  readonly podIPs?: readonly string[];
  /** Hash of the wiring whose rules the piece's init container proved loaded; in install mode `node` there is none. */
  readonly rules?: string;
}
