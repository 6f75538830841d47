import type { HostPart } from './host-net1.ts';
import type { HostEth0, HostSide } from './host.ts';
import { linkMessages } from './link-messages.ts';
import { priority, type Chain, type NamedSet } from './nft.ts';
import type { Both, Names } from './redirect-names.ts';

/**
 * The node's part of docs/decisions/0018-the-unavoidable-proxy.md: what a packet socket in a kept piece, or in its proxy's, cannot pass
 * around. The sets of net1 are there in every table; the chains of eth0 only where the piece is kept, because they look at
 * every frame that goes to it.
 */
export function viaSets({ wiring }: HostSide, { data, n, addr }: Names): readonly NamedSet[] {
  const { mac } = wiring.self;
  const { self, via } = data;
  const carries = via.carried.length + via.carriedPorts.length > 0;
  const kept = wiring.via?.find(({ from }) => from === wiring.piece);
  const proxies = carries && self !== undefined ? wiring.peers.filter(({ name }) => name === kept?.to) : [];
  const set = (name: string, elements: readonly string[], comment: string): NamedSet => ({
    name: `${name}${n}`,
    type: `ether_addr . ether_addr . ${addr}`,
    kind: 'set',
    elements,
    comment,
  });
  return [
    set(
      'via_to',
      proxies.map((proxy) => `${mac} . ${proxy.mac} . ${self ?? ''}`),
      "this piece's MAC, its proxy's MAC, this piece's address: to any address",
    ),
    set(
      'via_back',
      via.clients.map((client) => `${mac} . ${client}`),
      "this piece's MAC, MAC and address of a piece that is carried here: from any address",
    ),
  ];
}

/** In the chain of frames that are no flow's. */
export function viaFrames({ n, ip }: Names): readonly string[] {
  return [
    `ether saddr . ether daddr . ${ip} saddr @via_to${n} ${ip} daddr != @never${n} goto deliver`,
    `ether saddr . ether daddr . ${ip} daddr @via_back${n} ${ip} saddr != @never${n} goto deliver`,
  ];
}

/** Of TCP the handshake's first packet is forgotten soon, so that nobody fills the set with beginnings. */
const remember = { beginning: '1m', tcp: '1h', udp: '3m', host: '3m' } as const;
const most = 65_536;

/** For a kept piece: what came to it by eth0, and what it may therefore send there. */
export function keptEth0(eth0: HostEth0, both: Both): HostPart {
  return {
    counters: ['host_eth0_kept'],
    sets: [...both(keptSets), neighbours],
    chains: [
      {
        name: 'eth0_to_piece',
        base: { type: 'filter', hook: 'egress', device: eth0.device, priority: priority.ingress, policy: 'accept' },
        comment: 'who sends what to the piece: it may answer, and nothing else',
        rules: [
          'ether type ip6 icmpv6 type nd-neighbor-solicit ip6 hoplimit 255 update @eth0_neighbour { ip6 saddr } accept',
          ...both(({ n, ip, primary }) => [
            // A sibling's own table takes nothing from others, so there is nothing that it would answer.
            `ether type ${ip}${primary ? '' : ` ${ip} saddr @node${n}`} goto called_${ip}`,
          ]),
        ],
      },
      ...both(calledChains),
      ...both(keptChains),
      {
        name: 'eth0_kept',
        comment: 'to nobody who called',
        rules: ['counter name host_eth0_kept drop'],
      },
    ],
  };
}

function keptSets({ data, n, addr, primary }: Names): readonly NamedSet[] {
  const nodes: NamedSet = {
    name: `node${n}`,
    type: addr,
    kind: 'set',
    elements: data.nodes,
    comment: "where the kubelet's probes come from",
  };
  return [
    {
      name: `eth0_call${n}`,
      type: `${addr} . inet_proto . inet_service . inet_service`,
      kind: 'dynamic',
      properties: `size ${most}; flags dynamic,timeout; timeout ${remember.tcp};`,
      elements: [],
      comment: 'who called, from which port, and at which port here',
    },
    {
      name: `eth0_caller${n}`,
      type: addr,
      kind: 'dynamic',
      properties: `size ${most}; flags dynamic,timeout; timeout ${remember.host};`,
      elements: [],
      comment: 'who sent anything: may be told of errors, and get fragments and echos',
    },
    {
      name: `resolver${n}`,
      type: `${addr} . inet_proto . inet_service`,
      kind: 'set',
      elements: data.via.resolvers,
      comment: 'all that the piece may call by itself',
    },
    // The primary's are there for its policies.
    ...(primary ? [] : [nodes]),
  ];
}

const neighbours: NamedSet = {
  name: 'eth0_neighbour',
  type: 'ipv6_addr',
  kind: 'dynamic',
  properties: 'size 1024; flags dynamic,timeout; timeout 2m;',
  elements: [],
  comment: 'who asked where this piece is',
};

function calledChains({ n, ip }: Names): readonly Chain[] {
  const call = (timeout: string): string =>
    `update @eth0_call${n} { ${ip} saddr . meta l4proto . th sport . th dport timeout ${timeout} }`;
  return [
    {
      name: `called_${ip}`,
      comment: 'from whom, to which port',
      rules: [
        `update @eth0_caller${n} { ${ip} saddr }`,
        `meta l4proto tcp tcp flags & (fin|syn|rst|ack) == syn ${call(remember.beginning)} accept`,
        `meta l4proto tcp ${call(remember.tcp)} accept`,
        `meta l4proto udp ${call(remember.udp)} accept`,
      ],
    },
  ];
}

function keptChains({ n, ip }: Names): readonly Chain[] {
  const errors =
    ip === 'ip'
      ? 'icmp type { echo-reply, destination-unreachable }'
      : 'icmpv6 type { echo-reply, destination-unreachable }';
  const later = ip === 'ip' ? 'ip frag-off & 0x1fff != 0' : 'ip6 nexthdr 44';
  return [
    {
      name: `kept_${ip}`,
      comment: 'an answer to a call, or a call of a resolver; policies may narrow it',
      rules: [
        `meta l4proto { tcp, udp } ${ip} daddr . meta l4proto . th dport . th sport @eth0_call${n} return`,
        `meta l4proto { tcp, udp } ${ip} daddr . meta l4proto . th dport @resolver${n} return`,
        `${errors} ${ip} daddr @eth0_caller${n} return`,
        `${later} ${ip} daddr @eth0_caller${n} return comment "what is behind a first fragment"`,
        ...(ip === 'ip6' ? [`icmpv6 type { ${linkMessages.out.join(', ')} } goto kept_link`] : []),
        'goto eth0_kept',
      ],
    },
    ...(ip === 'ip6' ? [keptLink] : []),
  ];
}

/** A router forwards neighbour discovery as it does anything else, and whoever listens behind it would read. */
const keptLink: Chain = {
  name: 'kept_link',
  comment: 'neighbour discovery goes no further than the link',
  rules: ['ip6 daddr { fe80::/10, ff02::/16 } accept', 'ip6 daddr @eth0_neighbour accept', 'goto eth0_kept'],
};
