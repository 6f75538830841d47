import { linkMessages } from './link-messages.ts';
import type { Chain, NamedSet } from './nft.ts';
import type { Both, Names } from './redirect-names.ts';
import { egressSets, ingressSets } from './redirect-pod-network.ts';

/**
 * Policies once more where the piece cannot pass around them. There is no connection tracking at this hook, so what may be
 * an answer passes: TCP but its first packet, and from the primary to whoever may call it, or a port of the facade.
 */
export function hostPodNetworkChain(both: Both): Chain {
  return {
    name: 'eth0_policy',
    comment: 'whom the piece calls, by whatever socket; packet sockets pass around its own table',
    rules: [
      ...both(({ n, ip }) => [
        `${ip} daddr @egress_all${n} accept`,
        `${ip} daddr . meta l4proto . th dport @egress${n} accept`,
      ]),
      'tcp flags & (syn|ack) != syn accept',
      ...both(({ n, ip, primary }) =>
        primary
          ? [
              `meta l4proto != tcp ${ip} daddr @ingress_all${n} accept`,
              `meta l4proto != tcp ${ip} daddr . meta l4proto . th sport @ingress${n} accept`,
              `meta l4proto != tcp ${ip} daddr @node${n} accept`,
              `meta l4proto != tcp ${ip} saddr @eth0_own${n} meta l4proto . th sport @facade_port${n} accept`,
            ]
          : [],
      ),
      'icmp type { echo-reply, destination-unreachable, time-exceeded, parameter-problem } accept',
      'icmpv6 type { echo-reply, destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept',
      `icmpv6 type { ${linkMessages.out.join(', ')} } accept`,
      // The first fragment is judged; without it the others are of no use.
      'ip frag-off & 0x1fff != 0 accept',
      'frag frag-off != 0 accept',
      'counter name host_eth0_denied drop',
    ],
  };
}

export function hostPodNetworkSets({ data, n, addr, primary }: Names): readonly NamedSet[] {
  const answered: readonly NamedSet[] = [
    ...ingressSets(data, { n, addr }),
    { name: `node${n}`, type: addr, kind: 'set', elements: data.nodes, comment: 'no policy is about it' },
    {
      name: `facade_port${n}`,
      type: 'inet_proto . inet_service',
      kind: 'set',
      elements: data.facadePorts,
      comment: "siblings' ports that the primary's address serves: they judge who calls",
    },
  ];
  return [...(primary ? answered : []), ...egressSets(data, { n, addr })];
}
