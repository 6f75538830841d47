import type { Flow, Protocol } from '../api/flow.ts';

/**
 * All that one piece's network namespace has to know; `compile` makes the nftables text of it, `links` the addresses,
 * neighbours and routes. It travels as JSON in the annotation `podsplit.io/wiring` of the piece, because the primary's
 * spec is fixed before its addresses are known.
 */
export interface Wiring {
  readonly version: 1;
  /** `splitId` of the Pod: only for people who read it. */
  readonly split: string;
  readonly piece: string;
  readonly role: Role;
  /**
   * `hold`: the init container keeps everything closed and waits. `go`: it loads the rules and lets the piece start.
   * The controller writes `go` once every piece's Pod IPs are known (init mode cannot be told of them later). In install
   * mode `node` it is `go` from the start: the agent loads the rules before there is a process to hold back.
   */
  readonly release: 'hold' | 'go';
  readonly self: Endpoint;
  /** The other pieces of this Pod, sorted by name. */
  readonly peers: readonly Peer[];
  /** The SplitNetwork's ranges: whatever carries an address of theirs belongs on net1 and nowhere else. CIDR form. */
  readonly pool: { readonly ipv4?: string; readonly ipv6?: string };
  /** The flows of the whole Pod; a piece picks those that name it. */
  readonly flows: readonly Flow[];
  /** Siblings' ports that the primary's Pod IP serves. */
  readonly facade: readonly FacadePort[];
  /** What policies leave of the Pod's own network (eth0, and the facade) for this piece; absent: all that a piece has there. */
  readonly podNetwork?: PodNetwork;
  /** Pieces of the Pod whose only way out is another piece. */
  readonly via?: readonly Via[];
  /** The piece by which clients of the Pod come in. */
  readonly ingressVia?: IngressVia;
  /** Of the flows those that policies with action Audit would refuse: they pass, and are recorded. */
  readonly auditedFlows?: readonly Flow[];
  /** Between these ends nothing is enforced: what listens is open, and what is used is recorded (rules/observe.ts). */
  readonly observe?: Observed;
}

/** The pieces in whose calls, and in the calls to which, no policy has a say: what one closes, observing does not open. */
export interface Observed {
  readonly from: readonly string[];
  readonly to: readonly string[];
}

/** A direction that is absent is not restricted. What belongs to the node (probes) and to flows is not judged by it. */
export interface PodNetwork {
  readonly ingress?: Allowances;
  readonly egress?: Allowances;
}

export interface Allowances {
  /** Nothing else passes. */
  readonly enforce?: readonly Allowed[];
  /** What else passes is recorded. */
  readonly audit?: readonly Allowed[];
}

/** Those of one list do not overlap and are sorted: they become elements of sets whose intervals must be disjoint. */
export interface Allowed {
  /** `first-last`, both of one family. */
  readonly addresses: string;
  /** Absent: whatever is not TCP, UDP or SCTP too. */
  readonly protocol?: PolicyProtocol;
  /** Absent: every port. */
  readonly ports?: PortRange;
}

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export type PolicyProtocol = Protocol | 'sctp';

/** `from` goes out by `to` and by nothing else; without `to` by nothing at all: docs/decisions/0018-the-unavoidable-proxy.md. */
export interface Via {
  readonly from: string;
  readonly to?: string;
  /** Where all its TCP is carried to, original destination kept. Absent: it reaches the proxy by flows, and nothing else. */
  readonly port?: number;
  readonly dns: ViaDns;
  /** With `cluster`: the only addresses that it reaches by eth0, at port 53. */
  readonly resolvers: readonly string[];
}

/** Without what is known of the cluster. */
export type WiringVia = Omit<Via, 'resolvers'>;

/** TCP from outside to the Pod enters by this piece: docs/decisions/0022-traffic-enters-by-the-proxy.md. */
export interface IngressVia {
  readonly to: string;
  /** Where it is carried to, original destination kept. */
  readonly port: number;
  /** Ports that the proxy itself serves at the Pod's address. */
  readonly direct: readonly number[];
  /** Ports of the primary that its node calls for the kubelet. */
  readonly probes: readonly number[];
}

export type ViaDns = 'none' | 'cluster' | 'proxy';

export type Role = 'primary' | 'sibling';

/** A piece on the peer network. At least one address family. Plain addresses, canonical text form (RFC 5952 for IPv6). */
export interface Endpoint {
  readonly mac: string;
  readonly ipv4?: string;
  readonly ipv6?: string;
  /**
   * The addresses of the Pod's eth0. Absent in install mode `node`, whose agent sees them, and where nobody knows them (a
   * manifest applied without the controller).
   */
  readonly podIPs?: readonly string[];
}

export interface Peer extends Endpoint {
  readonly name: string;
  readonly role: Role;
}

export interface FacadePort {
  readonly piece: string;
  readonly port: number;
  readonly protocol: Protocol;
}

/** What only the piece itself can see, read in its network namespace when the rules are loaded. */
export interface Local {
  /** Addresses of eth0, global scope, canonical form. */
  readonly podIPs: readonly string[];
  /** Where the kubelet's probes come from: the node's addresses and the default gateways, which differ by CNI. */
  readonly nodeIPs: readonly string[];
  /** MTU of eth0: what a sibling sends to clients of the facade has to pass there. */
  readonly mtu?: number;
}
