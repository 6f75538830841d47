import { ingressMark } from './marks.ts';
import type { Model } from './model.ts';
import { priority, type Chain, type NamedSet } from './nft.ts';
import { mark, type Both, type Names } from './redirect-names.ts';

/**
 * Clients of the Pod enter by the proxy (docs/decisions/0022-traffic-enters-by-the-proxy.md). A primary that is not the
 * proxy routes them to it as they are, by a mark and a rule before the table of local addresses; a sibling that is the
 * proxy turns them to its port, and answers by the primary as it does for the facade. A primary that is the proxy turns
 * them to its own port. Without the annotation every set here is empty.
 */
export function ingressSets(model: Model, both: Both): readonly NamedSet[] {
  if (model.role === 'sibling') return both(proxySets);
  return [
    {
      name: 'enters_by',
      type: 'ether_addr',
      kind: 'set',
      elements: model.ingressProxy,
      comment: 'the proxy that clients of the Pod are carried to',
    },
    {
      name: 'enters_away',
      type: 'nf_proto',
      kind: 'set',
      elements: model.ingressProxy.length === 0 ? [] : ['ipv4', 'ipv6'],
      comment: 'that proxy is another piece',
    },
    ...both(primarySets),
  ];
}

function setOf(name: string, type: string, elements: readonly string[], comment: string): NamedSet {
  return { name, type, kind: 'set', elements, comment };
}

function entryMap({ data, n, addr }: Names): NamedSet {
  const comment = 'where the proxy takes clients of the Pod';
  return { ...setOf(`enters_to${n}`, `${addr} : ${addr} . inet_service`, data.ingress.to, comment), kind: 'map' };
}

function primarySets(names: Names): readonly NamedSet[] {
  const { data, n } = names;
  const service = 'inet_proto . inet_service';
  return [
    setOf(`enters${n}`, 'inet_proto', data.ingress.enters, 'comes in by the proxy, whatever its port'),
    setOf(`enters_direct${n}`, service, data.ingress.direct, "but for the proxy's own ports"),
    setOf(`enters_probed${n}`, service, data.ingress.probed, 'and what the node calls for the kubelet'),
    entryMap(names),
  ];
}

function proxySets(names: Names): readonly NamedSet[] {
  const { data, n, addr } = names;
  return [
    setOf(`enters_for${n}`, addr, data.ingress.served, "the Pod's address, whose clients are carried here"),
    entryMap(names),
  ];
}

const entry = `0x${ingressMark.toString(16)}`;

/** First in eth0_in of the primary, after what the link needs. */
export function ingressEntry(both: Both): readonly string[] {
  return [
    ...both(({ n, ip, nfproto }) => [`meta nfproto ${nfproto} meta l4proto @enters${n} jump enter_${ip}`]),
    ...both(({ unreachable }) => [
      `ct mark ${entry} ct state related meta nfproto @enters_away ${unreachable} meta mark set ${entry} accept`,
    ]),
    `ct mark ${entry} ct state != related goto deny_eth0`,
  ];
}

/** In eth0_out of the primary. */
export function ingressAnswers(both: Both): readonly string[] {
  return [
    `ct mark ${entry} meta nfproto @enters_away goto enters_eth0_out`,
    ...both(({ n, nfproto }) => [
      `ct mark ${entry} ct state != related meta nfproto ${nfproto} meta l4proto != @enters${n} goto deny_out`,
    ]),
  ];
}

export const ingressJumps = {
  net1In: `ct mark ${entry} goto enters_net1_in`,
  net1Out: `ct mark ${entry} goto enters_net1_out`,
  forward: `ct mark ${entry} goto enters_forward`,
  /** In kept_out: who called by eth0 is answered. */
  kept: `ct direction reply ct mark ${entry} return`,
} as const;

/** In net1_raw. The primary knows answers by the Pod's own address; the proxy takes clients, and a narrower path to them. */
export function ingressRaw({ n, ip, primary }: Names): readonly string[] {
  if (primary) {
    return [`ether saddr @enters_by ${ip} saddr @own${n} ${ip} daddr != @never${n} accept comment "the proxy answers"`];
  }
  return [
    `ether saddr @facade_from ${ip} daddr @enters_for${n} ${ip} saddr != @never${n} accept comment "a client, carried"`,
    ...(n === '6'
      ? [
          'ether saddr @facade_from ip6 saddr @primary_pod6 ip6 daddr @enters_for6 icmpv6 type packet-too-big accept ' +
            'comment "a narrower path to a client"',
        ]
      : []),
  ];
}

/** In new_in of the proxy: policies judge a client by the port that it called. */
export function ingressNew({ n, ip }: Names): readonly string[] {
  return [
    `ether saddr @facade_from ${ip} daddr @enters_for${n} ${ip} saddr != @never${n} meta l4proto tcp goto facade_new`,
  ];
}

/** In facade_in of the proxy. */
export function ingressClients({ n, ip }: Names): readonly string[] {
  return [
    `ct direction original ether saddr @facade_from ${ip} daddr @enters_for${n} ${ip} saddr != @never${n} ` +
      'meta l4proto tcp goto pod_in',
  ];
}

/** In facade_net1_out of the proxy. */
export function ingressReplies({ n, ip }: Names): readonly string[] {
  return [
    `ct direction reply ${ip} saddr @enters_for${n} ${ip} daddr != @never${n} meta l4proto tcp goto pod_reply_out`,
  ];
}

/** In dnat_in, before what the facade does. */
export function ingressDnat({ n, ip, primary }: Names): readonly string[] {
  const client = primary ? `ct mark ${entry}` : `iifname "net1" ct mark ${mark}`;
  return [`${client} meta l4proto tcp dnat ${ip} to ${ip} daddr map @enters_to${n}`];
}

/** Of the primary. */
export function ingressChains(both: Both): readonly Chain[] {
  return [
    ...both(enterChain),
    {
      name: 'enters_net1_out',
      comment: 'a client on its way to the proxy',
      rules: [
        ...both(({ n, ip, unreachable }) => [
          `ct direction original ${ip} saddr != @never${n} ${ip} daddr @own${n} meta l4proto @enters${n} accept`,
          `ct state related ${ip} daddr @own${n} ${unreachable} accept`,
        ]),
        'goto deny_out',
      ],
    },
    {
      name: 'enters_net1_in',
      comment: 'and the answer of the proxy',
      rules: [
        ...both(({ n, ip }) => [
          `ct direction reply ether saddr @enters_by ${ip} saddr @own${n} ${ip} daddr != @never${n} ` +
            `meta l4proto @enters${n} accept`,
        ]),
        'goto deny_in',
      ],
    },
    {
      name: 'enters_forward',
      comment: 'between eth0 and the proxy',
      rules: [
        ...both(({ n, ip, unreachable }) => [
          `oifname "net1" ct direction original ${ip} daddr @own${n} meta l4proto @enters${n} accept`,
          `iifname "net1" ct direction reply ${ip} saddr @own${n} meta l4proto @enters${n} accept`,
          `ct state related ${unreachable} accept`,
        ]),
        'counter name denied_forward drop',
      ],
    },
    {
      name: 'enters_eth0_out',
      comment: "the primary sends the proxy's answers as its own; the proxy has judged them",
      rules: [
        ...both(({ n, ip, unreachable }) => [
          `ct direction reply ${ip} saddr @own${n} meta l4proto @enters${n} accept`,
          `ct state related ${ip} saddr @own${n} ${unreachable} accept`,
        ]),
        'goto deny_out',
      ],
    },
    {
      name: 'enters_here',
      base: { type: 'filter', hook: 'input', priority: priority.filter, policy: 'accept' },
      comment: 'what is meant for the proxy is not delivered here, while there is no route or no proxy',
      rules: [`meta mark ${entry} goto deny_eth0`],
    },
    {
      name: 'enters_own',
      base: { type: 'route', hook: 'output', priority: priority.mangle, policy: 'accept' },
      comment: 'this piece says nothing in the name of the proxy, but to the proxy of a narrower path to a client',
      rules: [
        `ct mark ${entry} ct direction reply meta nfproto @enters_away ct state != related goto deny_out`,
        ...both(({ unreachable }) => [
          `ct mark ${entry} ct state related meta nfproto @enters_away ${unreachable} meta mark set ${entry}`,
        ]),
      ],
    },
  ];
}

function enterChain({ n, ip }: Names): readonly Chain[] {
  return [
    {
      name: `enter_${ip}`,
      comment: 'every packet of a client, and not the answers to what this piece calls',
      rules: [
        'ct direction reply return',
        // A link-local address of eth0 is nobody's way around the proxy.
        `${ip} daddr != @own${n} goto deny_eth0`,
        `meta l4proto . th dport @enters_direct${n} return`,
        `${ip} saddr @node${n} meta l4proto . th dport @enters_probed${n} return`,
        'ct state invalid goto deny_eth0',
        `ct state new ct mark set ${entry}`,
        `ct mark != ${entry} goto deny_eth0`,
        `meta nfproto @enters_away meta mark set ${entry} accept`,
        'goto pod_in',
      ],
    },
  ];
}
