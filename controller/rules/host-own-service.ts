import { familyOf, numberOf } from './addresses.ts';
import type { Chain, NamedSet } from './nft.ts';
import type { Both, Names } from './redirect-names.ts';

/** Where the destination of the IP header that an ICMP error quotes is, and its length, in bits from the error's own header. */
const quotedDestination = { ip: '@th,192,32', ip6: '@th,256,128' } as const;

/** A quoted address in nft's form: nft 1.0.6 has no name for it, so that it is compared as a number. */
function hexadecimal(address: string): string {
  const digits = familyOf(address) === 'ipv4' ? 8 : 32;
  return `0x${numberOf(address).toString(16).padStart(digits, '0')}`;
}

/**
 * From a primary to its other pieces by eth0 go the answers to calls of the Pod's own Service, and nothing that begins a
 * connection. An error quotes a packet to this Pod's address: the node would translate any other one too.
 *
 * @param own the piece's addresses on eth0
 */
export function hostOwnServiceChain(own: readonly string[], both: Both): readonly Chain[] {
  const rules = both(({ n, ip, primary, data, portUnreachable }) => {
    if (!primary) return [];
    const quoted = own.filter((address) => familyOf(address) === data.family).map(hexadecimal);
    return [
      `${ip} daddr . meta l4proto . th sport @pod_calls${n} return`,
      ...(quoted.length === 0
        ? []
        : [`${portUnreachable} ${quotedDestination[ip]} { ${quoted.join(', ')} } return comment "nobody listens"`]),
    ];
  });
  if (rules.length === 0) return [];
  return [
    {
      name: 'eth0_pods',
      comment: "to another piece: an answer to a call of the Pod's own Service",
      rules: [
        'tcp flags & (syn|ack) == syn goto eth0_spoof',
        ...rules,
        'icmpv6 type nd-neighbor-solicit return comment "who is answered has to be found"',
        // The first fragment is judged; without it the others are of no use.
        'ip frag-off & 0x1fff != 0 return',
        'frag frag-off != 0 return',
        'goto eth0_spoof',
      ],
    },
  ];
}

export function hostOwnServiceSets({ data: { ownService }, n, addr, primary }: Names): readonly NamedSet[] {
  if (!primary) return [];
  return [
    {
      name: `pod_calls${n}`,
      type: `${addr} . inet_proto . inet_service`,
      kind: 'set',
      elements: ownService.calls,
      comment: "what the other pieces may call at the Pod's address",
    },
  ];
}
