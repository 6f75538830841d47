import { familyOf, type Family } from './addresses.ts';
import { proxyBeside, takesClients } from './ingress-model.ts';
import {
  facadeMark,
  facadeRoutes,
  ingressMark,
  ingressPreference,
  ingressRoutes,
  localPreferences,
  localRuleProtocol,
  loopbackRoutes,
  rulePreference,
  ruleProtocol,
  viaMark,
  viaRoutes,
} from './marks.ts';
import { carries, keptBy } from './via-model.ts';
import type { Local, Peer, Wiring } from './wiring.ts';

/**
 * Input of `ip -4 -batch -` and then of `ip -6 -batch -`, as NET_ADMIN and after the rules are loaded. May be run again
 * at any time. The sysctls of sysctls.ts are in place: the tuning plugin wrote them.
 */
export interface LinkBatches {
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
  /**
   * To be run after each of the two, and to fail where it was run before: `ip` flushes no rule of preference 0, and deletes
   * none that is not there. Marked packets are dropped as long as the kernel's own rule comes first.
   */
  readonly once: readonly string[];
}

export function links(wiring: Wiring, local: Local): LinkBatches {
  return {
    ipv4: [
      // First: the kernel forgets all neighbours, permanent ones too, when this flag changes (neigh_changeaddr).
      'link set dev net1 arp off',
      `rule flush protocol ${ruleProtocol}`,
      ...neighbours(wiring, 'ipv4'),
      ...facadeRouting(wiring, local, 'ipv4'),
      ...viaRouting(wiring, 'ipv4'),
      ...ingressRouting(wiring, 'ipv4'),
    ],
    ipv6: [
      // No link-local address: whoever has none cannot be reached by one. Addresses and routes (on-link prefixes too, which
      // look like the kernel's own) of an advertisement that came before accept_ra=0 did are taken away.
      'link set dev net1 addrgenmode none',
      'address flush dev net1 scope link',
      'address flush dev net1 dynamic',
      'route flush dev net1 table main',
      ...(wiring.pool.ipv6 === undefined ? [] : [`route replace ${wiring.pool.ipv6} dev net1`]),
      `rule flush protocol ${ruleProtocol}`,
      ...(wiring.self.ipv6 === undefined ? [] : loopback6),
      ...neighbours(wiring, 'ipv6'),
      ...facadeRouting(wiring, local, 'ipv6'),
      ...viaRouting(wiring, 'ipv6'),
      ...ingressRouting(wiring, 'ipv6'),
    ],
    once: proxyBeside(wiring) === undefined ? [] : ['rule', 'del', 'pref', '0', 'lookup', 'local'],
  };
}

/**
 * Packets that NAT turned towards ::1 on net1, a server's requests and a client's answers: for ::1 the kernel takes only a
 * route of the interface that the packet came in by (rt6_need_strict), and the local table has it on lo.
 */
const loopback6: readonly string[] = [
  `route replace local ::1/128 dev net1 table ${loopbackRoutes}`,
  `rule add pref ${rulePreference} iif net1 to ::1/128 lookup ${loopbackRoutes} protocol ${ruleProtocol}`,
  // The reset of a port where nobody listens is sent by the interface of the SYN (tcp_v6_send_response): without a route
  // there a client would wait for a timeout where in one Pod its connection is refused.
  `rule add pref ${rulePreference} oif net1 to ::1/128 lookup ${loopbackRoutes} protocol ${ruleProtocol}`,
];

function neighbours(wiring: Wiring, family: Family): readonly string[] {
  if (wiring.self[family] === undefined) return [];
  return wiring.peers.flatMap((peer) => {
    const address = peer[family];
    return address === undefined ? [] : [`neighbour replace ${address} lladdr ${peer.mac} dev net1 nud permanent`];
  });
}

/** In a sibling that serves the facade: answers to clients go back by the primary, which knows the connection. */
function facadeRouting(wiring: Wiring, local: Local, family: Family): readonly string[] {
  const serves = wiring.facade.some(({ piece }) => piece === wiring.piece) || takesClients(wiring);
  const onEth0 = local.podIPs.some((address) => familyOf(address) === family);
  const gateway = wiring.peers.find((peer: Peer) => peer.role === 'primary')?.[family];
  if (!serves || !onEth0 || gateway === undefined || wiring.self[family] === undefined) return [];
  // IPv6 routers do not fragment: a datagram larger than the primary's eth0 has to leave here in fragments.
  const mtu = local.mtu === undefined ? '' : ` mtu ${local.mtu}`;
  return [
    `route replace default via ${gateway} dev net1 table ${facadeRoutes}${mtu}`,
    `rule add pref ${rulePreference} fwmark 0x${facadeMark.toString(16)} lookup ${facadeRoutes} protocol ${ruleProtocol}`,
  ];
}

/** In a piece that is carried to its proxy: the way there for what would leave by eth0. */
function viaRouting(wiring: Wiring, family: Family): readonly string[] {
  const via = keptBy(wiring);
  const proxy = wiring.peers.find(({ name }) => name === via?.to)?.[family];
  if (!carries(via) || proxy === undefined || wiring.self[family] === undefined) return [];
  return [
    `route replace default via ${proxy} dev net1 table ${viaRoutes}`,
    `rule add pref ${rulePreference} fwmark 0x${viaMark.toString(16)} lookup ${viaRoutes} protocol ${ruleProtocol}`,
  ];
}

/**
 * In a primary that is not the proxy: clients go there with the Pod's address as their destination. For the kernel it is
 * local whatever the routes say, as long as the table `local` is looked up first. At no moment is it looked up nowhere.
 */
function ingressRouting(wiring: Wiring, family: Family): readonly string[] {
  const proxy = proxyBeside(wiring);
  if (proxy === undefined) return [];
  const [first, second] = localPreferences;
  const gateway = wiring.self[family] === undefined ? undefined : proxy[family];
  return [
    `rule add pref ${second} lookup local protocol ${ruleProtocol}`,
    `rule flush protocol ${localRuleProtocol}`,
    `rule add pref ${first} lookup local protocol ${localRuleProtocol}`,
    ...(gateway === undefined
      ? []
      : [
          `route replace default via ${gateway} dev net1 table ${ingressRoutes}`,
          `rule add pref ${ingressPreference} fwmark 0x${ingressMark.toString(16)} lookup ${ingressRoutes} protocol ${ruleProtocol}`,
        ]),
  ];
}
