import { contains, familyOf, linkLocalOf, numberOf } from './addresses.ts';
import type { HostPart } from './host-net1.ts';
import { hostPodNetworkChain, hostPodNetworkSets } from './host-pod-network.ts';
import type { HostEth0 } from './host.ts';
import { linkMessages } from './link-messages.ts';
import { priority, type Chain, type NamedSet } from './nft.ts';
import { hostOwnServiceChain, hostOwnServiceSets } from './host-own-service.ts';
import type { Both, Names } from './redirect-names.ts';

/**
 * What comes out of the piece by eth0: an ordinary Pod, but only as itself, and never as another piece of its Pod, nor to one but in answer.
 * Whatever is dropped here has passed around the piece's own table, which judges the same.
 */
export function hostEth0(eth0: HostEth0, both: Both, kept: boolean): HostPart {
  const addresses = eth0.podIPs.filter((address) => !contains(linkLocal, address));
  const links = [...new Set([linkLocalOf(eth0.mac), ...eth0.podIPs.filter((address) => contains(linkLocal, address))])];
  const own6 = [...addresses.filter((address) => familyOf(address) === 'ipv6'), ...links];
  return {
    counters: ['host_eth0_spoofed', 'host_eth0_denied'],
    sets: [
      ...both((names) => ownSets(names, addresses)),
      {
        name: 'eth0_link',
        type: 'ipv6_addr',
        kind: 'set',
        elements: links,
        comment: 'link-local addresses of the piece on eth0',
      },
      ...both(hostPodNetworkSets),
      ...both(hostOwnServiceSets),
    ],
    chains: [
      {
        name: 'eth0',
        base: { type: 'filter', hook: 'ingress', device: eth0.device, priority: priority.ingress, policy: 'drop' },
        comment: 'what comes out of the piece by eth0',
        rules: [
          `ether saddr != ${eth0.mac} goto eth0_spoof`,
          // As it is in the frame: a VLAN tag, with VID 0 too, is another type.
          'ether type arp goto eth0_arp',
          'ether type ip goto eth0_ip',
          'ether type ip6 goto eth0_ip6',
          'goto eth0_spoof',
        ],
      },
      {
        name: 'eth0_arp',
        comment: 'who it is, and who others are',
        rules: [
          `arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp saddr ether ${eth0.mac} arp saddr ip @eth0_own4 accept`,
          'goto eth0_spoof',
        ],
      },
      {
        name: 'eth0_ip',
        comment: 'as itself, to whom it may concern',
        rules: [
          'ip saddr != @eth0_own4 goto eth0_spoof',
          ...both((names) => (names.n === '4' ? notToPeers(names, kept) : [])),
        ],
      },
      ...ipv6Chains(own6, both, kept),
      ...hostOwnServiceChain(addresses, both),
      hostPodNetworkChain(both),
      {
        name: 'eth0_spoof',
        comment: 'not who it says, or to another piece',
        rules: ['counter name host_eth0_spoofed drop'],
      },
    ],
  };
}

const linkLocal = 'fe80::/10';

function ownSets({ data, n, addr }: Names, addresses: readonly string[]): readonly NamedSet[] {
  return [
    {
      name: `eth0_own${n}`,
      type: addr,
      kind: 'set',
      elements: addresses.filter((address) => familyOf(address) === data.family),
      comment: 'this piece on eth0',
    },
    { name: `pods${n}`, type: addr, kind: 'set', elements: data.pods, comment: 'the other pieces on eth0' },
    {
      name: `pool${n}`,
      type: addr,
      kind: 'interval',
      elements: data.pool,
      comment: "peer networks' addresses belong on net1 and nowhere else",
    },
  ];
}

/** An ordinary Pod may send to whom policies leave it, a primary answers pieces that called by their own Service; a kept piece to those of them that called. */
function notToPeers({ n, ip, primary }: Names, kept: boolean): readonly string[] {
  return [
    `${ip} daddr @pods${n} ${primary ? 'jump eth0_pods' : 'goto eth0_spoof'}`,
    `${ip} daddr @pool${n} goto eth0_spoof`,
    ...(kept ? [`jump kept_${ip}`] : []),
    ...(primary ? [`${ip} daddr @pods${n} accept`] : []),
    'goto eth0_policy',
  ];
}

/** A neighbour believes what an advertisement says of its target, whoever sent it: the target has to be the sender's own. */
function ipv6Chains(own: readonly string[], both: Both, kept: boolean): readonly Chain[] {
  const target = `@th,64,128 { ${own.map(hexadecimal).join(', ')} }`;
  const messages = linkMessages.out.join(', ');
  const link = kept ? 'goto kept_link' : 'accept';
  return [
    {
      name: 'eth0_ip6',
      comment: 'the same; no piece is a router',
      rules: [
        'ip6 saddr :: goto eth0_new',
        'icmpv6 type nd-neighbor-advert goto eth0_advert',
        'icmpv6 type { nd-router-advert, nd-redirect } goto eth0_spoof',
        `ip6 saddr @eth0_link icmpv6 type { ${messages} } ${link}`,
        'ip6 saddr != @eth0_own6 goto eth0_spoof',
        ...both((names) => (names.n === '6' ? notToPeers(names, kept) : [])),
      ],
    },
    {
      name: 'eth0_new',
      comment: 'an address that is being made: is it free (RFC 4862), is there a router, who listens here (RFC 3590)',
      rules: [
        `icmpv6 type nd-neighbor-solicit ${target} ${link}`,
        `icmpv6 type { nd-router-solicit, mld-listener-report, mld2-listener-report } ${link}`,
        'goto eth0_spoof',
      ],
    },
    {
      name: 'eth0_advert',
      comment: 'this piece is where it is',
      rules: [`ip6 saddr @eth0_own6 ${target} ${link}`, `ip6 saddr @eth0_link ${target} ${link}`, 'goto eth0_spoof'],
    },
  ];
}

/** nft 1.0.6 has no name for the target of an advertisement: it is compared as a number. */
function hexadecimal(address: string): string {
  return `0x${numberOf(address).toString(16).padStart(32, '0')}`;
}
