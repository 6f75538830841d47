import { arpReply, datagram, ethernet, packet4, packet6, type Addresses } from './frames.ts';

/**
 * Frames that statsd writes past its own table (CAP_NET_RAW is one of Kubernetes' defaults), and where they are heard. What
 * is meant for a piece is heard there before the piece's table drops it; the node, other workloads and the outside have no
 * table of ours.
 */
export interface FrameAttack {
  readonly name: string;
  readonly by: { readonly device: 'net1' | 'eth0'; readonly bypass?: boolean };
  /** The frame, or frames, with this text somewhere in the last of them. */
  readonly frame: (token: string, world: World) => string | readonly string[];
  readonly heard: Ear;
}

/** Who listens where. */
export type Ear =
  | 'web net1'
  | 'web eth0'
  /** The node's bridge of the peer network, as somebody who is called there. */
  | 'peer bridge'
  /** The node's end of statsd's net1: what is not bridged (LLDP) is heard there, behind the filter. */
  | 'peer port'
  /** Where the node takes in what Pods send by eth0, behind the filter. */
  | 'pod link'
  /** Whoever hears statsd's eth0 next. */
  | 'next to eth0'
  | 'other eth0'
  | 'outside eth0';

/** What an attacker finds out, or guesses. Pairs are an IPv4 and an IPv6 address. */
export interface World {
  /** The pieces on the peer network, and their Pod IPs. */
  readonly web: Party;
  readonly cache: Party;
  readonly statsd: Party & { readonly eth0Mac: string };
  /** Another workload's Pod on this node, and somebody beyond the node. */
  readonly other: Addressed;
  readonly outside: Addressed;
  readonly node: Addressed & {
    readonly bridgeMac: string;
    readonly bridgeLinkLocal: string;
  };
  /** The MAC that leads to them from statsd's eth0: their own on a bridge, the node's on a routed link. */
  readonly nextHop: { readonly web: string; readonly other: string; readonly node: string };
  readonly serviceIP: string;
}

export interface Addressed {
  readonly ipv4: string;
  readonly ipv6: string;
}

export interface Party extends Addressed {
  readonly mac: string;
  readonly podIPs: readonly [string, string];
}

const stranger = { ipv4: '203.0.113.7', ipv6: '2001:db8:7::7' };

const toWeb = ({ statsd, web }: World): Addresses => ({ from: statsd.mac, to: web.mac });
const asCache = ({ cache, web }: World): Addresses => ({ from: cache.ipv4, to: web.ipv4 });
const asCache6 = ({ cache, web }: World): Addresses => ({ from: cache.ipv6, to: web.ipv6 });
const asSelf = ({ statsd, web }: World): Addresses => ({ from: statsd.ipv4, to: web.ipv4 });
const asSelf6 = ({ statsd, web }: World): Addresses => ({ from: statsd.ipv6, to: web.ipv6 });
const toNode = ({ statsd, node }: World): Addresses => ({ from: statsd.mac, to: node.bridgeMac });
const toOther = ({ statsd, nextHop }: World): Addresses => ({ from: statsd.eth0Mac, to: nextHop.other });
const toWebEth0 = ({ statsd, nextHop }: World): Addresses => ({ from: statsd.eth0Mac, to: nextHop.web });

/** A datagram with this text. */
export function ip4(mac: Addresses, ip: Addresses, token: string, port = 9105): string {
  return ethernet(mac, 0x0800, packet4(ip, 17, datagram(port, token)));
}

function ip6(mac: Addresses, ip: Addresses, token: string, port = 9105): string {
  return ethernet(mac, 0x86dd, packet6(ip, 17, datagram(port, token)));
}

function bytes(...parts: readonly string[]): Buffer {
  return Buffer.from(parts.join(''), 'hex');
}

const hex6 = (address: string): string => packet6({ from: address, to: address }, 59, bytes()).toString('hex', 8, 24);

/** Bridges that track connections hold fragments back until they have them all (br_netfilter). */
function fragments4(mac: Addresses, ip: Addresses, protocol: number, first: Buffer, token: string): readonly string[] {
  const parts = [
    { body: first, offset: 0, more: true },
    { body: bytes(token), offset: first.length, more: false },
  ];
  return parts.map(({ body, ...part }) => ethernet(mac, 0x0800, packet4(ip, protocol, body, '', part)));
}

/** "target is at mac" (RFC 4861, 4.4), solicited and overriding. */
function neighbourAdvert(mac: Addresses, ip: Addresses, target: string, token: string): string {
  return ethernet(mac, 0x86dd, packet6(ip, 58, bytes('8800000060000000', hex6(target), token)));
}

/** "This is the way" (RFC 4861, 4.2), to all nodes. */
function routerAdvert(from: string, token: string): string {
  const body = bytes('8600000040000708', '0000000000000000', token);
  return ethernet({ from, to: '33:33:00:00:00:01' }, 0x86dd, packet6({ from: 'fe80::bad', to: 'ff02::1' }, 58, body));
}

/** From net1, to the device of a piece or of the node. */
function net1(name: string, heard: Ear, frame: FrameAttack['frame']): FrameAttack {
  return { name, by: { device: 'net1' }, heard, frame };
}

function other4(name: string, protocol: number, head = ''): FrameAttack {
  return net1(name, 'web net1', (token, world) =>
    ethernet(toWeb(world), 0x0800, packet4(asSelf(world), protocol, bytes(head, token))),
  );
}

function other6(name: string, next: number, head: string): FrameAttack {
  return net1(name, 'web net1', (token, world) =>
    ethernet(toWeb(world), 0x86dd, packet6(asSelf6(world), next, bytes(head, token))),
  );
}

const beyond: readonly FrameAttack[] = [
  net1("the node at its bridge's link-local address", 'peer bridge', (token, world) =>
    ip6(toNode(world), { from: 'fe80::4', to: world.node.bridgeLinkLocal }, token, 10250),
  ),
  net1('the node by the MAC of the bridge, at any of its addresses, from anywhere', 'peer bridge', (token, world) =>
    ip4(toNode(world), { from: stranger.ipv4, to: world.node.ipv4 }, token),
  ),
  net1('another workload, with the node as router', 'other eth0', (token, world) =>
    ip4(toNode(world), { from: world.statsd.ipv4, to: world.other.ipv4 }, token),
  ),
  net1('another workload, with the node as router, over IPv6', 'other eth0', (token, world) =>
    ip6(toNode(world), { from: stranger.ipv6, to: world.other.ipv6 }, token),
  ),
  net1("the outside, with the node as router and the app's Pod IP as source", 'outside eth0', (token, world) =>
    ip4(toNode(world), { from: world.web.podIPs[0], to: world.outside.ipv4 }, token),
  ),
];

/**
 * A frame for the primary, to the address of a Service: where the node's netfilter sees bridged frames it turns it towards
 * the backend. The filter takes it for an answer to a client of the facade, and so only `fwd` closes this for a sibling
 * that serves it: there it ends in the primary, which knows no such client.
 */
export const serviceAttack: FrameAttack = net1('a Service, in a frame that is bridged', 'other eth0', (token, world) =>
  ip4(toWeb(world), { from: world.statsd.ipv4, to: world.serviceIP }, token, 53),
);

const forged: readonly FrameAttack[] = [
  net1("a peer's address with the own MAC", 'web net1', (token, world) => ip4(toWeb(world), asCache(world), token)),
  net1("a peer's MAC and address", 'web net1', (token, world) =>
    ip4({ from: world.cache.mac, to: world.web.mac }, asCache(world), token),
  ),
  net1("a facade client's address", 'web net1', (token, world) =>
    ip4(toWeb(world), { from: world.outside.ipv4, to: world.web.ipv4 }, token),
  ),
  net1('127.0.0.1 of the neighbour', 'web net1', (token, world) =>
    ip4(toWeb(world), { from: world.statsd.ipv4, to: '127.0.0.1' }, token),
  ),
  net1('broadcast MAC, address of a peer', 'web net1', (token, world) =>
    ip4({ from: world.statsd.mac, to: 'ff:ff:ff:ff:ff:ff' }, asSelf(world), token),
  ),
  net1('ARP: a peer is here', 'web net1', (token, world) => arpReply(toWeb(world), asCache(world)) + token),
  net1('NDP: a peer is here', 'web net1', (token, world) =>
    neighbourAdvert(toWeb(world), asSelf6(world), world.cache.ipv6, token),
  ),
  net1('a router advertisement', 'web net1', (token, world) => routerAdvert(world.statsd.mac, token)),
  net1('fragments with a forged source', 'web net1', (token, world) =>
    fragments4(toWeb(world), asCache(world), 17, datagram(9105, '00'.repeat(1472)), token),
  ),
  net1('fragments with a forged source, over IPv6', 'web net1', (token, world) =>
    ['11000001a0000001', '11000028a0000001'].map((header, index) => {
      const part = index === 0 ? datagram(9105, '00'.repeat(32)) : bytes(token);
      return ethernet(toWeb(world), 0x86dd, packet6(asCache6(world), 44, Buffer.concat([bytes(header), part])));
    }),
  ),
  net1('ICMP echo', 'web net1', (token, world) =>
    ethernet(toWeb(world), 0x0800, packet4(asSelf(world), 1, bytes('0800000000010001', token))),
  ),
  net1('an ICMP redirect', 'web net1', (token, world) =>
    ethernet(toWeb(world), 0x0800, packet4(asSelf(world), 1, bytes('05010000c6120004', token))),
  ),
  net1('fragments of ICMP, the first of them of a kind that may pass', 'web net1', (token, world) =>
    fragments4(toWeb(world), asSelf(world), 1, bytes('0303000000000000', '00'.repeat(1472)), token),
  ),
  {
    ...net1("a peer's address, past every hook of the sender (PACKET_QDISC_BYPASS)", 'web net1', (token, world) =>
      ip4(toWeb(world), asCache(world), token),
    ),
    by: { device: 'net1', bypass: true },
  },
];

const strange: readonly FrameAttack[] = [
  net1('VLAN 0', 'web net1', (token, world) =>
    ethernet(
      toWeb(world),
      0x8100,
      bytes('00000800', packet4(asSelf(world), 17, datagram(9102, token)).toString('hex')),
    ),
  ),
  net1('VLAN 5', 'web net1', (token, world) =>
    ethernet(
      toWeb(world),
      0x8100,
      bytes('00050800', packet4(asSelf(world), 17, datagram(9102, token)).toString('hex')),
    ),
  ),
  net1('QinQ', 'web net1', (token, world) =>
    ethernet(
      toWeb(world),
      0x88a8,
      bytes('00058100', '00050800', packet4(asSelf(world), 17, datagram(9102, token)).toString('hex')),
    ),
  ),
  net1('LLC', 'web net1', (token, world) => ethernet(toWeb(world), 0x0026, bytes('424203', token))),
  net1('LLDP', 'peer port', (token, world) =>
    ethernet({ from: world.statsd.mac, to: '01:80:c2:00:00:0e' }, 0x88cc, bytes(token)),
  ),
  net1('PPPoE', 'web net1', (token, world) => ethernet(toWeb(world), 0x8864, bytes(token))),
  net1('source routing', 'web net1', (token, world) =>
    ethernet(toWeb(world), 0x0800, packet4(asSelf(world), 17, datagram(9102, token), '8307040a4d000900')),
  ),
  other4('IPIP', 4),
  other4('GRE', 47),
  other4('SCTP', 132),
  other4('UDP-Lite', 136),
  other4('IGMP', 2),
  other6('IPv6 hop-by-hop options', 0, '1100010400000000'),
  other6('IPv6 destination options', 60, '1100010400000000'),
  other6('an IPv6 routing header', 43, '1100040000000000'),
  other6('IPIP in an IPv6 fragment', 44, '0400000000000001'),
  other6('ICMPv6 in an IPv6 fragment', 44, '3a00000000000001'),
];

function eth0(name: string, heard: Ear, frame: FrameAttack['frame']): FrameAttack {
  return { name, by: { device: 'eth0' }, heard, frame };
}

const byEth0: readonly FrameAttack[] = [
  eth0("eth0: a peer's Pod IP as source", 'other eth0', (token, world) =>
    ip4(toOther(world), { from: world.web.podIPs[0], to: world.other.ipv4 }, token),
  ),
  eth0("eth0: a peer's Pod IP as source, over IPv6", 'other eth0', (token, world) =>
    ip6(toOther(world), { from: world.web.podIPs[1], to: world.other.ipv6 }, token),
  ),
  eth0('eth0: anybody as source', 'pod link', (token, world) =>
    ip4({ from: world.statsd.eth0Mac, to: world.nextHop.node }, { from: stranger.ipv4, to: world.node.ipv4 }, token),
  ),
  eth0('eth0: an address of the peer network as source', 'other eth0', (token, world) =>
    ip4(toOther(world), { from: world.cache.ipv4, to: world.other.ipv4 }, token),
  ),
  eth0("eth0: to a peer's Pod IP", 'web eth0', (token, world) =>
    ip4(toWebEth0(world), { from: world.statsd.podIPs[0], to: world.web.podIPs[0] }, token),
  ),
  eth0("eth0: to a peer's Pod IP, over IPv6", 'web eth0', (token, world) =>
    ip6(toWebEth0(world), { from: world.statsd.podIPs[1], to: world.web.podIPs[1] }, token),
  ),
  // To a sibling it would be a probe.
  eth0("eth0: the node as source, to a peer's Pod IP", 'web eth0', (token, world) =>
    ip6(toWebEth0(world), { from: world.node.ipv6, to: world.web.podIPs[1] }, token),
  ),
  eth0("eth0: to a peer's address on net1", 'web eth0', (token, world) =>
    ip4(toWebEth0(world), { from: world.statsd.podIPs[0], to: world.web.ipv4 }, token),
  ),
  eth0(
    'eth0: ARP for a peer',
    'next to eth0',
    (token, world) => arpReply(toOther(world), { from: world.web.podIPs[0], to: world.other.ipv4 }) + token,
  ),
  eth0('eth0: NDP for a peer, from the own address', 'next to eth0', (token, world) =>
    neighbourAdvert(toOther(world), { from: world.statsd.podIPs[1], to: world.other.ipv6 }, world.web.podIPs[1], token),
  ),
  eth0('eth0: NDP for the node, from a link-local address', 'next to eth0', (token, world) =>
    neighbourAdvert(toOther(world), { from: 'fe80::1', to: world.other.ipv6 }, world.node.ipv6, token),
  ),
  eth0("eth0: duplicate address detection of a peer's address", 'next to eth0', (token, world) =>
    ethernet(
      { from: world.statsd.eth0Mac, to: '33:33:00:00:00:01' },
      0x86dd,
      packet6({ from: '::', to: 'ff02::1' }, 58, bytes('8700000000000000', hex6(world.web.podIPs[1]), token)),
    ),
  ),
  eth0('eth0: a router advertisement', 'next to eth0', (token, world) => routerAdvert(world.statsd.eth0Mac, token)),
  eth0('eth0: VLAN 0', 'next to eth0', (token, world) =>
    ethernet(
      toOther(world),
      0x8100,
      bytes(
        '00000800',
        packet4({ from: world.web.podIPs[0], to: world.other.ipv4 }, 17, datagram(9, token)).toString('hex'),
      ),
    ),
  ),
  eth0('eth0: LLC', 'next to eth0', (token, world) => ethernet(toOther(world), 0x0026, bytes('424203', token))),
  // Last: now the bridge believes that this MAC is here.
  eth0("eth0: a peer's MAC", 'other eth0', (token, world) =>
    ip4(
      { from: world.nextHop.web, to: toOther(world).to },
      { from: world.statsd.podIPs[0], to: world.other.ipv4 },
      token,
    ),
  ),
];

export const frameAttacks: readonly FrameAttack[] = [...beyond, ...forged, ...strange, ...byEth0];
