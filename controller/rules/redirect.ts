import { facadeMark } from './marks.ts';
import { loopback, type FamilyModel, type Model } from './model.ts';
import { linkMessages } from './link-messages.ts';
import { priority, type Chain, type NamedSet, type Table } from './nft.ts';

/**
 * The back end that carries loopback by NAT. The skeleton depends on the piece's role and its own addresses only, all
 * else is data in sets and maps, so that a change of flows is a change of elements.
 *
 * Every packet is judged twice, whatever NAT does to it: as it comes in, before DNAT, and as it leaves, after SNAT. On
 * net1 there is no "established accept": a connection whose flow is taken from the sets stops with its next packet.
 */
export function redirectTable(model: Model, marker: string): Table {
  const both = <T>(make: (names: Names) => readonly T[]): T[] => [
    ...make(namesOf(model.ipv4, model)),
    ...make(namesOf(model.ipv6, model)),
  ];
  return {
    marker,
    counters: ['spoofed', 'chatter', 'denied_in', 'denied_out', 'denied_eth0', 'denied_forward'],
    sets: [
      ...both(({ data, n, addr }) => dataSets(data, n, addr)),
      {
        name: 'facade_from',
        type: 'ether_addr',
        kind: 'set',
        elements: model.facadeFrom,
        comment: 'the primary, where it forwards ports of the Pod to this piece',
      },
      ...both(({ n, addr }) => recordSets(n, addr)),
    ],
    chains: [
      ...verdictChains(both),
      ...rawChains(both),
      ...inChains(both, model.role === 'primary'),
      ...natChains(both),
      ...(model.role === 'sibling' ? [replyChain] : []),
      ...outChains(both),
      ...forwardChains(both, model.role === 'primary'),
    ],
  };
}

/** One family's names in nft's language. */
interface Names {
  readonly data: FamilyModel;
  readonly primary: boolean;
  /** Suffix of sets: `4` or `6`. */
  readonly n: '4' | '6';
  readonly ip: 'ip' | 'ip6';
  readonly addr: 'ipv4_addr' | 'ipv6_addr';
  readonly lo: string;
  /** The only ICMP error that peers send each other: nobody listens. */
  readonly portUnreachable: string;
  /** ICMP errors that a client of the facade, or a router on the way to it, sends. */
  readonly unreachable: string;
}

type Both = (make: (names: Names) => readonly string[]) => string[];

function namesOf(data: FamilyModel, { role }: Model): Names {
  const primary = role === 'primary';
  const lo = loopback[data.family];
  return data.family === 'ipv4'
    ? {
        data,
        primary,
        n: '4',
        ip: 'ip',
        addr: 'ipv4_addr',
        lo,
        portUnreachable: 'icmp type destination-unreachable icmp code port-unreachable',
        unreachable: 'icmp type destination-unreachable',
      }
    : {
        data,
        primary,
        n: '6',
        ip: 'ip6',
        addr: 'ipv6_addr',
        lo,
        portUnreachable: 'icmpv6 type destination-unreachable icmpv6 code port-unreachable',
        unreachable: 'icmpv6 type { destination-unreachable, packet-too-big }',
      };
}

function dataSets(data: FamilyModel, n: string, addr: string): readonly NamedSet[] {
  const endpoint = `${addr} . inet_proto . inet_service`;
  const service = 'inet_proto . inet_service';
  const set = (name: string, type: string, elements: readonly string[], comment: string): NamedSet => ({
    name: `${name}${n}`,
    type,
    kind: 'set',
    elements,
    comment,
  });
  const map = (name: string, elements: readonly string[], comment: string): NamedSet => ({
    ...set(name, `${service} : ${addr}`, elements, comment),
    kind: 'map',
  });
  const interval = (name: string, elements: readonly string[], comment: string): NamedSet => ({
    ...set(name, addr, elements, comment),
    kind: 'interval',
  });
  return [
    set('self', addr, data.self === undefined ? [] : [data.self], 'this piece on net1'),
    set('peer', `ether_addr . ${addr}`, data.peers, 'identity is MAC with IP: the controller assigned both'),
    set('same', `${addr} . ${addr}`, data.same, 'the sender of an ICMP error is the peer that it quotes'),
    set('out', endpoint, data.out, 'flows from this piece'),
    set('in', endpoint, data.in, 'flows to this piece'),
    set('served', service, data.served, 'ports here that some peer may call'),
    map('redirect', data.redirect, 'loopback port -> the peer that listens there'),
    set('called', addr, data.called, 'addresses that mean "this Pod" to the program here'),
    set('own', addr, data.own, 'this piece on eth0'),
    set('primary_pod', addr, data.primaryPod, "the Pod's address, seen from a sibling"),
    interval('local', data.local, 'sources that become the net1 address on the wire'),
    set('pods', addr, data.pods, 'the other pieces on eth0'),
    set('node', addr, data.nodes, "where the kubelet's probes come from"),
    interval('pool', data.pool, "peer networks' addresses belong on net1 and nowhere else"),
    interval('never', data.never, 'what no client of the facade can have as its address'),
    set('facade', service, data.facadePorts, "siblings' ports that the Pod's address serves"),
    map('facade_to', data.facadeTo, 'port of the facade -> the sibling that serves it'),
    set('facade_out', endpoint, data.facadeOut, 'the same, as seen on net1'),
    set('facade_peer', `ether_addr . ${addr}`, data.facadePeers, 'siblings that serve the facade'),
  ];
}

/** Bounded, so that whoever is denied cannot fill the kernel's memory with it. */
function recordSets(n: string, addr: string): readonly NamedSet[] {
  return [
    {
      name: `tried${n}`,
      type: `ifname . ${addr} . ${addr} . inet_proto . inet_service`,
      kind: 'dynamic',
      properties: 'size 256; flags dynamic,timeout; timeout 1h;',
      elements: [],
      comment: 'who was denied what, how often: a log rule prints nothing from a network namespace of its own',
    },
    {
      name: `conns${n}`,
      type: `${addr} . mark`,
      kind: 'dynamic',
      properties: 'size 65536; flags dynamic;',
      elements: [],
      comment: 'open connections per peer and bucket: bounds the conntrack table',
    },
  ];
}

/**
 * nf_conncount walks a list for each new connection, so a peer's connections are counted in buckets by their source port:
 * what it costs stays small, and what a peer can hold is about 16,000 (clients of the facade together: 65,000).
 */
const buckets = 256;
const perPeer = 64;
const perFacade = 256;
const mark = `0x${facadeMark.toString(16)}`;

/** Where addresses and neighbours are fixed nobody needs NDP, MLD and IGMP, but kernels and bridges send them. */
const chatter: readonly string[] = [
  `icmpv6 type { ${[...new Set([...linkMessages.in, ...linkMessages.out])].join(', ')} } counter name chatter drop`,
  'meta l4proto igmp counter name chatter drop',
];

function verdictChains(both: Both): readonly Chain[] {
  const deny = (counter: string, note: string): readonly string[] => [
    `counter name ${counter}`,
    `limit rate 50/second burst 50 packets jump ${note}`,
    'drop',
  ];
  const note = (interfaceName: string): readonly string[] =>
    both(({ n, ip }) => [
      `meta nfproto ${ip === 'ip' ? 'ipv4' : 'ipv6'} meta l4proto { tcp, udp } update @tried${n} ` +
        `{ ${interfaceName} . ${ip} saddr . ${ip} daddr . meta l4proto . th dport counter }`,
    ]);
  return [
    { name: 'note_in', comment: 'record it, at a bounded rate', rules: note('iifname') },
    { name: 'note_out', comment: 'record it, at a bounded rate', rules: note('oifname') },
    { name: 'deny_in', comment: 'no flow to this piece says so', rules: deny('denied_in', 'note_in') },
    { name: 'deny_eth0', comment: 'not by eth0', rules: deny('denied_eth0', 'note_in') },
    { name: 'deny_out', comment: 'no flow from this piece says so', rules: deny('denied_out', 'note_out') },
    { name: 'spoof', comment: 'not who it says, or not for us', rules: ['counter name spoofed drop'] },
  ];
}

/** Before conntrack, so that nobody can fill its table: only a frame from a peer, as itself, to this piece. */
function rawChains(both: Both): readonly Chain[] {
  return [
    {
      name: 'raw_in',
      base: { type: 'filter', hook: 'prerouting', priority: priority.raw, policy: 'drop' },
      comment: "strong host: the peer network's addresses live on net1 only; the other pieces never come by eth0",
      rules: [
        'iifname "lo" accept',
        'iifname "net1" goto net1_raw',
        ...both(({ n, ip }) => [
          `${ip} daddr @pool${n} goto spoof`,
          `${ip} saddr @pool${n} goto spoof`,
          `${ip} saddr @pods${n} goto deny_eth0`,
        ]),
        'accept',
      ],
    },
    {
      name: 'net1_raw',
      comment: '127/8, ::1, link-local, multicast, router advertisements, own address as source: all fall to the end',
      rules: [
        ...chatter,
        'meta pkttype != host goto spoof',
        ...both(({ n, ip, primary }) => [
          `${ip} daddr @self${n} ether saddr . ${ip} saddr @peer${n} accept`,
          primary
            ? `ether saddr . ${ip} saddr @facade_peer${n} ${ip} daddr != @never${n} accept comment "a sibling answers a client"`
            : `ether saddr @facade_from ${ip} daddr @self${n} ${ip} saddr != @never${n} accept comment "a client, forwarded"`,
        ]),
        'goto spoof',
      ],
    },
  ];
}

function inChains(both: Both, primary: boolean): readonly Chain[] {
  return [
    {
      name: 'filter_in',
      base: { type: 'filter', hook: 'prerouting', priority: priority.mangle, policy: 'drop' },
      comment: 'after conntrack, before DNAT and routing: what is delivered here and what is forwarded',
      rules: ['iifname "lo" accept', 'iifname "net1" goto net1_in', 'goto eth0_in'],
    },
    {
      name: 'net1_in',
      comment: 'every packet, established ones too, belongs to a connection that the sets allow now',
      rules: [
        'ct state invalid goto deny_in',
        `ct mark ${mark} goto facade_in`,
        'ct state related goto related_in',
        // A one-way UDP flow stays "new" as long as it sends: only its first packet is not yet confirmed.
        'ct state new ct status & confirmed == 0 jump new_in',
        ...both(({ n, ip }) => [
          `${ip} daddr != @self${n} goto deny_in`,
          `ct direction original ${ip} saddr . meta l4proto . th dport @in${n} accept`,
          `ct direction reply ${ip} saddr . meta l4proto . th sport @out${n} accept`,
        ]),
        'goto deny_in',
      ],
    },
    {
      name: 'new_in',
      comment: 'the first packet of a connection',
      rules: [
        'meta l4proto tcp tcp flags & (fin|syn|rst|ack) != syn goto deny_in',
        `meta mark set jhash th sport mod ${buckets}`,
        ...both(({ n, ip }) => [
          `${ip} saddr . meta l4proto . th dport @in${n} ` +
            `add @conns${n} { ${ip} saddr . meta mark ct count over ${perPeer} } goto deny_in`,
          ...(primary ? [] : facadeOpen(n, ip)),
        ]),
        'meta mark set 0',
      ],
    },
    {
      name: 'related_in',
      comment: 'only "port unreachable", and only from the peer whose connection it quotes',
      rules: [
        ...both(({ n, ip, portUnreachable }) => [
          `${portUnreachable} ${ip} saddr . ct reply ${ip} saddr @same${n} accept`,
          `${portUnreachable} ${ip} saddr . ct original ${ip} saddr @same${n} accept`,
        ]),
        'goto deny_in',
      ],
    },
    {
      name: 'facade_in',
      comment: 'connections of the facade, on net1',
      rules: [
        ...both(({ n, ip, portUnreachable, unreachable }) =>
          primary
            ? [
                `ct direction reply ether saddr . ${ip} saddr @facade_peer${n} ` +
                  `${ip} saddr . meta l4proto . th sport @facade_out${n} accept`,
                `ct state related ${portUnreachable} ${ip} saddr . ct reply ${ip} saddr @same${n} accept`,
              ]
            : [
                `ct direction original ether saddr @facade_from ${ip} saddr != @never${n} ` +
                  `meta l4proto . th dport @facade${n} accept`,
                `ct state related ether saddr @facade_from ${unreachable} accept`,
              ],
        ),
        'goto deny_in',
      ],
    },
    {
      name: 'eth0_in',
      comment: 'a sibling takes new connections from its node only: probes',
      rules: [
        `icmpv6 type { ${linkMessages.in.join(', ')} } accept`,
        ...both(({ n, ip }) => (primary ? facadeEntry(n, ip) : [])),
        'ct state established,related accept',
        ...(primary ? ['accept'] : [...both(({ n, ip }) => [`${ip} saddr @node${n} accept`]), 'goto deny_eth0']),
      ],
    },
  ];
}

function facadeOpen(n: string, ip: string): readonly string[] {
  const client = `ether saddr @facade_from ${ip} saddr != @never${n} meta l4proto . th dport @facade${n}`;
  return [
    `${client} add @conns${n} { ${ip} daddr . meta mark ct count over ${perFacade} } goto deny_in`,
    `${client} ct mark set ${mark} meta mark set 0 accept`,
  ];
}

/** An invalid packet would not be DNATed: the primary's own stack would answer it with a reset and end the connection. */
function facadeEntry(n: string, ip: string): readonly string[] {
  const entry = `${ip} daddr @own${n} meta l4proto . th dport @facade${n}`;
  return [`ct state invalid ${entry} goto deny_eth0`, `ct state new ${entry} ct mark set ${mark} accept`];
}

function natChains(both: Both): readonly Chain[] {
  return [
    {
      name: 'dnat_out',
      base: { type: 'nat', hook: 'output', priority: priority.dnat, policy: 'accept' },
      comment: 'the redirect: a port that is in no flow goes where it went',
      rules: both(({ n, ip, primary, data }) => [
        `${ip} daddr @called${n} dnat ${ip} to meta l4proto . th dport map @redirect${n}`,
        ...(primary || data.podIP === undefined
          ? []
          : [
              `${ip} daddr @primary_pod${n} meta l4proto . th dport @facade${n} dnat ${ip} to ${data.podIP} ` +
                'comment "a sibling calls itself at the Pod\'s address"',
            ]),
      ]),
    },
    {
      name: 'dnat_in',
      base: { type: 'nat', hook: 'prerouting', priority: priority.dnat, policy: 'accept' },
      comment:
        'to loopback, where listeners on 0.0.0.0 and on 127.0.0.1 both get it; the facade to the own eth0 address',
      rules: both(({ n, ip, lo, primary, data }) => [
        ...(primary ? [`ct mark ${mark} dnat ${ip} to meta l4proto . th dport map @facade_to${n}`] : []),
        ...(!primary && data.podIP !== undefined
          ? [`iifname "net1" ct mark ${mark} meta nfproto ${nfproto(ip)} dnat ${ip} to ${data.podIP}`]
          : []),
        `iifname "net1" ct mark != ${mark} ${ip} daddr @self${n} meta l4proto . th dport @served${n} dnat ${ip} to ${lo}`,
      ]),
    },
    {
      name: 'snat_in',
      base: { type: 'nat', hook: 'input', priority: priority.snat, policy: 'accept' },
      comment: 'the program sees a client on its own loopback, as in one Pod',
      rules: both(({ ip, lo }) => [`iifname "net1" ${ip} daddr ${lo} snat ${ip} to ${lo}`]),
    },
    {
      name: 'snat_out',
      base: { type: 'nat', hook: 'postrouting', priority: priority.snat, policy: 'accept' },
      comment: 'peers know this piece by its net1 address',
      rules: both(({ n, ip, data }) =>
        data.self === undefined ? [] : [`oifname "net1" ${ip} saddr @local${n} snat ${ip} to ${data.self}`],
      ),
    },
  ];
}

function nfproto(ip: 'ip' | 'ip6'): string {
  return ip === 'ip' ? 'ipv4' : 'ipv6';
}

const replyChain: Chain = {
  name: 'facade_reply',
  base: { type: 'route', hook: 'output', priority: priority.mangle, policy: 'accept' },
  comment: 'answers to clients of the facade go back through the primary (ip rule fwmark)',
  rules: [`ct mark ${mark} meta mark set ${mark}`],
};

/** POSTROUTING, because OUTPUT still says "lo" for redirected packets; after SNAT, to judge what goes on the wire. */
function outChains(both: Both): readonly Chain[] {
  return [
    {
      name: 'filter_out',
      base: { type: 'filter', hook: 'postrouting', priority: priority.afterSnat, policy: 'drop' },
      comment: 'what this piece sends and what it forwards, as it leaves',
      rules: ['oifname "lo" accept', 'oifname "net1" goto net1_out', 'goto eth0_out'],
    },
    {
      name: 'net1_out',
      comment: 'own address as source (IP_TRANSPARENT, IPV6_FREEBIND and raw sockets forge it), and a flow',
      rules: [
        ...chatter,
        `ct mark ${mark} goto facade_net1_out`,
        ...both(({ n, ip }) => [`${ip} saddr != @self${n} goto deny_out`]),
        'ct state related goto related_out',
        ...both(({ n, ip }) => [
          `ct direction original ${ip} daddr . meta l4proto . th dport @out${n} accept`,
          `ct direction reply ${ip} daddr . meta l4proto . th sport @in${n} accept`,
        ]),
        'goto deny_out',
      ],
    },
    {
      name: 'related_out',
      comment: 'only "port unreachable"',
      rules: [...both(({ portUnreachable }) => [`${portUnreachable} accept`]), 'goto deny_out'],
    },
    {
      name: 'facade_net1_out',
      comment: 'connections of the facade, on net1',
      rules: [
        ...both(({ n, ip, primary, portUnreachable, unreachable }) =>
          primary
            ? [
                `ct direction original ${ip} saddr != @never${n} ` +
                  `${ip} daddr . meta l4proto . th dport @facade_out${n} accept`,
                `ct state related ${unreachable} accept`,
              ]
            : [
                `ct direction reply ${ip} saddr @self${n} ${ip} daddr != @never${n} ` +
                  `meta l4proto . th sport @facade${n} accept`,
                `ct state related ${ip} saddr @self${n} ${portUnreachable} accept`,
              ],
        ),
        'goto deny_out',
      ],
    },
    {
      name: 'eth0_out',
      comment: 'as itself, and not to the other pieces',
      rules: [
        `icmpv6 type { ${linkMessages.out.join(', ')} } accept`,
        ...both(({ n, ip }) => [
          `${ip} daddr @pods${n} goto deny_out`,
          `${ip} daddr @pool${n} goto deny_out`,
          `${ip} saddr @pool${n} goto deny_out`,
        ]),
        'ip saddr 127.0.0.0/8 goto deny_out',
        'ip6 saddr ::1 goto deny_out',
        `ct mark ${mark} goto facade_eth0_out`,
        'fib saddr type != local goto deny_out',
        'accept',
      ],
    },
    {
      name: 'facade_eth0_out',
      comment: "the primary sends siblings' answers as its own; a sibling never answers by eth0",
      rules: [
        ...both(({ n, ip, primary, unreachable }) =>
          primary
            ? [
                `ct direction reply ${ip} saddr @own${n} accept`,
                `ct state related ${ip} saddr @own${n} ${unreachable} accept`,
              ]
            : [],
        ),
        'goto deny_out',
      ],
    },
  ];
}

function forwardChains(both: Both, primary: boolean): readonly Chain[] {
  return [
    {
      name: 'forward',
      base: { type: 'filter', hook: 'forward', priority: priority.filter, policy: 'drop' },
      comment: 'no piece is a router; the primary carries the facade and nothing else',
      rules: [
        ...(primary ? [`ct status dnat ct mark ${mark} goto facade_forward`] : []),
        'counter name denied_forward drop',
      ],
    },
    ...(primary
      ? [
          {
            name: 'facade_forward',
            comment: 'removing a port of the facade cuts its connections too',
            rules: [
              ...both(({ n, ip, unreachable }) => [
                `oifname "net1" ct direction original ${ip} daddr . meta l4proto . th dport @facade_out${n} accept`,
                `iifname "net1" ct direction reply ${ip} saddr . meta l4proto . th sport @facade_out${n} accept`,
                `ct state related ${unreachable} accept`,
              ]),
              'counter name denied_forward drop',
            ],
          },
        ]
      : []),
  ];
}
