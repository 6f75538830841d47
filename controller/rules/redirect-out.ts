import { linkMessages } from './link-messages.ts';
import { priority, type Chain } from './nft.ts';
import { chatter, mark, type Both } from './redirect-names.ts';
import { ingressAnswers, ingressJumps, ingressReplies } from './redirect-ingress.ts';
import { ownServiceJumps, ownServiceNet1Out } from './redirect-own-service.ts';
import { keptLinkRule, keptRule, viaOut } from './redirect-via.ts';

/** POSTROUTING, because OUTPUT still says "lo" for redirected packets; after SNAT, to judge what goes on the wire. */
export function outChains(both: Both, primary: boolean): readonly Chain[] {
  return [
    {
      name: 'filter_out',
      base: { type: 'filter', hook: 'postrouting', priority: priority.afterSnat, policy: 'drop' },
      comment: 'what this piece sends and what it forwards, as it leaves',
      rules: ['oifname "lo" goto lo_out', 'oifname "net1" goto net1_out', 'goto eth0_out'],
    },
    {
      name: 'net1_out',
      comment: 'own address as source (IP_TRANSPARENT, IPV6_FREEBIND and raw sockets forge it), and a flow',
      rules: [
        ...chatter,
        `ct mark ${mark} goto facade_net1_out`,
        ...(primary ? [ingressJumps.net1Out] : []),
        ...both(({ n, ip }) => [`${ip} saddr != @self${n} goto via_answer`]),
        'ct state related goto related_out',
        ...both(({ n, ip }) => [
          `ct direction original ${ip} daddr . meta l4proto . th dport @out${n} accept`,
          `ct direction reply ${ip} daddr . meta l4proto . th sport @in${n} accept`,
        ]),
        ...both(viaOut),
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
        ...(primary ? [] : both(ingressReplies)),
        ...both(ownServiceNet1Out),
        ...both(({ n, ip, portUnreachable, unreachable }) =>
          primary
            ? [
                `ct direction original ${ip} saddr != @never${n} ` +
                  `${ip} daddr . meta l4proto . th dport @facade_out${n} accept`,
                `ct state related ${unreachable} accept`,
              ]
            : [
                `ct direction reply ${ip} saddr @self${n} ${ip} daddr != @never${n} ` +
                  `meta l4proto . th sport @facade${n} goto pod_reply_out`,
                `ct state related ${ip} saddr @self${n} ${portUnreachable} jump pod_related`,
              ],
        ),
        'goto deny_out',
      ],
    },
    {
      name: 'eth0_out',
      comment: 'as itself, and to the other pieces answers only',
      rules: [
        keptLinkRule,
        `icmpv6 type { ${linkMessages.out.join(', ')} } accept`,
        ...both((names) => [
          ...(primary ? ownServiceJumps.out(names) : [`${names.ip} daddr @pods${names.n} goto deny_out`]),
          `${names.ip} daddr @pool${names.n} goto deny_out`,
          `${names.ip} saddr @pool${names.n} goto deny_out`,
        ]),
        'ip saddr 127.0.0.0/8 goto deny_out',
        'ip6 saddr ::1 goto deny_out',
        `ct mark ${mark} goto facade_eth0_out`,
        ...(primary ? ingressAnswers(both) : []),
        'fib saddr type != local goto deny_out',
        keptRule,
        'ct state related jump pod_related',
        'ct state related goto deny_out',
        'ct direction reply goto pod_reply_out',
        'goto pod_out',
      ],
    },
    {
      name: 'facade_eth0_out',
      comment: "the primary sends siblings' answers as its own; a sibling never answers by eth0",
      rules: [
        ...both(({ n, ip, unreachable }) =>
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

export function forwardChains(both: Both, primary: boolean): readonly Chain[] {
  return [
    {
      name: 'forward',
      base: { type: 'filter', hook: 'forward', priority: priority.filter, policy: 'drop' },
      comment: 'no piece is a router; the primary carries the facade and nothing else',
      rules: [
        ...(primary ? [`ct status dnat ct mark ${mark} goto facade_forward`, ingressJumps.forward] : []),
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
