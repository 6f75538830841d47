import { familyOf, numberOf, type Family } from './addresses.ts';
import { both } from './isolate-both.ts';
import { recordAudited } from './isolate-audit.ts';
import { priority, type Chain, type NamedSet } from './nft.ts';
import { carriedTo, dnsPort, dnsServices } from './via-model.ts';
import type { Allowed, Via } from './wiring.ts';

/** In the byte of a mark that says who answered: nobody of this Pod, by the caller's proxy. Containers count from 1. */
export const byProxy = 0xfd;

export interface NumberedVia extends Via {
  readonly caller: number;
  readonly uid: number;
  readonly answerer: number;
}

/** All that a kept container calls beyond the Pod by itself: policies may narrow it. */
export function resolversOf(via: Via, allowed: readonly Allowed[] | undefined, family: Family): readonly Allowed[] {
  return via.resolvers
    .filter((address) => familyOf(address) === family)
    .flatMap((address) =>
      dnsServices
        .filter(({ protocol }) => allowed === undefined || allowed.some((one) => covers(one, address, protocol)))
        .map(({ protocol }) => ({
          addresses: `${address}-${address}`,
          protocol,
          ports: { first: dnsPort, last: dnsPort },
        })),
    );
}

function covers({ addresses, protocol, ports }: Allowed, address: string, wanted: 'tcp' | 'udp'): boolean {
  const [first = '', last = ''] = addresses.split('-');
  if (familyOf(first) !== familyOf(address)) return false;
  const asked = numberOf(address);
  if (asked < numberOf(first) || asked > numberOf(last)) return false;
  if (protocol === undefined) return true;
  return protocol === wanted && (ports === undefined || (ports.first <= dnsPort && dnsPort <= ports.last));
}

/** @param mark of caller and answerer */
export function viaSets(
  vias: readonly NumberedVia[],
  mark: (caller: number, answerer: number) => number,
): readonly NamedSet[] {
  const services = (answered: boolean): readonly string[] =>
    vias.flatMap((via) =>
      carriedTo(via).map(
        ({ protocol, port }) => `${mark(via.caller, answered ? via.answerer : 0)} . ${protocol} . ${port}`,
      ),
    );
  const set = (name: string, type: string, elements: readonly string[], comment: string): NamedSet => ({
    name,
    type,
    kind: 'set',
    elements: [...new Set(elements)],
    comment,
  });
  return [
    {
      ...set(
        'carried',
        'uid : inet_service',
        vias.flatMap(({ uid, port }) => (port === undefined ? [] : [`${uid} : ${port}`])),
        'whose TCP goes to its proxy, wherever it was sent to, and where that listens',
      ),
      kind: 'map',
    },
    set(
      'carried_dns',
      'uid . inet_proto',
      vias.flatMap(({ uid, dns }) =>
        dns === 'proxy' ? dnsServices.map(({ protocol }) => `${uid} . ${protocol}`) : [],
      ),
      'whose queries do',
    ),
    ...(
      [
        ['ipv4', 'resolver4', 'ipv4_addr'],
        ['ipv6', 'resolver6', 'ipv6_addr'],
      ] as const
    ).map(([family, name, addr]) =>
      set(
        name,
        `uid . ${addr}`,
        vias.flatMap(({ uid, resolvers }) =>
          resolvers.filter((address) => familyOf(address) === family).map((address) => `${uid} . ${address}`),
        ),
        'whom it asks for names itself',
      ),
    ),
    set('via', 'mark . inet_proto . inet_service', services(true), 'caller and proxy, and where that listens'),
    set('via_calls', 'mark . inet_proto . inet_service', services(false), 'the same, as long as nobody has answered'),
  ];
}

const pass = 'goto via_pass';

/**
 * docs/decisions/0018-the-unavoidable-proxy.md in one network namespace: what a kept UID sends out is turned to its proxy's
 * port on loopback (SO_ORIGINAL_DST says where it was meant to go). All other chains know nothing of it: beyond the Pod such
 * a UID has no elements but its resolvers'.
 */
export function viaChains(isObserved: boolean): readonly Chain[] {
  return [
    {
      name: 'via_nat',
      base: { type: 'nat', hook: 'output', priority: priority.dnat, policy: 'accept' },
      comment: 'who goes out by a proxy; only the first packet of a connection comes here',
      rules: [
        'oifname "lo" accept',
        'ip6 daddr { fe80::/10, ff00::/8 } accept',
        'ip daddr 224.0.0.0/4 accept',
        `meta l4proto { tcp, udp } th dport ${dnsPort} meta skuid . meta l4proto @carried_dns redirect to :${dnsPort}`,
        ...both((n, ip) => [`tcp dport ${dnsPort} meta skuid . ${ip} daddr @resolver${n} accept`]),
        'meta l4proto tcp redirect to :meta skuid map @carried',
      ],
    },
    {
      name: 'via_source',
      base: { type: 'nat', hook: 'postrouting', priority: priority.snat, policy: 'accept' },
      comment: 'from loopback too: a proxy that listens at every address answers datagrams as whom it was asked',
      rules: [
        'oifname "lo" ct status dnat ip daddr 127.0.0.1 snat ip to 127.0.0.1',
        'oifname "lo" ct status dnat ip6 daddr ::1 snat ip6 to ::1',
      ],
    },
    {
      name: 'via_wire',
      base: { type: 'filter', hook: 'postrouting', priority: priority.afterSnat, policy: 'accept' },
      comment:
        'a socket that is bound to eth0 would send there what was turned to loopback, and OUTPUT does not see it',
      rules: [
        'oifname "lo" accept',
        'ip daddr 127.0.0.0/8 counter name spoofed drop',
        'ip6 daddr ::1 counter name spoofed drop',
        'ct status dnat counter name spoofed drop',
      ],
    },
    {
      name: 'via_out',
      comment: 'between a kept container and its proxy: policies say whom it may call, the proxy is the way',
      rules: [
        'meta l4proto tcp tcp flags & (syn|ack) == syn jump no_data',
        `meta mark set ct mark and 0xff or 0x${(byProxy << 8).toString(16)}`,
        ...both((n, ip) => [
          `meta mark . ct original ${ip} daddr @egress_all${n} goto via_allowed`,
          `meta l4proto { tcp, udp } meta mark . ct original ${ip} daddr . meta l4proto . ct original proto-dst ` +
            `@egress${n} goto via_allowed`,
        ]),
        'goto deny_out',
      ],
    },
    {
      name: 'via_allowed',
      comment: 'nobody else answers, and no other port',
      rules: [
        `ct direction original ct mark . meta l4proto . th dport @via ${pass}`,
        `ct direction reply ct mark . meta l4proto . th sport @via ${pass}`,
        'ct direction original ct mark . meta l4proto . th dport @via_calls meta l4proto udp goto via_call',
        'ct direction original ct mark . meta l4proto . th dport @via_calls ' +
          'tcp flags & (fin|syn|rst|ack) == syn goto via_call',
        `ct mark and 0xff00 == 0 meta l4proto tcp tcp flags & rst == rst ${pass} comment "nobody listens there"`,
        'goto deny_out',
      ],
    },
    {
      name: 'via_call',
      comment: 'nobody has answered yet',
      rules: [
        `ct status & confirmed != 0 ${pass}`,
        ...(isObserved ? ['jump note_used'] : []),
        ...both((n, ip) => [
          `meta mark . ct original ${ip} daddr @audit_egress_all${n} ${pass}`,
          `meta l4proto { tcp, udp } meta mark . ct original ${ip} daddr . meta l4proto . ct original proto-dst ` +
            `@audit_egress${n} ${pass}`,
        ]),
        recordAudited,
        pass,
      ],
    },
    { name: 'via_pass', comment: 'with no mark on the packet', rules: ['meta mark set 0', 'accept'] },
    {
      name: 'via_answered',
      comment: 'the first answer: is it the proxy?',
      rules: ['meta mark . meta l4proto . th sport @via ct mark set meta mark'],
    },
  ];
}
