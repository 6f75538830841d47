import { linkMessages } from './link-messages.ts';
import { priority, type Chain } from './nft.ts';
import { chatter, mark, type Both } from './redirect-names.ts';
import { ingressClients, ingressEntry, ingressJumps, ingressNew, ingressRaw } from './redirect-ingress.ts';
import {
  ownServiceChains,
  ownServiceIn,
  ownServiceJumps,
  ownServiceNet1Raw,
  ownServiceOpen,
  ownServiceRaw,
} from './redirect-own-service.ts';
import { inboundRules, viaAnswers, viaNew, viaRaw, viaUnreachable } from './redirect-via.ts';

/**
 * nf_conncount walks a list for each new connection, so a peer's connections are counted in buckets by their source port:
 * what it costs stays small, and what a peer can hold is about 16,000 (clients of the facade together: 65,000, see redirect-pod-network.ts).
 */
const buckets = 256;
const perPeer = 64;

/** Before conntrack, so that nobody can fill its table: only a frame from a peer, as itself, to this piece. */
export function rawChains(both: Both, primary: boolean): readonly Chain[] {
  return [
    {
      name: 'raw_in',
      base: { type: 'filter', hook: 'prerouting', priority: priority.raw, policy: 'drop' },
      comment:
        "strong host: the peer network's addresses live on net1 only; the other pieces come by eth0 with calls of the Pod only",
      rules: [
        'iifname "lo" accept',
        'iifname "net1" goto net1_raw',
        ...both((names) => [
          `${names.ip} daddr @pool${names.n} goto spoof`,
          `${names.ip} saddr @pool${names.n} goto spoof`,
          ...ownServiceRaw(names),
          `${names.ip} saddr @pods${names.n} goto deny_eth0`,
        ]),
        // On a bridge the pieces are neighbours there too, and nobody knows whose link-local address is whose.
        'ip6 saddr fe80::/10 meta l4proto != icmpv6 goto deny_eth0',
        'accept',
      ],
    },
    {
      name: 'net1_raw',
      comment: '127/8, ::1, link-local, multicast, router advertisements, own address as source: all fall to the end',
      rules: [
        ...chatter,
        'meta pkttype != host goto spoof',
        ...both(({ n, ip }) => [
          `${ip} daddr @self${n} ether saddr . ${ip} saddr @peer${n} accept`,
          primary
            ? `ether saddr . ${ip} saddr @facade_peer${n} ${ip} daddr != @never${n} accept comment "a sibling answers a client"`
            : `ether saddr @facade_from ${ip} daddr @self${n} ${ip} saddr != @never${n} accept comment "a client, forwarded"`,
        ]),
        // The primary forwards answers as a router does, and speaks of a path that it knows as the address that was called.
        ...(primary
          ? []
          : [
              'ether saddr @facade_from ip6 saddr @primary_pod6 ip6 daddr @self6 icmpv6 type packet-too-big accept ' +
                'comment "a narrower path to a client"',
            ]),
        ...both(viaRaw),
        ...both(ingressRaw),
        ...both(ownServiceNet1Raw),
        'goto spoof',
      ],
    },
  ];
}

export function inChains(both: Both, primary: boolean): readonly Chain[] {
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
        ...(primary ? [ingressJumps.net1In] : []),
        'ct state related goto related_in',
        // A one-way UDP flow stays "new" as long as it sends: only its first packet is not yet confirmed.
        'ct state new ct status & confirmed == 0 jump new_in',
        ...both(({ n, ip }) => [
          `${ip} daddr != @self${n} goto via_in`,
          `ct direction original ${ip} saddr . meta l4proto . th dport @in${n} accept`,
          `ct direction reply ${ip} saddr . meta l4proto . th sport @out${n} accept`,
        ]),
        ...both(viaAnswers),
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
          `${ip} saddr . meta l4proto . th dport @in${n} ${perPeerLimit(n, ip)}`,
          ...(primary ? [] : facadeOpen(n, ip)),
        ]),
        ...both((names) => viaNew(names, perPeerLimit)),
        ...(primary ? [] : both(ingressNew)),
        ...(primary ? [] : both(ownServiceOpen)),
        'meta mark set 0',
        ...both(({ n, ip }) => [
          `${ip} saddr . meta l4proto . th dport @audit_in${n} limit rate 50/second burst 50 packets jump note_audited_in`,
        ]),
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
        ...both(viaUnreachable),
        'goto deny_in',
      ],
    },
    {
      name: 'facade_in',
      comment: 'connections of the facade, on net1',
      rules: [
        ...(primary ? [] : [...both(ingressClients), ...both(ownServiceIn)]),
        ...both(({ n, ip, portUnreachable, unreachable }) =>
          primary
            ? [
                `ct direction reply ether saddr . ${ip} saddr @facade_peer${n} ` +
                  `${ip} saddr . meta l4proto . th sport @facade_out${n} accept`,
                `ct state related ${portUnreachable} ${ip} saddr . ct reply ${ip} saddr @same${n} accept`,
              ]
            : [
                `ct direction original ether saddr @facade_from ${ip} saddr != @never${n} ` +
                  `meta l4proto . th dport @facade${n} goto pod_in`,
                `ct state related ether saddr @facade_from ${unreachable} jump pod_related`,
              ],
        ),
        'goto deny_in',
      ],
    },
    {
      name: 'eth0_in',
      comment: 'a sibling takes new connections from its node only: probes',
      rules: [
        ...inboundRules,
        `icmpv6 type { ${linkMessages.in.join(', ')} } accept`,
        ...(primary ? [...both(ownServiceJumps.in), ...ingressEntry(both)] : []),
        ...both(({ n, ip }) => (primary ? facadeEntry(n, ip) : [])),
        // The sibling that serves it judges it.
        ...(primary ? [`ct mark ${mark} accept`] : []),
        'ct state related jump pod_related',
        'ct state related goto deny_eth0',
        'ct direction reply goto pod_reply_in',
        ...(primary ? ['goto pod_in'] : [...both(({ n, ip }) => [`${ip} saddr @node${n} accept`]), 'goto deny_eth0']),
      ],
    },
    ...(primary ? ownServiceChains(both, buckets, perPeerLimit) : []),
  ];
}

function perPeerLimit(n: string, ip: string): string {
  return `add @conns${n} { ${ip} saddr . meta mark ct count over ${perPeer} } goto deny_in`;
}

function facadeOpen(n: string, ip: string): readonly string[] {
  return [`ether saddr @facade_from ${ip} saddr != @never${n} meta l4proto . th dport @facade${n} goto facade_new`];
}

/** An invalid packet would not be DNATed: the primary's own stack would answer it with a reset and end the connection. */
function facadeEntry(n: string, ip: string): readonly string[] {
  const entry = `${ip} daddr @own${n} meta l4proto . th dport @facade${n}`;
  return [`ct state invalid ${entry} goto deny_eth0`, `ct state new ${entry} ct mark set ${mark} accept`];
}
