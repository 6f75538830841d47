import { linkMessages } from './link-messages.ts';
import { inboundMark, viaMark } from './marks.ts';
import type { Model } from './model.ts';
import { priority, type Chain, type NamedSet } from './nft.ts';
import { ingressJumps } from './redirect-ingress.ts';
import { mark, type Both, type Names } from './redirect-names.ts';

/**
 * The unavoidable proxy (docs/decisions/0018-the-unavoidable-proxy.md). In the piece that is kept: nothing new leaves by
 * eth0, and what routing would send there goes to the proxy, if it is carried. In the proxy's piece: what comes so is turned to
 * its loopback, and answers go back as whom they were asked. Without the annotation every set here is empty, and no
 * packet meets more than one of these rules.
 */
export function viaSets(model: Model, both: Both): readonly NamedSet[] {
  return [
    {
      name: 'kept',
      type: 'nf_proto',
      kind: 'set',
      elements: model.keptBy === undefined ? [] : ['ipv4', 'ipv6'],
      comment: 'nothing new leaves by eth0: this piece has another way out',
    },
    {
      name: 'via_by',
      type: 'ether_addr',
      kind: 'set',
      elements: model.viaBy,
      comment: 'the proxy that it is carried to',
    },
    ...both(familySets),
    {
      name: 'neighbours',
      type: 'ipv6_addr',
      kind: 'dynamic',
      properties: 'size 1024; flags dynamic,timeout; timeout 2m;',
      elements: [],
      comment: 'who asked on the link of eth0 where this piece is: they are answered',
    },
  ];
}

function familySets({ data: { via }, n, addr }: Names): readonly NamedSet[] {
  const endpoint = `${addr} . inet_proto . inet_service`;
  const set = (name: string, type: string, elements: readonly string[], comment: string): NamedSet => ({
    name: `${name}${n}`,
    type,
    kind: 'set',
    elements,
    comment,
  });
  return [
    set('carried', 'inet_proto', via.carried, 'goes to the proxy, wherever it was sent to'),
    set('carried_ports', 'inet_proto . inet_service', via.carriedPorts, 'the same of one port'),
    set('resolver', endpoint, via.resolvers, 'all that a kept piece reaches by eth0'),
    set('via_client', `ether_addr . ${addr}`, via.clients, 'pieces that are carried here'),
    set('via', `${addr} . inet_proto`, via.taken, 'what they send to anywhere'),
    set('via_ports', endpoint, via.takenPorts, 'the same of one port'),
    {
      ...set('via_to', `${addr} : ${addr} . inet_service`, via.to, 'where the proxy listens for a client'),
      kind: 'map',
    },
  ];
}

const inbound = `0x${inboundMark.toString(16)}`;
const carried = `0x${viaMark.toString(16)}`;

/** In eth0_in. A packet that the piece sends itself by lo could else pass for a connection from outside. */
export const inboundRules: readonly string[] = [
  'icmpv6 type nd-neighbor-solicit ip6 hoplimit 255 meta nfproto @kept update @neighbours { ip6 saddr }',
  `ct state new ct mark 0 ct mark set ${inbound}`,
];

/** In net1_raw: to or from an address beyond the peer network, but only between a client and its proxy. */
export function viaRaw({ n, ip }: Names): readonly string[] {
  return [
    `ether saddr . ${ip} saddr @via_client${n} ${ip} daddr != @never${n} accept comment "carried to this proxy"`,
    `ether saddr @via_by ${ip} daddr @self${n} ${ip} saddr != @never${n} accept comment "the proxy answers"`,
  ];
}

/** In new_in: a client's connections are counted as those of its flows are. */
export function viaNew({ n, ip }: Names, limit: (n: string, ip: string) => string): readonly string[] {
  return [
    `${ip} daddr != @self${n} ${ip} saddr . meta l4proto @via${n} ${limit(n, ip)}`,
    `${ip} daddr != @self${n} ${ip} saddr . meta l4proto . th dport @via_ports${n} ${limit(n, ip)}`,
  ];
}

/** In net1_in, of the kept piece: its proxy's answers. */
export function viaAnswers({ n, ip }: Names): readonly string[] {
  const answer = `ct direction reply ether saddr @via_by ${ip} saddr != @never${n}`;
  return [`${answer} meta l4proto @carried${n} accept`, `${answer} meta l4proto . th sport @carried_ports${n} accept`];
}

/** In related_in, of the kept piece: nobody listens at its proxy. */
export function viaUnreachable({ n, ip, portUnreachable }: Names): readonly string[] {
  return [
    `${portUnreachable} ether saddr @via_by ${ip} saddr != @never${n} ct original ${ip} daddr != @never${n} accept`,
  ];
}

/** In net1_out, of the kept piece. Policies say of its own network whom it may call: the proxy is the way, not the target. */
export function viaOut({ n, ip }: Names): readonly string[] {
  const outside = `ct direction original ${ip} daddr != @never${n}`;
  return [
    `${outside} meta l4proto @carried${n} goto pod_out`,
    `${outside} meta l4proto . th dport @carried_ports${n} goto pod_out`,
  ];
}

/** In dnat_in, of the proxy: to loopback, as its flows are. One port of its own comes before all of TCP. */
export function viaDnat({ n, ip, lo }: Names): readonly string[] {
  const client = `iifname "net1" ct mark != ${mark} ${ip} daddr != @self${n} ${ip} daddr != @never${n}`;
  return [
    `${client} ${ip} saddr . meta l4proto . th dport @via_ports${n} dnat ${ip} to ${lo}`,
    `${client} ${ip} saddr . meta l4proto @via${n} meta l4proto tcp dnat ${ip} to ${ip} saddr map @via_to${n}`,
  ];
}

export function viaChains(both: Both): readonly Chain[] {
  return [
    {
      name: 'via_in',
      comment: 'net1, not to this piece: a client that is carried here, every packet of it',
      rules: [
        ...both(({ n, ip }) => {
          const client = `ct direction original ether saddr . ${ip} saddr @via_client${n} ${ip} daddr != @never${n}`;
          return [
            `${client} ${ip} saddr . meta l4proto @via${n} accept`,
            `${client} ${ip} saddr . meta l4proto . th dport @via_ports${n} accept`,
          ];
        }),
        'goto deny_in',
      ],
    },
    {
      name: 'via_answer',
      comment: 'net1, not as this piece: the answers to such a client, as whom it asked',
      rules: [
        ...both(({ n, ip, portUnreachable }) => [
          `ct direction reply ${ip} saddr != @never${n} ${ip} daddr . meta l4proto @via${n} accept`,
          `ct direction reply ${ip} saddr != @never${n} ${ip} daddr . meta l4proto . th sport @via_ports${n} accept`,
          `ct state related ${portUnreachable} ${ip} saddr != @never${n} ${ip} daddr . ct original ${ip} saddr @same${n} accept`,
        ]),
        'goto deny_out',
      ],
    },
    {
      name: 'via_route',
      base: { type: 'route', hook: 'output', priority: priority.mangle, policy: 'accept' },
      comment: 'what would leave by eth0 goes to the proxy (ip rule fwmark), if it is carried',
      rules: [
        'oifname { "lo", "net1" } accept',
        'ct direction reply accept',
        ...both(({ n, ip, nfproto }) => [
          `${ip} daddr @never${n} accept`,
          `${ip} daddr . meta l4proto . th dport @resolver${n} accept`,
          `meta nfproto ${nfproto} meta l4proto @carried${n} meta mark set ${carried}`,
          `meta nfproto ${nfproto} meta l4proto . th dport @carried_ports${n} meta mark set ${carried}`,
        ]),
      ],
    },
    {
      name: 'kept_link',
      comment: 'a kept piece is a neighbour on its link, and sends such messages no further',
      rules: [
        'ip6 daddr { fe80::/10, ff02::/16 } accept',
        'ip6 daddr @neighbours accept',
        'ip6 daddr @node6 accept',
        'goto deny_out',
      ],
    },
    {
      name: 'kept_out',
      comment: 'eth0 of a kept piece: answers to who called by eth0, and the resolvers. What follows may narrow it',
      rules: [
        `ct direction reply ct mark ${inbound} return`,
        ingressJumps.kept,
        ...both(({ n, ip }) => [`ct direction original ${ip} daddr . meta l4proto . th dport @resolver${n} return`]),
        'goto deny_out',
      ],
    },
  ];
}

/** First in eth0_out. */
export const keptLinkRule = `icmpv6 type { ${linkMessages.out.join(', ')} } meta nfproto @kept goto kept_link`;
/** In eth0_out, before anything is let out. */
export const keptRule = 'meta nfproto @kept jump kept_out';
