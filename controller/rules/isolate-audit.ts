import { both } from './isolate-both.ts';
import { usedRules } from './isolate-observe.ts';
import { note } from './isolate-note.ts';
import type { Chain } from './nft.ts';

export const recordAudited = 'limit rate 50/second burst 50 packets jump note_audited';

/** One-way UDP stays "new" as long as it sends: what is known to conntrack has been judged. */
const once = 'ct status & confirmed != 0 accept';

/**
 * Policies with action Audit: what passes and would not if they enforced, once for each connection. Of TCP that is told by
 * the first answer, when it is known who was called; of UDP by the first datagram.
 */
export const auditChains = (isObserved: boolean): readonly Chain[] => [
  { name: 'note_audited', comment: 'record it', rules: note('audited') },
  {
    name: 'audit_call',
    comment: 'the same of a call, whose packet has no mark',
    rules: ['meta mark set ct mark', recordAudited, 'meta mark set 0'],
  },
  {
    name: 'audit_flow',
    comment: 'the answer to another container',
    rules: [
      ...(isObserved ? [usedRules.answered] : []),
      `meta mark . meta l4proto . th sport @audit_flows ${recordAudited}`,
    ],
  },
  {
    name: 'audit_answer',
    comment: 'the answer to somebody beyond the Pod',
    rules: [
      ...both((n, ip) => [
        `meta mark . th sport @probed meta l4proto tcp ${ip} daddr @node${n} return`,
        `meta mark . ${ip} daddr @audit_ingress_all${n} return`,
        `meta mark . ${ip} daddr . meta l4proto . th sport @audit_ingress${n} return`,
      ]),
      `meta l4proto tcp ${recordAudited}`,
    ],
  },
  {
    name: 'audit_in',
    comment: 'passes, from beyond the Pod',
    rules: [
      once,
      ...both((n, ip) => [
        `ct mark . ${ip} saddr @audit_ingress_all${n} accept`,
        `ct mark . ${ip} saddr . meta l4proto . th dport @audit_ingress${n} accept`,
      ]),
      'jump audit_call',
      'accept',
    ],
  },
  {
    name: 'audit_out',
    comment: 'passes, to beyond the Pod',
    rules: [
      once,
      ...(isObserved ? [usedRules.beyond] : []),
      ...both((n, ip) => [
        `ct mark . ${ip} daddr @audit_egress_all${n} accept`,
        `ct mark . ${ip} daddr . meta l4proto . th dport @audit_egress${n} accept`,
      ]),
      'jump audit_call',
      'accept',
    ],
  },
];
