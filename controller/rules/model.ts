import type { Protocol } from '../api/flow.ts';
import { families, familyOf, type Family } from './addresses.ts';
import { ingressElements, proxyBeside, takesClients, type IngressElements } from './ingress-model.ts';
import { ownServiceElements, type OwnServiceElements } from './own-service-model.ts';
import { podNetworkElements, type PodNetworkElements } from './pod-network-elements.ts';
import { carries, keptBy, viaElements, type ViaElements } from './via-model.ts';
import type { Endpoint, Local, Peer, Role, Via, Wiring } from './wiring.ts';

/**
 * What a piece's rules say, without how: the elements of sets and maps, computed from the wiring. A back end (redirect by
 * NAT in redirect.ts; routed loopback one day) puts a skeleton around them. Strings are in nft's element form.
 */
export interface Model {
  readonly role: Role;
  readonly ipv4: FamilyModel;
  readonly ipv6: FamilyModel;
  /** `protocol . port`: ports that this piece is known to serve, whatever families the peer network has. */
  readonly ownPorts: readonly string[];
  /** MAC of the primary where it forwards facade ports to this sibling. */
  readonly facadeFrom: readonly string[];
  /** The way out of this piece, where it has but one. */
  readonly keptBy: Via | undefined;
  /** MAC of the proxy that it is carried to. */
  readonly viaBy: readonly string[];
  /** In a primary that is not the proxy by which clients enter: the MAC of that. */
  readonly ingressProxy: readonly string[];
  /** Record what the piece opens. */
  readonly observe: boolean;
}

/** One address family; where the peer network lacks it every list is empty, and so nothing of it passes. */
export interface FamilyModel {
  readonly family: Family;
  /** This piece on net1. */
  readonly self?: string;
  /** This piece on eth0: where a sibling's facade ports are served. */
  readonly podIP?: string;
  /** `MAC . address` of each peer. */
  readonly peers: readonly string[];
  /** `address . address` of each peer: "the sender is the one that the ICMP error quotes". */
  readonly same: readonly string[];
  /** `address . protocol . port`: peers' ports that this piece may call. */
  readonly out: readonly string[];
  /** `address . protocol . port`: which peer may call which port here. */
  readonly in: readonly string[];
  /** `address . protocol . port`: of those `in` the calls that are recorded, because policies that audit would refuse them. */
  readonly auditIn: readonly string[];
  /** `protocol . port`: ports here that some peer may call. */
  readonly served: readonly string[];
  /** `protocol . port : address`: where a call to the own loopback is carried. */
  readonly redirect: readonly string[];
  /** Addresses that mean "this Pod" to the program: loopback, the own eth0, the primary's Pod IPs. */
  readonly called: readonly string[];
  /** This piece's own addresses of eth0. */
  readonly own: readonly string[];
  /** In a sibling: the primary's Pod IPs. */
  readonly primaryPod: readonly string[];
  /** Sources that become this piece's net1 address on the wire. */
  readonly local: readonly string[];
  /** eth0 addresses of the other pieces. */
  readonly pods: readonly string[];
  /** Where kubelet's probes come from. */
  readonly nodes: readonly string[];
  readonly pool: readonly string[];
  /** What no client of the facade can have as its address. */
  readonly never: readonly string[];
  /** `protocol . port`: in the primary the ports it forwards, in a sibling those it serves at the Pod's address. */
  readonly facadePorts: readonly string[];
  /** In the primary: `protocol . port : address`. */
  readonly facadeTo: readonly string[];
  /** In the primary: `address . protocol . port`. */
  readonly facadeOut: readonly string[];
  /** In the primary: `MAC . address` of the siblings that serve facade ports. */
  readonly facadePeers: readonly string[];
  readonly via: ViaElements;
  readonly ingress: IngressElements;
  readonly ownService: OwnServiceElements;
  /** Whatever the peer network has: eth0 may have both families where net1 has one. */
  readonly podNetwork: PodNetworkElements;
}

/** Loopback, "this network", multicast and reserved (RFC 6890); for IPv6 also link-local and IPv4-mapped. */
const neverClients: Readonly<Record<Family, readonly string[]>> = {
  ipv4: ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/4', '240.0.0.0/4'],
  ipv6: ['::/127', '::ffff:0:0/96', 'fe80::/10', 'ff00::/8'],
};

export const loopback: Readonly<Record<Family, string>> = { ipv4: '127.0.0.1', ipv6: '::1' };
const loopbackRange: Readonly<Record<Family, string>> = { ipv4: '127.0.0.0/8', ipv6: '::1' };

export function model(wiring: Wiring, local: Local): Model {
  const [ipv4, ipv6] = [familyModel('ipv4', wiring, local), familyModel('ipv6', wiring, local)];
  const kept = keptBy(wiring);
  const served = ipv4.facadePorts.length + ipv6.facadePorts.length > 0 || takesClients(wiring);
  const proxy = proxyBeside(wiring);
  return {
    role: wiring.role,
    ipv4,
    ipv6,
    ownPorts: ownPorts(wiring),
    observe: wiring.observe !== undefined,
    facadeFrom: wiring.role === 'sibling' && served ? primaryOf(wiring).map(({ mac }) => mac) : [],
    keptBy: kept,
    ingressProxy: proxy === undefined ? [] : [proxy.mac],
    viaBy: wiring.peers.filter(({ name }) => carries(kept) && kept?.to === name).map(({ mac }) => mac),
  };
}

/** Nobody tells a piece what it declares: these are the flows to it, and what the Pod's address has of it. */
function ownPorts({ piece, flows, facade }: Wiring): readonly string[] {
  return unique(
    [...flows.filter(({ to }) => to === piece), ...facade.filter((port) => port.piece === piece)].map(service),
  );
}

function familyModel(family: Family, wiring: Wiring, local: Local): FamilyModel {
  const self = wiring.self[family];
  const pool = wiring.pool[family];
  const peers = wiring.peers.flatMap((peer) => present(peer, family, self));
  const own = local.podIPs.filter((address) => familyOf(address) === family);
  const primaryPod = primaryOf(wiring).flatMap((primary) => podIPsOf(primary, family));
  const pods = wiring.peers.flatMap((peer) => podIPsOf(peer, family));
  const ingress = ingressElements(family, wiring, own, primaryPod);
  return {
    family,
    ...(self === undefined ? {} : { self }),
    ...(own[0] === undefined ? {} : { podIP: own[0] }),
    peers: peers.map(({ mac, address }) => `${mac} . ${address}`),
    same: peers.map(({ address }) => `${address} . ${address}`),
    ...flowElements(wiring, peers),
    called: unique([loopback[family], ...own, ...primaryPod]),
    own,
    primaryPod,
    local: unique([loopbackRange[family], ...own]),
    pods,
    nodes: unique(local.nodeIPs.filter((address) => familyOf(address) === family && !pods.includes(address))),
    pool: pool === undefined ? [] : [pool],
    never: unique([...neverClients[family], ...(pool === undefined ? [] : [pool]), ...pods, ...own]),
    ...facadeElements(wiring, peers, self !== undefined && own.length > 0),
    via: viaElements(family, wiring, peers),
    ingress,
    ownService: ownServiceElements(family, wiring, peers, ingress),
    podNetwork: podNetworkElements(wiring.podNetwork, family),
  };
}

/** A peer that shares this address family with the piece. */
export interface PresentPeer {
  readonly name: string;
  readonly mac: string;
  readonly address: string;
}

function present(peer: Peer, family: Family, self: string | undefined): PresentPeer[] {
  const address = peer[family];
  return address === undefined || self === undefined ? [] : [{ name: peer.name, mac: peer.mac, address }];
}

function flowElements(
  wiring: Wiring,
  peers: readonly PresentPeer[],
): Pick<FamilyModel, 'out' | 'in' | 'auditIn' | 'served' | 'redirect'> {
  const outgoing = wiring.flows.filter(({ from }) => from === wiring.piece);
  const incoming = wiring.flows.filter(({ to }) => to === wiring.piece);
  const calls = peers.flatMap(({ name, address }) =>
    outgoing.filter(({ to }) => to === name).map((flow) => ({ address, ...flow })),
  );
  const takes = peers.flatMap(({ name, address }) =>
    incoming.filter(({ from }) => from === name).map((flow) => ({ address, ...flow })),
  );
  return {
    out: calls.map(({ address, ...flow }) => `${address} . ${service(flow)}`),
    in: takes.map(({ address, ...flow }) => `${address} . ${service(flow)}`),
    auditIn: peers.flatMap(({ name, address }) =>
      (wiring.auditedFlows ?? [])
        .filter(({ from, to }) => to === wiring.piece && from === name)
        .map((flow) => `${address} . ${service(flow)}`),
    ),
    served: unique(takes.map(service)),
    redirect: calls.map(({ address, ...flow }) => `${service(flow)} : ${address}`),
  };
}

function facadeElements(
  wiring: Wiring,
  peers: readonly PresentPeer[],
  possible: boolean,
): Pick<FamilyModel, 'facadePorts' | 'facadeTo' | 'facadeOut' | 'facadePeers'> {
  const none = { facadePorts: [], facadeTo: [], facadeOut: [], facadePeers: [] };
  if (!possible) return none;
  if (wiring.role === 'sibling') {
    return { ...none, facadePorts: wiring.facade.filter(({ piece }) => piece === wiring.piece).map(service) };
  }
  const forwarded = peers.flatMap(({ name, mac, address }) =>
    wiring.facade.filter(({ piece }) => piece === name).map((port) => ({ mac, address, ...port })),
  );
  return {
    facadePorts: forwarded.map(service),
    facadeTo: forwarded.map(({ address, ...port }) => `${service(port)} : ${address}`),
    facadeOut: forwarded.map(({ address, ...port }) => `${address} . ${service(port)}`),
    facadePeers: unique(forwarded.map(({ mac, address }) => `${mac} . ${address}`)),
  };
}

function service({ protocol, port }: { readonly protocol: Protocol; readonly port: number }): string {
  return `${protocol} . ${port}`;
}

function primaryOf(wiring: Wiring): readonly Peer[] {
  return wiring.peers.filter(({ role }) => role === 'primary');
}

function podIPsOf(endpoint: Endpoint, family: Family): readonly string[] {
  return (endpoint.podIPs ?? []).filter((address) => familyOf(address) === family);
}

function unique(values: readonly string[]): readonly string[] {
  return [...new Set(values)];
}

/** The families that the piece has on the peer network. */
export function ownFamilies(self: Endpoint): readonly Family[] {
  return families.filter((family) => self[family] !== undefined);
}
