import { inboundMark } from './marks.ts';
import type { Chain, NamedSet } from './nft.ts';
import { mark, type Both, type Names } from './redirect-names.ts';

/**
 * Pieces call their own Pod by its Service (docs/decisions/0026-own-service.md): the primary judges who calls what, by the
 * Pod IP that the call comes from, and carries the ports that siblings serve to them as its own call.
 */
export function ownServiceSets({ data: { ownService }, n, addr, primary }: Names): readonly NamedSet[] {
  const type = `${addr} . inet_proto . inet_service`;
  const set = (name: string, elements: readonly string[], comment: string): NamedSet => ({
    name: `${name}${n}`,
    type,
    kind: 'set',
    elements,
    comment,
  });
  if (!primary) return [];
  return [
    set('pod_calls', ownService.calls, "what the other pieces may call at the Pod's address"),
    set('audit_pod_calls', ownService.audited, 'of those what policies that audit would refuse'),
  ];
}

const marks = `ct mark { 0x${inboundMark.toString(16)}, ${mark} }`;

/** In raw_in, before all that comes from a piece is denied: every packet of a call. */
export function ownServiceRaw({ n, ip, primary }: Names): readonly string[] {
  // Where the Pods of a node are on one bridge the primary has to find whom it answers.
  const found =
    n === '4'
      ? []
      : [
          primary
            ? 'ip6 saddr @pods6 icmpv6 type nd-neighbor-advert accept'
            : 'ip6 saddr @primary_pod6 icmpv6 type nd-neighbor-solicit accept',
        ];
  if (!primary) return found;
  return [
    ...found,
    `${ip} daddr @own${n} ${ip} saddr . meta l4proto . th dport @pod_calls${n} accept comment "by the Pod's own Service"`,
  ];
}

/** In net1_raw: the primary takes answers to calls that it carried as its own, a sibling takes those calls. */
export function ownServiceNet1Raw({ n, ip, primary, portUnreachable }: Names): readonly string[] {
  if (primary) {
    const answer = `ether saddr . ${ip} saddr @facade_peer${n} ${ip} daddr @own${n}`;
    return [
      `${answer} ${ip} saddr . meta l4proto . th sport @facade_out${n} accept comment "a sibling answers a piece"`,
      `${answer} ${portUnreachable} accept comment "nobody listens"`,
    ];
  }
  return [`${fromPrimary(n, ip)} accept comment "a piece, by the Pod's own Service"`];
}

/** In new_in of a sibling: the primary has judged who calls. */
export function ownServiceOpen({ n, ip }: Names): readonly string[] {
  return [`${fromPrimary(n, ip)} goto facade_called`];
}

/** In facade_in of a sibling. */
export function ownServiceIn({ n, ip }: Names): readonly string[] {
  return [`ct direction original ${fromPrimary(n, ip)} accept`];
}

function fromPrimary(n: string, ip: string): string {
  return `ether saddr @facade_from ${ip} daddr @self${n} ${ip} saddr @primary_pod${n} meta l4proto . th dport @facade${n}`;
}

/** In facade_net1_out. */
export function ownServiceNet1Out({ n, ip, primary, portUnreachable }: Names): readonly string[] {
  if (primary) {
    return [
      `ct direction original ${ip} saddr @own${n} ct original ${ip} saddr . meta l4proto . th dport @pod_calls${n} ` +
        `${ip} daddr . meta l4proto . th dport @facade_out${n} accept`,
    ];
  }
  const answer = `${ip} saddr @self${n} ${ip} daddr @primary_pod${n}`;
  return [
    `ct direction reply ${answer} meta l4proto . th sport @facade${n} accept`,
    `ct state related ${answer} ${portUnreachable} accept`,
  ];
}

/** In snat_out of the primary, before its own sources: a piece's own Pod IP would come back to it as a martian. */
export function ownServiceSnat({ n, ip, primary, data }: Names): readonly string[] {
  if (!primary || data.podIP === undefined) return [];
  return [`oifname "net1" ct mark ${mark} ${ip} saddr @pods${n} snat ${ip} to ${data.podIP}`];
}

/** In eth0_in and eth0_out of the primary. */
export const ownServiceJumps = {
  in: ({ n, ip }: Names): readonly string[] => [`${ip} saddr @pods${n} goto pods_in`],
  out: ({ n, ip }: Names): readonly string[] => [`${ip} daddr @pods${n} goto pods_out`],
} as const;

/**
 * Of the primary.
 *
 * @param limit of a piece's connections, to stand behind what is counted
 */
export function ownServiceChains(
  both: Both,
  buckets: number,
  limit: (n: string, ip: string) => string,
): readonly Chain[] {
  const call = (n: string, ip: string, set: string): string => `${ip} saddr . meta l4proto . th dport @${set}${n}`;
  return [
    {
      name: 'pods_in',
      comment: "eth0, from a piece: what it may call by the Pod's own Service, every packet of it",
      rules: [
        // It would not be DNATed: the primary's own stack would answer it.
        'ct state invalid goto deny_eth0',
        // A one-way UDP flow stays "new" as long as it sends.
        'ct state new ct status & confirmed == 0 jump pods_new',
        ...both(({ n, ip }) => [`ct direction original ${call(n, ip, 'pod_calls')} accept`]),
        'goto deny_eth0',
      ],
    },
    {
      name: 'pods_new',
      comment: 'the first packet of such a call',
      rules: [
        'meta l4proto tcp tcp flags & (fin|syn|rst|ack) != syn goto deny_eth0',
        `meta mark set jhash th sport mod ${buckets}`,
        ...both(({ n, ip }) => [`${call(n, ip, 'pod_calls')} ${limit(n, ip)}`]),
        'meta mark set 0',
        ...both(({ n, ip }) => [
          `${ip} daddr @own${n} meta l4proto . th dport @facade${n} ct mark set ${mark}`,
          `${call(n, ip, 'audit_pod_calls')} limit rate 50/second burst 50 packets jump note_audited_in`,
        ]),
      ],
    },
    {
      name: 'pods_out',
      comment: 'eth0, to a piece: the answers to such a call, which came in by eth0',
      rules: [
        ...both(({ n, ip, icmp, portUnreachable }) => [
          `${marks} ct direction reply ${ip} saddr @own${n} ${ip} daddr . meta l4proto . th sport @pod_calls${n} accept`,
          `${marks} ct state related ${ip} saddr @own${n} ${portUnreachable} meta l4proto ${icmp} ` +
            `ct original ${ip} saddr . ct original protocol . ct original proto-dst @pod_calls${n} accept`,
        ]),
        'goto deny_out',
      ],
    },
  ];
}
