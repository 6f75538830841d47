import type { Model } from './model.ts';
import { tableName, type Chain, type Table } from './nft.ts';
import { inChains, rawChains } from './redirect-in.ts';
import { usedChains, usedSets } from './observe.ts';
import { loopbackChains, ownPortsSet } from './redirect-loopback.ts';
import { bothOf, type Both } from './redirect-names.ts';
import { natChains, replyChain } from './redirect-nat.ts';
import { forwardChains, outChains } from './redirect-out.ts';
import { auditedSet, podNetworkChains, podNetworkSets } from './redirect-pod-network.ts';
import { ownServiceSets } from './redirect-own-service.ts';
import { dataSets, recordSets } from './redirect-sets.ts';
import { ingressChains, ingressSets } from './redirect-ingress.ts';
import { viaChains, viaSets } from './redirect-via.ts';

/**
 * The back end that carries loopback by NAT. The skeleton depends on the piece's role and its own addresses only, all
 * else is data in sets and maps, so that a change of flows is a change of elements.
 *
 * Every packet is judged twice, whatever NAT does to it: as it comes in, before DNAT, and as it leaves, after SNAT. On
 * net1 there is no "established accept": a connection whose flow is taken from the sets stops with its next packet.
 */
export function redirectTable(model: Model, marker: string): Table {
  const both = bothOf(model);
  return {
    family: 'inet',
    name: tableName,
    marker,
    counters: ['spoofed', 'chatter', 'denied_in', 'denied_out', 'denied_eth0', 'denied_forward', 'refused_loopback'],
    sets: [
      ...both(({ data, n, addr }) => dataSets(data, n, addr)),
      {
        name: 'facade_from',
        type: 'ether_addr',
        kind: 'set',
        elements: model.facadeFrom,
        comment: 'the primary, where it forwards ports of the Pod to this piece',
      },
      ownPortsSet(model),
      ...viaSets(model, both),
      ...ingressSets(model, both),
      ...both(ownServiceSets),
      ...both(({ data, n, addr }) => podNetworkSets(data, { n, addr })),
      ...both(({ n, addr }) => [...recordSets(n, addr), auditedSet(n, addr)]),
      ...(model.observe ? both(({ n, addr }) => usedSets(n, addr)) : []),
    ],
    chains: [
      ...verdictChains(both),
      ...viaChains(both),
      ...(model.role === 'primary' ? ingressChains(both) : []),
      ...rawChains(both, model.role === 'primary'),
      ...inChains(both, model.role === 'primary'),
      ...natChains(both),
      ...(model.role === 'sibling' ? [replyChain] : []),
      ...(model.observe ? usedChains(both) : []),
      ...outChains(both, model.role === 'primary'),
      ...loopbackChains(both),
      ...podNetworkChains(both, model.role === 'primary'),
      ...forwardChains(both, model.role === 'primary'),
    ],
  };
}

function verdictChains(both: Both): readonly Chain[] {
  const deny = (counter: string, note: string): readonly string[] => [
    `counter name ${counter}`,
    `limit rate 50/second burst 50 packets jump ${note}`,
    'drop',
  ];
  const note = (interfaceName: string): readonly string[] =>
    both(({ n, ip }) => [
      `meta nfproto ${ip === 'ip' ? 'ipv4' : 'ipv6'} meta l4proto { tcp, udp } update @tried${n} ` +
        `{ ${interfaceName} . ${ip} saddr . ${ip} daddr . meta l4proto . th dport counter }`,
    ]);
  return [
    { name: 'note_in', comment: 'record it, at a bounded rate', rules: note('iifname') },
    { name: 'note_out', comment: 'record it, at a bounded rate', rules: note('oifname') },
    { name: 'deny_in', comment: 'no flow to this piece says so', rules: deny('denied_in', 'note_in') },
    { name: 'deny_eth0', comment: 'not by eth0', rules: deny('denied_eth0', 'note_in') },
    { name: 'deny_out', comment: 'no flow from this piece says so', rules: deny('denied_out', 'note_out') },
    { name: 'spoof', comment: 'not who it says, or not for us', rules: ['counter name spoofed drop'] },
  ];
}
