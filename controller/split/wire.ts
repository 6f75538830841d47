import type { Flow } from '../api/flow.ts';
import { peerInterface } from '../api/names.ts';
import type { Endpoint, FacadePort, Observed, Peer, PodNetwork, Wiring, WiringVia } from '../rules/wiring.ts';
import { ingressViaOf, servedPorts } from './ingress-via.ts';
import type { Piece, Plan } from './plan.ts';

/** What the address allocator gives a piece: plain addresses without prefix, at least one family. */
export interface PieceAddresses {
  readonly mac: string;
  readonly ipv4?: string;
  readonly ipv6?: string;
}

export interface WiringInput {
  readonly plan: Plan;
  readonly splitId: string;
  /** The SplitNetwork's ranges, CIDR form. */
  readonly pool: { readonly ipv4?: string; readonly ipv6?: string };
  /** By container name, one for each piece. */
  readonly addresses: Readonly<Record<string, PieceAddresses>>;
  /** By container name, as far as they are known. */
  readonly podIPs?: Readonly<Record<string, readonly string[]>>;
  /** What policies make of the plan's flows, and of the Pod's network; left out where none selects the Pod. */
  readonly policies?: {
    readonly flows: readonly Flow[];
    readonly podNetwork: ReadonlyMap<string, PodNetwork>;
    readonly auditedFlows?: readonly Flow[];
    readonly observe?: Observed;
    readonly via: readonly WiringVia[];
  };
  readonly release: Wiring['release'];
  /** Addresses of the cluster's DNS, for pieces that may ask it and nobody else. */
  readonly resolvers?: readonly string[];
}

/**
 * The wirings of all pieces by container name: everybody is told of everybody, so that each piece can close its eth0 to
 * the others as well.
 *
 * @throws RangeError where a piece has no addresses: the caller claims them for all pieces at once.
 */
export function buildWirings(input: WiringInput): Readonly<Record<string, Wiring>> {
  const { plan, policies } = input;
  const peers: readonly Peer[] = [plan.primary, ...plan.siblings]
    .map((piece) => ({ name: piece.name, role: roleOf(plan, piece), ...endpoint(input, piece) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const ingressVia = ingressViaOf(plan);
  const facade: readonly FacadePort[] = servedPorts(plan).map(({ container, port, protocol }) => ({
    piece: container,
    port,
    protocol,
  }));

  return Object.fromEntries(
    [plan.primary, ...plan.siblings].map((piece): [string, Wiring] => [
      piece.name,
      {
        version: 1,
        split: input.splitId,
        piece: piece.name,
        role: roleOf(plan, piece),
        release: input.release,
        self: endpoint(input, piece),
        peers: peers.filter((peer) => peer.name !== piece.name),
        pool: input.pool,
        flows: policies?.flows ?? plan.flows,
        facade,
        ...podNetworkOf(policies?.podNetwork.get(piece.name)),
        ...viaOf(policies?.via ?? plan.via, input.resolvers),
        ...(ingressVia === undefined ? {} : { ingressVia }),
        ...(policies?.auditedFlows === undefined ? {} : { auditedFlows: policies.auditedFlows }),
        ...(plan.observe === undefined ? {} : { observe: policies?.observe ?? everyEnd(plan) }),
      },
    ]),
  );
}

function podNetworkOf(podNetwork: PodNetwork | undefined): Pick<Wiring, 'podNetwork'> {
  return podNetwork === undefined ? {} : { podNetwork };
}

/** Every piece is told of all of them: a proxy has to know whom it serves. */
export function viaOf(ways: readonly WiringVia[], resolvers: readonly string[] = []): Pick<Wiring, 'via'> {
  if (ways.length === 0) return {};
  return { via: ways.map((via) => ({ ...via, resolvers: via.dns === 'cluster' ? resolvers : [] })) };
}

function everyEnd(plan: Plan): Observed {
  const names = [plan.primary, ...plan.siblings].map(({ name }) => name).sort();
  return { from: names, to: names };
}

function roleOf(plan: Plan, piece: Piece): Peer['role'] {
  return piece.name === plan.primary.name ? 'primary' : 'sibling';
}

function endpoint(input: WiringInput, piece: Piece): Endpoint {
  const addresses = ownValue(input.addresses, piece.name);
  if (addresses === undefined) throw new RangeError(`no addresses for piece ${piece.name}`);
  const podIPs = ownValue(input.podIPs ?? {}, piece.name);
  return {
    mac: addresses.mac,
    ...(addresses.ipv4 === undefined ? {} : { ipv4: addresses.ipv4 }),
    ...(addresses.ipv6 === undefined ? {} : { ipv6: addresses.ipv6 }),
    ...(podIPs === undefined ? {} : { podIPs }),
  };
}

/** `constructor` is a fine name for a container. */
function ownValue<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

export interface NetworkSelection {
  /** Name of the NetworkAttachmentDefinition. */
  readonly nad: string;
  /** Where it is not the Pod's own namespace. */
  readonly namespace?: string;
  /** Address with the prefix length of the SplitNetwork's whole range: the static IPAM plugin wants CIDR form. */
  readonly ipv4Cidr?: string;
  readonly ipv6Cidr?: string;
  readonly mac: string;
}

/** The value of `k8s.v1.cni.cncf.io/networks`: NPWG multi-network specification v1.3, section 4.1.2, JSON form. */
export function networksAnnotation(selection: NetworkSelection): string {
  return JSON.stringify([
    {
      name: selection.nad,
      ...(selection.namespace === undefined ? {} : { namespace: selection.namespace }),
      interface: peerInterface,
      ips: [selection.ipv4Cidr, selection.ipv6Cidr].filter((cidr) => cidr !== undefined),
      mac: selection.mac,
    },
  ]);
}

/** `198.18.0.9` in the range `198.18.0.0/15` is `198.18.0.9/15`. */
export function withPrefixOf(range: string, address: string): string {
  return `${address}${range.slice(range.indexOf('/'))}`;
}
