import { linkMessages } from './link-messages.ts';
import { priority, tableName, type Table } from './nft.ts';

/**
 * Before the piece has its rules none of its programs runs (in install mode init podsplit's own init container does, which
 * needs no network): nothing passes net1, nothing new comes in by eth0 or leaves by it. Neighbour discovery does, or the CNI would find eth0 dead; loopback
 * does. Router advertisements on eth0 are the CNI's to allow or not.
 */
export const closedTable: Table = {
  family: 'inet',
  name: tableName,
  marker: 'closed',
  counters: ['closed_in', 'closed_out', 'closed_forward'],
  sets: [],
  chains: [
    {
      name: 'raw_in',
      base: { type: 'filter', hook: 'prerouting', priority: priority.raw, policy: 'drop' },
      comment: 'before conntrack: the peer network is not there yet',
      rules: ['iifname "net1" counter name closed_in drop', 'accept'],
    },
    {
      name: 'filter_in',
      base: { type: 'filter', hook: 'prerouting', priority: priority.mangle, policy: 'drop' },
      comment: 'no new connection',
      rules: [
        'iifname "lo" accept',
        `icmpv6 type { ${linkMessages.in.join(', ')} } accept`,
        'ct state established,related accept',
        'counter name closed_in drop',
      ],
    },
    {
      name: 'filter_out',
      base: { type: 'filter', hook: 'postrouting', priority: priority.afterSnat, policy: 'drop' },
      comment: 'no new connection',
      rules: [
        'oifname "lo" accept',
        'oifname "net1" counter name closed_out drop',
        `icmpv6 type { ${linkMessages.out.join(', ')} } accept`,
        'ct state established,related accept',
        'counter name closed_out drop',
      ],
    },
    {
      name: 'forward',
      base: { type: 'filter', hook: 'forward', priority: priority.filter, policy: 'drop' },
      comment: 'no piece is a router',
      rules: ['counter name closed_forward drop'],
    },
  ],
};
