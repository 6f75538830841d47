import type { HostSide } from './host.ts';
import { deviceName, priority, type Chain, type NamedSet, type Table } from './nft.ts';
import { proxyBeside, takesClients } from './ingress-model.ts';
import { viaFrames, viaSets } from './host-via.ts';
import type { Both, Names } from './redirect-names.ts';

/** A part of the table: what one link adds to it. */
export type HostPart = Pick<Table, 'counters' | 'sets' | 'chains'>;

/**
 * What comes out of the piece by net1, sent by its kernel or by a socket that writes whole frames. It goes to a peer, from
 * this piece, and is TCP, UDP or an ICMP error about them; anything else (the node, the bridge, other workloads, ARP, NDP,
 * router advertisements, VLANs, LLC, tunnels) has no business on a peer network.
 */
export function hostNet1(side: HostSide, both: Both): HostPart {
  const { wiring, link } = side;
  return {
    counters: ['host_spoofed', ...(link === 'fwd' ? ['host_absent'] : [])],
    sets: [
      ...both((names) => [...identitySets(side, names), ...viaSets(side, names)]),
      ...(link === 'fwd' ? [deviceMap(side)] : []),
    ],
    chains: [
      {
        name: 'net1',
        base: {
          type: 'filter',
          hook: 'ingress',
          device: side.net1.device,
          priority: priority.ingress,
          policy: 'drop',
        },
        comment: 'what comes out of the piece by net1',
        rules: kinds(wiring.role === 'primary'),
      },
      ...both((names) => identityChains(names)),
      link === 'fwd' ? forwardToPeer : bridgeToPeer,
      { name: 'spoof', comment: 'not who it says, or not for a peer', rules: ['counter name host_spoofed drop'] },
    ],
  };
}

/**
 * The ether type is compared as it is in the frame: `ip saddr` alone would look behind a VLAN tag. ICMP errors have a type
 * only where they are whole, and they are small enough to be (RFC 1812, RFC 4443); IPv6 fragments of all else are not told
 * apart by more than what the piece puts together again.
 */
function kinds(primary: boolean): readonly string[] {
  return [
    'ether type != { ip, ip6 } goto spoof',
    'ip hdrlength != 5 goto spoof comment "source routing, record route"',
    'ip protocol { tcp, udp } goto from4',
    'ip protocol icmp icmp type destination-unreachable goto from4',
    'ip6 nexthdr { tcp, udp } goto from6',
    'ip6 nexthdr icmpv6 icmpv6 type destination-unreachable goto from6',
    ...(primary
      ? ['ip6 nexthdr icmpv6 icmpv6 type packet-too-big goto client6 comment "a router on the way to a client"']
      : []),
    'ip6 nexthdr 44 frag nexthdr { tcp, udp } goto from6 comment "fragments"',
    'goto spoof',
  ];
}

function identitySets({ wiring }: HostSide, { data, n, addr, primary }: Names): readonly NamedSet[] {
  const { mac } = wiring.self;
  const { self } = data;
  const primaries = wiring.peers.filter(({ role }) => role === 'primary');
  const pairs = self === undefined ? [] : data.peers.map((peer) => pair(mac, self, peer));
  const facade = primary
    ? data.facadePeers.map((peer) => `${mac} . ${peer}`)
    : self === undefined || data.facadePorts.length === 0
      ? []
      : primaries.map((peer) => `${mac} . ${peer.mac} . ${self}`);
  const proxy = proxyBeside(wiring);
  // Clients that enter by the proxy have the Pod's own address on net1 too.
  const entering = primary
    ? data.own.flatMap((address) =>
        proxy === undefined || self === undefined ? [] : [`${mac} . ${proxy.mac} . ${address}`],
      )
    : takesClients(wiring)
      ? primaries.flatMap((peer) => data.ingress.served.map((address) => `${mac} . ${peer.mac} . ${address}`))
      : [];
  return [
    {
      name: `pair${n}`,
      type: `ether_addr . ether_addr . ${addr} . ${addr}`,
      kind: 'set',
      elements: pairs,
      comment: "this piece's MAC, a peer's MAC, this piece's address, that peer's address",
    },
    {
      name: `facade${n}`,
      type: `ether_addr . ether_addr . ${addr}`,
      kind: 'set',
      elements: [...facade, ...entering],
      comment: primary
        ? "this piece's MAC, MAC and address of a sibling that serves ports of the Pod's address, or of the Pod where it is the proxy"
        : "this piece's MAC, the primary's MAC, this piece's address, where it serves ports of the Pod's address, or the Pod's where it is the proxy",
    },
    {
      name: `never${n}`,
      type: addr,
      kind: 'interval',
      elements: data.never,
      comment: 'what no client of the facade can have as its address',
    },
    {
      name: `pod${n}`,
      type: addr,
      kind: 'set',
      elements: primary ? data.own : data.primaryPod,
      comment: "the Pod's address: what pieces call by their own Service comes from it",
    },
  ];
}

/** `MAC . address` of a peer, seen from here. */
function pair(mac: string, self: string, peer: string): string {
  const [peerMac = '', address = ''] = peer.split(' . ');
  return `${mac} . ${peerMac} . ${self} . ${address}`;
}

function identityChains(names: Names): readonly Chain[] {
  const { n, ip, primary } = names;
  return [
    {
      name: `from${n}`,
      comment: 'from this piece to a peer, each as itself',
      rules: [`ether saddr . ether daddr . ${ip} saddr . ${ip} daddr @pair${n} goto deliver`, `goto client${n}`],
    },
    {
      name: `client${n}`,
      comment: primary ? 'a client of the facade, on its way to the sibling that serves it' : 'an answer to a client',
      rules: [
        primary
          ? `ether saddr . ether daddr . ${ip} daddr @facade${n} ${ip} saddr != @never${n} goto deliver`
          : `ether saddr . ether daddr . ${ip} saddr @facade${n} ${ip} daddr != @never${n} goto deliver`,
        primary
          ? // Of a client's path that it knows itself it speaks as the address that the client called too (icmpv6_send).
            `ether saddr . ether daddr . ${ip} daddr @facade${n} ${ip} saddr @pod${n} goto deliver`
          : `ether saddr . ether daddr . ${ip} saddr @facade${n} ${ip} daddr @pod${n} goto deliver`,
        ...viaFrames(names),
        'goto spoof',
      ],
    },
  ];
}

/** By MAC, which the sets have bound to the address: one map for both families and for the facade. */
function deviceMap({ wiring, peerDevices }: HostSide): NamedSet {
  const devices = new Map(Object.entries(peerDevices));
  return {
    name: 'peer_device',
    type: 'ether_addr : iface_index',
    kind: 'map',
    elements: wiring.peers.flatMap(({ name, mac }) => {
      const device = devices.get(name);
      return device === undefined ? [] : [`${mac} : ${deviceName(device)}`];
    }),
    comment: "the node's end of each peer's net1",
  };
}

const forwardToPeer: Chain = {
  name: 'deliver',
  comment: "straight into the peer's link: no bridge learns it, floods it or hands it to the node's netfilter",
  rules: ['fwd to ether daddr map @peer_device', 'counter name host_absent drop comment "the peer is not there now"'],
};

const bridgeToPeer: Chain = { name: 'deliver', comment: 'by the bridge', rules: ['accept'] };
