import { appears } from './attacks.ts';
import { arpReply, datagram, ethernet, packet4, packet6, type Addresses } from './frames.ts';
import { eth0Mac, node, otherPod, outside, sites, type Lab, type PieceName } from './lab.ts';

/**
 * Frames that statsd writes past its own table (CAP_NET_RAW is one of Kubernetes' defaults), and where they are heard. The
 * tables of all pieces are loaded: what is meant for a piece is dropped in it, after it arrived; the node, other workloads
 * and the outside have no table of ours.
 */
export interface HostAttack {
  readonly name: string;
  readonly by: { readonly piece: PieceName; readonly device: 'net1' | 'eth0'; readonly bypass?: boolean };
  /** The frame, with this text somewhere in it. */
  readonly frame: (token: string, lab: Lab) => string;
  readonly heard: Ear;
}

export type Ear = (typeof ears)[number];

/** Who listens where; LLDP is not bridged, and is heard behind the filter of the port that it came in by. */
export const ears = [
  { who: 'web', device: 'net1' },
  { who: 'web', device: 'eth0' },
  { who: 'node', device: 'ps-peers' },
  { who: 'node', device: 'net1-statsd', protocol: 0x88cc },
  { who: 'node', device: 'cni0' },
  { who: 'other', device: 'eth0' },
  { who: 'outside', device: 'eth0' },
] as const;

const [atWeb, atWebEth0, atNode, atPort, atCni, atOther, atOutside] = ears;
const { web, cache, statsd } = sites;
const toWeb: Addresses = { from: statsd.mac, to: web.mac };
const asCache: Addresses = { from: cache.ipv4, to: web.ipv4 };
const asCache6: Addresses = { from: cache.ipv6, to: web.ipv6 };
const asSelf: Addresses = { from: statsd.ipv4, to: web.ipv4 };
const asSelf6: Addresses = { from: statsd.ipv6, to: web.ipv6 };
const stranger = { ipv4: '203.0.113.7', ipv6: '2001:db8:7::7' };
const serviceIP = '10.96.0.10';

function ip4(mac: Addresses, ip: Addresses, token: string, port = 9105): string {
  return ethernet(mac, 0x0800, packet4(ip, 17, datagram(port, token)));
}

function ip6(mac: Addresses, ip: Addresses, token: string, port = 9105): string {
  return ethernet(mac, 0x86dd, packet6(ip, 17, datagram(port, token)));
}

function bytes(...parts: readonly string[]): Buffer {
  return Buffer.from(parts.join(''), 'hex');
}

const hex6 = (address: string): string => packet6({ from: address, to: address }, 59, bytes()).toString('hex', 8, 24);

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
function net1(name: string, heard: Ear, frame: HostAttack['frame']): HostAttack {
  return { name, by: { piece: 'statsd', device: 'net1' }, heard, frame };
}

function other4(name: string, protocol: number, head = ''): HostAttack {
  return net1(name, atWeb, (token) => ethernet(toWeb, 0x0800, packet4(asSelf, protocol, bytes(head, token))));
}

function other6(name: string, next: number, head: string): HostAttack {
  return net1(name, atWeb, (token) => ethernet(toWeb, 0x86dd, packet6(asSelf6, next, bytes(head, token))));
}

function bridgeMac(lab: Lab, device = 'ps-peers'): string {
  return lab.node.run(['cat', `/sys/class/net/${device}/address`]).trim();
}

const toNode = (lab: Lab): Addresses => ({ from: statsd.mac, to: bridgeMac(lab) });

const beyond: readonly HostAttack[] = [
  net1("the node at its bridge's link-local address", atNode, (token, lab) => {
    const address = /inet6 (fe80[^/]+)/.exec(lab.node.run(['ip', '-6', 'address', 'show', 'dev', 'ps-peers']))?.[1];
    return ip6(toNode(lab), { from: 'fe80::4', to: String(address) }, token, 10250);
  }),
  net1('the node by the MAC of the bridge, at any of its addresses, from anywhere', atNode, (token, lab) =>
    ip4(toNode(lab), { from: stranger.ipv4, to: node.ipv4 }, token),
  ),
  net1('another workload, with the node as router', atOther, (token, lab) =>
    ip4(toNode(lab), { from: statsd.ipv4, to: otherPod.ipv4 }, token),
  ),
  net1('another workload, with the node as router, over IPv6', atOther, (token, lab) =>
    ip6(toNode(lab), { from: stranger.ipv6, to: otherPod.ipv6 }, token),
  ),
  net1("the outside, with the node as router and the app's Pod IP as source", atOutside, (token, lab) =>
    ip4(toNode(lab), { from: web.podIPs[0], to: outside.ipv4 }, token),
  ),
];

/**
 * A frame for the primary, to the address of a Service: where the node's netfilter sees bridged frames it turns it towards
 * the backend. The filter takes it for an answer to a client of the facade, and so only `fwd` closes this for a sibling
 * that serves it: there it ends in the primary, which knows no such client.
 */
export const serviceAttack: HostAttack = net1('a Service, in a frame that is bridged', atOther, (token) =>
  ip4(toWeb, { from: statsd.ipv4, to: serviceIP }, token, 53),
);

const forged: readonly HostAttack[] = [
  net1("a peer's address with the own MAC", atWeb, (token) => ip4(toWeb, asCache, token)),
  net1("a peer's MAC and address", atWeb, (token) => ip4({ from: cache.mac, to: web.mac }, asCache, token)),
  net1("a facade client's address", atWeb, (token) => ip4(toWeb, { from: outside.ipv4, to: web.ipv4 }, token)),
  net1('127.0.0.1 of the neighbour', atWeb, (token) => ip4(toWeb, { from: statsd.ipv4, to: '127.0.0.1' }, token)),
  net1('broadcast MAC, address of a peer', atWeb, (token) =>
    ip4({ from: statsd.mac, to: 'ff:ff:ff:ff:ff:ff' }, asSelf, token),
  ),
  net1('ARP: a peer is here', atWeb, (token) => arpReply(toWeb, asCache) + token),
  net1('NDP: a peer is here', atWeb, (token) => neighbourAdvert(toWeb, asSelf6, cache.ipv6, token)),
  net1('a router advertisement', atWeb, (token) => routerAdvert(statsd.mac, token)),
  net1('a fragment with a forged source', atWeb, (token) =>
    ethernet(toWeb, 0x0800, packet4(asCache, 17, bytes(token), '', 1480)),
  ),
  net1('a fragment with a forged source, over IPv6', atWeb, (token) =>
    ethernet(toWeb, 0x86dd, packet6(asCache6, 44, bytes('1100000800000001', token))),
  ),
  net1('ICMP echo', atWeb, (token) => ethernet(toWeb, 0x0800, packet4(asSelf, 1, bytes('0800000000010001', token)))),
  net1('an ICMP redirect', atWeb, (token) =>
    ethernet(toWeb, 0x0800, packet4(asSelf, 1, bytes('05010000c6120004', token))),
  ),
  net1('an ICMP fragment', atWeb, (token) => ethernet(toWeb, 0x0800, packet4(asSelf, 1, bytes(token), '', 8))),
  {
    ...net1("a peer's address, past every hook of the sender (PACKET_QDISC_BYPASS)", atWeb, (token) =>
      ip4(toWeb, asCache, token),
    ),
    by: { piece: 'statsd', device: 'net1', bypass: true },
  },
];

const strange: readonly HostAttack[] = [
  net1('VLAN 0', atWeb, (token) =>
    ethernet(toWeb, 0x8100, bytes('00000800', packet4(asSelf, 17, datagram(9102, token)).toString('hex'))),
  ),
  net1('VLAN 5', atWeb, (token) =>
    ethernet(toWeb, 0x8100, bytes('00050800', packet4(asSelf, 17, datagram(9102, token)).toString('hex'))),
  ),
  net1('QinQ', atWeb, (token) =>
    ethernet(toWeb, 0x88a8, bytes('00058100', '00050800', packet4(asSelf, 17, datagram(9102, token)).toString('hex'))),
  ),
  net1('LLC', atWeb, (token) => ethernet(toWeb, 0x0026, bytes('424203', token))),
  net1('LLDP', atPort, (token) => ethernet({ from: statsd.mac, to: '01:80:c2:00:00:0e' }, 0x88cc, bytes(token))),
  net1('PPPoE', atWeb, (token) => ethernet(toWeb, 0x8864, bytes(token))),
  net1('source routing', atWeb, (token) =>
    ethernet(toWeb, 0x0800, packet4(asSelf, 17, datagram(9102, token), '8307040a4d000900')),
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
  other6('ICMPv6 in an IPv6 fragment', 44, '3a00000100000001'),
];

const statsdEth0 = eth0Mac(statsd.mac);
const [podIP, podIP6] = statsd.podIPs;

function eth0(name: string, heard: Ear, frame: HostAttack['frame']): HostAttack {
  return { name, by: { piece: 'statsd', device: 'eth0' }, heard, frame };
}

const toOther: Addresses = { from: statsdEth0, to: '0a:00:00:00:00:09' };
const toWebEth0: Addresses = { from: statsdEth0, to: eth0Mac(web.mac) };

const byEth0: readonly HostAttack[] = [
  eth0("eth0: a peer's Pod IP as source", atOther, (token) =>
    ip4(toOther, { from: web.podIPs[0], to: otherPod.ipv4 }, token),
  ),
  eth0("eth0: a peer's Pod IP as source, over IPv6", atOther, (token) =>
    ip6(toOther, { from: web.podIPs[1], to: otherPod.ipv6 }, token),
  ),
  eth0('eth0: anybody as source', atCni, (token, lab) =>
    ip4({ from: statsdEth0, to: bridgeMac(lab, 'cni0') }, { from: stranger.ipv4, to: node.ipv4 }, token),
  ),
  eth0('eth0: an address of the peer network as source', atOther, (token) =>
    ip4(toOther, { from: cache.ipv4, to: otherPod.ipv4 }, token),
  ),
  eth0("eth0: to a peer's Pod IP", atWebEth0, (token) => ip4(toWebEth0, { from: podIP, to: web.podIPs[0] }, token)),
  eth0("eth0: to a peer's Pod IP, over IPv6", atWebEth0, (token) =>
    ip6(toWebEth0, { from: podIP6, to: web.podIPs[1] }, token),
  ),
  eth0("eth0: to a peer's address on net1", atWebEth0, (token) => ip4(toWebEth0, { from: podIP, to: web.ipv4 }, token)),
  eth0(
    'eth0: ARP for a peer',
    atOther,
    (token) => arpReply(toOther, { from: web.podIPs[0], to: otherPod.ipv4 }) + token,
  ),
  eth0('eth0: NDP for a peer, from the own address', atOther, (token) =>
    neighbourAdvert(toOther, { from: podIP6, to: otherPod.ipv6 }, web.podIPs[1], token),
  ),
  eth0('eth0: NDP for the node, from a link-local address', atOther, (token) =>
    neighbourAdvert(toOther, { from: 'fe80::1', to: otherPod.ipv6 }, node.ipv6, token),
  ),
  eth0("eth0: duplicate address detection of a peer's address", atOther, (token) =>
    ethernet(
      { from: statsdEth0, to: '33:33:00:00:00:01' },
      0x86dd,
      packet6({ from: '::', to: 'ff02::1' }, 58, bytes('8700000000000000', hex6(web.podIPs[1]), token)),
    ),
  ),
  eth0('eth0: a router advertisement', atOther, (token) => routerAdvert(statsdEth0, token)),
  eth0('eth0: VLAN 0', atOther, (token) =>
    ethernet(
      toOther,
      0x8100,
      bytes('00000800', packet4({ from: web.podIPs[0], to: otherPod.ipv4 }, 17, datagram(9, token)).toString('hex')),
    ),
  ),
  eth0('eth0: LLC', atOther, (token) => ethernet(toOther, 0x0026, bytes('424203', token))),
  // Last: now the bridge believes that this MAC is here.
  eth0("eth0: a peer's MAC", atOther, (token) =>
    ip4({ from: eth0Mac(web.mac), to: toOther.to }, { from: podIP, to: otherPod.ipv4 }, token),
  ),
];

export const hostAttacks: readonly HostAttack[] = [...beyond, ...forged, ...strange, ...byEth0];

/** The node's netfilter sees bridged frames, as Kubernetes nodes often have it, and knows a Service with its backend. */
export async function withService<T>(lab: Lab, run: () => Promise<T>): Promise<T> {
  const seen = (value: 0 | 1): unknown =>
    lab.node.run(['sysctl', '-qw', `net.bridge.bridge-nf-call-iptables=${value}`]);
  seen(1);
  lab.node.run(
    ['nft', '-f', '-'],
    `table ip services { chain prerouting { type nat hook prerouting priority dstnat;
       ip daddr ${serviceIP} udp dport 53 dnat to ${otherPod.ipv4}:9500; }; }`,
  );
  try {
    return await run();
  } finally {
    lab.node.run(['nft', 'delete', 'table', 'ip', 'services']);
    seen(0);
  }
}

let tokens = 0;

/** Whether the frame arrives within so many seconds. */
export async function arrives(lab: Lab, attack: HostAttack, patience: number): Promise<boolean> {
  const { by, heard } = attack;
  const token = (0x9e3779b97f4a0000n + BigInt(++tokens)).toString(16);
  await lab[by.piece].must('frames', {
    interface: by.device,
    data: [attack.frame(token, lab)],
    bypass: by.bypass ?? false,
  });
  return appears(
    patience,
    async () => (await lab[heard.who].must('heard', { interface: heard.device, token })) === true,
  );
}
