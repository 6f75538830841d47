import { both } from './isolate-both.ts';
import { markOf, outsider, type IsolateModel } from './isolate-model.ts';
import { usedRules } from './isolate-observe.ts';
import { linkMessages } from './link-messages.ts';
import { priority, type Chain } from './nft.ts';

type Skeleton = Pick<IsolateModel, 'containers' | 'isObserved'>;

/**
 * One chain for each UID: a packet that a process sends is the caller's or the answerer's, whoever had the same address and
 * port before. Who answers is written to the connection once it is known and allowed, so that an attacker who answered
 * first keeps nobody out.
 */
export function callerChains({ containers, isObserved }: Skeleton): readonly Chain[] {
  return [
    {
      name: 'answered',
      comment: 'the first answer of a connection: may this caller call at this port who answers here?',
      rules: [
        'ct status dnat goto via_answered',
        'meta mark @self ct mark set meta mark',
        'meta mark . meta l4proto . th sport @flows ct mark set meta mark goto audit_flow',
        ...(isObserved ? [usedRules.answer] : []),
        ...both((n, ip) => [
          `meta mark . ${ip} daddr . meta l4proto . th sport @ingress${n} ct mark set meta mark goto audit_answer`,
          `meta mark . ${ip} daddr @ingress_all${n} ct mark set meta mark goto audit_answer`,
          `meta mark . th sport @probed meta l4proto tcp ${ip} daddr @node${n} ct mark set meta mark`,
        ]),
      ],
    },
    ...containers.map(({ number, name }): Chain => ({
      name: `from_${number}`,
      comment: `container ${name}`,
      rules: [
        `ct direction original ct mark == 0 ct mark set ${number}`,
        `ct direction original ct mark and 0xff != ${number} meta mark set ${number} goto deny_out`,
        `ct direction reply ct mark and 0xff00 == 0 meta mark set ct mark or ${markOf(0, number)} jump answered`,
        `ct direction reply ct mark and 0xff00 != ${markOf(0, number)} goto deny_answer`,
        'meta mark set 0',
      ],
    })),
  ];
}

export function isolateOutChains({ containers, isObserved }: Skeleton): readonly Chain[] {
  const uids = containers.map(({ uid }) => uid);
  return [
    {
      name: 'filter_out',
      base: { type: 'filter', hook: 'output', priority: priority.filter, policy: 'drop' },
      comment: 'where the UID of the sender is known, and of a listener whose kernel answers for it',
      rules: [
        `icmpv6 type { ${linkMessages.out.join(', ')} } accept`,
        'meta l4proto igmp counter name chatter drop',
        'ct state invalid counter name invalid drop',
        `meta skuid != { ${uids.join(', ')} } goto deny_stranger`,
        `meta skuid vmap { ${containers.map(({ uid, number }) => `${uid} : jump from_${number}`).join(', ')} }`,
        // From here on packets without a UID too: resets, and what the kernel sends for sockets that are closed already.
        'ct state related goto related_out',
        'ct status dnat goto via_out',
        'oifname "lo" goto lo_out',
        'goto eth0_out',
      ],
    },
    {
      name: 'related_out',
      comment: 'errors of this kernel about connections whose caller is known',
      rules: [
        ...both((_n, _ip, icmp) => [`ct mark and 0xff != 0 meta l4proto ${icmp} accept`]),
        'meta l4proto tcp tcp flags & rst == rst accept comment "of deny_answer"',
        'meta mark set ct mark goto deny_out',
      ],
    },
    {
      name: 'lo_out',
      comment: 'between containers, by whatever address: loopback, and the addresses of eth0',
      rules: [
        'meta l4proto tcp tcp flags & (syn|ack) == syn jump no_data',
        'ct mark @self accept',
        ...(isObserved ? [usedRules.loopback] : []),
        'ct direction original ct mark . meta l4proto . th dport @flows accept',
        'ct direction reply ct mark . meta l4proto . th sport @flows accept',
        'ct mark and 0xff00 == 0 ct mark != 0 jump unanswered',
        'meta mark set ct mark goto deny_out',
      ],
    },
    {
      name: 'unanswered',
      comment: 'nobody has answered yet',
      rules: [
        'ct direction original meta l4proto tcp ct mark . th dport @taken meta mark set ct mark goto deny_out',
        'ct direction original meta l4proto tcp tcp flags & (fin|syn|rst|ack) == syn accept',
        ...(isObserved ? [usedRules.datagram] : []),
        'ct direction original meta l4proto udp ct status & confirmed == 0 ct mark . th dport @audit_calls jump audit_call',
        'ct direction original meta l4proto udp ct mark . th dport @calls accept',
        'meta l4proto tcp tcp flags & rst == rst accept comment "nobody listens there, or the caller gave up"',
        'icmp type { echo-request, echo-reply } accept',
        'icmpv6 type { echo-request, echo-reply } accept',
      ],
    },
    {
      name: 'eth0_out',
      comment: 'beyond the Pod, as itself',
      rules: [
        'ip daddr 127.0.0.0/8 meta mark set ct mark goto deny_out',
        'ip6 daddr ::1 meta mark set ct mark goto deny_out',
        'fib saddr type != local counter name spoofed drop',
        ...both((n, ip, icmp) => [
          `ct direction original ct mark . ${ip} daddr . meta l4proto . th dport @egress${n} goto audit_out`,
          `ct direction original ct mark . ${ip} daddr @egress_all${n} goto audit_out`,
          `ct direction reply ct mark . ${ip} daddr . meta l4proto . th sport @ingress${n} accept`,
          `ct direction reply ct mark . ${ip} daddr @ingress_all${n} accept`,
          `ct direction reply ct mark . th sport @probed meta l4proto tcp ${ip} daddr @node${n} accept`,
          `ct direction reply ct mark ${outsider} ${icmp} type echo-reply ${ip} daddr @pinged${n} accept`,
        ]),
        `ct direction reply ct mark ${outsider} meta l4proto tcp tcp flags & rst == rst accept comment "nobody listens there"`,
        'meta mark set ct mark goto deny_out',
      ],
    },
  ];
}
