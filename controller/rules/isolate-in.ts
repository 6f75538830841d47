import { both } from './isolate-both.ts';
import { outsider } from './isolate-model.ts';
import { linkMessages } from './link-messages.ts';
import { priority, type Chain } from './nft.ts';

/** ICMP errors, path MTU among them. */
const errors = {
  icmp: 'icmp type { destination-unreachable, time-exceeded, parameter-problem }',
  icmpv6: 'icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem }',
} as const;

/** What comes by loopback was judged as it was sent, where the sender's UID is known. */
export const isolateInChains: readonly Chain[] = [
  {
    name: 'raw_in',
    base: { type: 'filter', hook: 'prerouting', priority: priority.raw, policy: 'drop' },
    comment:
      'what is of this Pod does not come from outside: not even the own multicast, which loops back as from eth0',
    rules: [
      'iifname "lo" accept',
      'ip saddr 127.0.0.0/8 counter name spoofed drop',
      'ip daddr 127.0.0.0/8 counter name spoofed drop',
      'ip6 saddr ::1 counter name spoofed drop',
      'ip6 daddr ::1 counter name spoofed drop',
      'fib saddr type local counter name spoofed drop',
      // On a bridge Pods are neighbours, and nobody knows whose link-local address is whose.
      'ip6 saddr fe80::/10 meta l4proto != icmpv6 counter name spoofed drop',
      'accept',
    ],
  },
  {
    name: 'filter_in',
    base: { type: 'filter', hook: 'input', priority: priority.filter, policy: 'drop' },
    comment: 'from beyond the Pod',
    rules: [
      'iifname "lo" accept',
      `icmpv6 type { ${linkMessages.in.join(', ')} } accept`,
      'meta l4proto igmp counter name chatter drop',
      'ct state invalid counter name invalid drop',
      'ct state related goto related_in',
      'ct direction reply goto answer_in',
      'goto call_in',
    ],
  },
  {
    name: 'related_in',
    comment: 'errors about connections whose caller is known',
    rules: [
      ...both((_n, _ip, icmp) => [`ct mark and 0xff != 0 ${errors[icmp]} accept`]),
      'meta mark set ct mark goto deny_eth0',
    ],
  },
  {
    name: 'answer_in',
    comment: 'of those whom a container called, as long as it may',
    rules: [
      ...both((n, ip) => [
        `ct mark . ${ip} saddr . meta l4proto . th sport @egress${n} accept`,
        `ct mark . ${ip} saddr @egress_all${n} accept`,
      ]),
      'meta mark set ct mark goto deny_eth0',
    ],
  },
  {
    name: 'call_in',
    comment: 'who is called is known by the port where it is UDP, else when somebody answers',
    rules: [
      'meta l4proto tcp tcp flags & (syn|ack) == syn jump no_data',
      'ct mark == 0 jump new_in',
      ...both((n, ip, icmp) => [
        `ct mark . ${ip} saddr . meta l4proto . th dport @ingress${n} goto audit_in`,
        `ct mark . ${ip} saddr @ingress_all${n} goto audit_in`,
        `ct mark . th dport @probed meta l4proto tcp ${ip} saddr @node${n} accept`,
        `ct mark ${outsider} ${icmp} type echo-request ${ip} saddr @pinged${n} accept`,
      ]),
      `ct mark ${outsider} meta l4proto tcp tcp flags & (fin|syn|rst|ack) == syn accept`,
      'meta mark set ct mark goto deny_eth0',
    ],
  },
  {
    name: 'new_in',
    comment: 'the first packet of a connection',
    rules: [
      'meta l4proto udp ct mark set th dport map @served',
      `meta l4proto tcp tcp flags & (fin|syn|rst|ack) == syn ct mark set ${outsider}`,
      ...both((_n, _ip, icmp) => [`${icmp} type echo-request ct mark set ${outsider}`]),
    ],
  },
];
