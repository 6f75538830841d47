import type { Chain, NamedSet } from './nft.ts';
import type { FamilyModel } from './model.ts';
import type { AllowedElements } from './pod-network-elements.ts';
import { mark, type Both, type Names } from './redirect-names.ts';
import { recordProperties } from './redirect-sets.ts';

/**
 * Policies on the Pods' network: eth0, and clients of the facade at the sibling that serves them. Each packet is judged by
 * who opened its connection, and to which port: what is taken from the sets is cut with its next packet, in both
 * directions, and answers need no allowance of their own. Every chain ends in a verdict, but for `pod_related`.
 */
export function podNetworkChains(both: Both, primary: boolean): readonly Chain[] {
  const deniedIn = primary ? 'goto deny_eth0' : 'goto deny_in';
  return [
    {
      name: 'pod_in',
      comment: primary ? 'from whoever called this piece' : 'from a client of the facade',
      rules: [...both(({ n, ip }) => mayCall(n, ip, 'pod_audit_in')), deniedIn],
    },
    {
      name: 'pod_reply_out',
      comment: 'to whoever called this piece',
      rules: [
        ...both(({ n, ip }) => [
          `${ip} daddr @ingress_all${n} accept`,
          `${ip} daddr . meta l4proto . th sport @ingress${n} accept`,
          `${ip} daddr @node${n} accept`,
        ]),
        'goto deny_out',
      ],
    },
    {
      name: 'pod_out',
      comment: 'to whomever this piece calls',
      rules: [
        ...both(({ n, ip }) => [
          `${ip} daddr @egress_all${n} goto pod_audit_out`,
          `${ip} daddr . meta l4proto . th dport @egress${n} goto pod_audit_out`,
        ]),
        'goto deny_out',
      ],
    },
    {
      name: 'pod_reply_in',
      comment: 'from whomever this piece called',
      rules: [
        ...both(({ n, ip }) => [
          `${ip} saddr @egress_all${n} accept`,
          `${ip} saddr . meta l4proto . th sport @egress${n} accept`,
        ]),
        'goto deny_eth0',
      ],
    },
    ...relatedChains(both),
    ...auditChains(both),
    ...(primary ? [] : facadeChains(both)),
  ];
}

/** Ports and addresses of policies; the node is where probes come from, and no policy is about it. */
function mayCall(n: string, ip: string, then: string): readonly string[] {
  return [
    `${ip} saddr @ingress_all${n} goto ${then}`,
    `${ip} saddr . meta l4proto . th dport @ingress${n} goto ${then}`,
    `${ip} saddr @node${n} goto ${then}`,
  ];
}

/** ICMP errors, path MTU among them, belong to the connection that they quote. nft knows a quoted port's type behind ICMP only. */
function relatedChains(both: Both): readonly Chain[] {
  const quoted = (ip: string, icmp: string, side: 'saddr' | 'daddr'): string =>
    `meta l4proto ${icmp} ct original ${ip} ${side} . ct original protocol . ct original proto-dst`;
  return [
    {
      name: 'pod_related',
      comment: 'an error of a connection that is allowed; comes back with any other',
      rules: both(({ n, ip, icmp }) => [
        `ct original ${ip} saddr @own${n} goto pod_related_egress`,
        `ct original ${ip} saddr @ingress_all${n} accept`,
        `${quoted(ip, icmp, 'saddr')} @ingress${n} accept`,
        `ct original ${ip} saddr @node${n} accept`,
      ]),
    },
    {
      name: 'pod_related_egress',
      comment: 'of one that this piece opened',
      rules: both(({ n, ip, icmp }) => [
        `ct original ${ip} daddr @egress_all${n} accept`,
        `${quoted(ip, icmp, 'daddr')} @egress${n} accept`,
      ]),
    },
  ];
}

function auditChains(both: Both): readonly Chain[] {
  const audit = (side: 'saddr' | 'daddr', sets: string, ours: readonly string[], note: string): readonly string[] => [
    'ct state != new accept',
    ...both(({ n, ip }) => [
      `${ip} ${side} @${sets}_all${n} accept`,
      `${ip} ${side} . meta l4proto . th dport @${sets}${n} accept`,
    ]),
    ...ours,
    `limit rate 50/second burst 50 packets jump ${note}`,
    'accept',
  ];
  const note = (interfaceName: string): readonly string[] =>
    both(({ n, ip }) => [
      `meta nfproto ${ip === 'ip' ? 'ipv4' : 'ipv6'} meta l4proto { tcp, udp } update @audited${n} ` +
        `{ ${interfaceName} . ${ip} saddr . ${ip} daddr . meta l4proto . th dport counter }`,
    ]);
  const node = both(({ n, ip }) => [`${ip} saddr @node${n} accept`]);
  return [
    { name: 'note_audited_in', comment: 'record it, at a bounded rate', rules: note('iifname') },
    { name: 'note_audited_out', comment: 'record it, at a bounded rate', rules: note('oifname') },
    {
      name: 'pod_audit_in',
      comment: 'passes; what policies that audit would refuse is recorded',
      rules: audit('saddr', 'audit_ingress', node, 'note_audited_in'),
    },
    {
      name: 'pod_audit_out',
      comment: 'the same',
      rules: audit('daddr', 'audit_egress', [], 'note_audited_out'),
    },
  ];
}

/** All clients of one port of the facade together. */
const perFacade = 256;

/** Judged before it is counted: whoever is denied takes no place of others. */
function facadeChains(both: Both): readonly Chain[] {
  const bounded = both(({ n, ip }) => [
    `add @conns${n} { ${ip} daddr . meta mark ct count over ${perFacade} } goto deny_in`,
  ]);
  return [
    {
      name: 'facade_new',
      comment: 'the first packet of a client',
      rules: [...both(({ n, ip }) => mayCall(n, ip, 'facade_open')), 'goto deny_in'],
    },
    {
      name: 'facade_open',
      comment: 'a connection of the facade begins',
      rules: [...bounded, `ct mark set ${mark} meta mark set 0 goto pod_audit_in`],
    },
    {
      name: 'facade_called',
      comment: "the same, of a piece by the Pod's own Service: no policy of the Pods' network is about it",
      rules: [...bounded, `ct mark set ${mark} meta mark set 0 accept`],
    },
  ];
}

type SetNames = Pick<Names, 'n' | 'addr'>;

export function podNetworkSets(data: FamilyModel, names: SetNames): readonly NamedSet[] {
  const { ingress, egress } = data.podNetwork;
  return [
    ...ingressSets(data, names),
    ...egressSets(data, names),
    ...allowedSets('audit_ingress', ingress.audit, 'who else calls is recorded', names),
    ...allowedSets('audit_egress', egress.audit, 'who else is called is recorded', names),
  ];
}

export function ingressSets({ podNetwork }: FamilyModel, names: SetNames): readonly NamedSet[] {
  return allowedSets('ingress', podNetwork.ingress.enforce, 'who may call this piece by the network of Pods', names);
}

export function egressSets({ podNetwork }: FamilyModel, names: SetNames): readonly NamedSet[] {
  return allowedSets('egress', podNetwork.egress.enforce, 'whom this piece may call by the network of Pods', names);
}

function allowedSets(
  name: string,
  { all, some }: AllowedElements,
  comment: string,
  { n, addr }: SetNames,
): readonly NamedSet[] {
  return [
    { name: `${name}_all${n}`, type: addr, kind: 'interval', elements: all, comment: `${comment}: at every port` },
    {
      name: `${name}${n}`,
      type: `${addr} . inet_proto . inet_service`,
      kind: 'ranges',
      elements: some,
      comment: `${comment}: at these`,
    },
  ];
}

export function auditedSet(n: string, addr: string): NamedSet {
  return {
    name: `audited${n}`,
    type: `ifname . ${addr} . ${addr} . inet_proto . inet_service`,
    kind: 'dynamic',
    properties: recordProperties,
    elements: [],
    comment: 'what passed and would not if the policies that audit enforced',
  };
}
