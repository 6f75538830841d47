import { facadeMark } from './marks.ts';
import { linkMessages } from './link-messages.ts';
import { loopback, type FamilyModel, type Model } from './model.ts';

/** One family's names in nft's language. */
export interface Names {
  readonly data: FamilyModel;
  readonly primary: boolean;
  /** Suffix of sets: `4` or `6`. */
  readonly n: '4' | '6';
  readonly ip: 'ip' | 'ip6';
  readonly nfproto: 'ipv4' | 'ipv6';
  readonly addr: 'ipv4_addr' | 'ipv6_addr';
  readonly lo: string;
  readonly icmp: 'icmp' | 'icmpv6';
  /** The only ICMP error that peers send each other: nobody listens. */
  readonly portUnreachable: string;
  /** ICMP errors that a client of the facade, or a router on the way to it, sends. */
  readonly unreachable: string;
}

export type Both = <T>(make: (names: Names) => readonly T[]) => T[];

/** The same of both families, IPv4 first. */
export function bothOf(model: Model): Both {
  return (make) => [...make(namesOf(model.ipv4, model)), ...make(namesOf(model.ipv6, model))];
}

function namesOf(data: FamilyModel, { role }: Model): Names {
  const primary = role === 'primary';
  const lo = loopback[data.family];
  return data.family === 'ipv4'
    ? {
        data,
        primary,
        n: '4',
        ip: 'ip',
        nfproto: 'ipv4',
        addr: 'ipv4_addr',
        icmp: 'icmp',
        lo,
        portUnreachable: 'icmp type destination-unreachable icmp code port-unreachable',
        unreachable: 'icmp type destination-unreachable',
      }
    : {
        data,
        primary,
        n: '6',
        ip: 'ip6',
        nfproto: 'ipv6',
        addr: 'ipv6_addr',
        icmp: 'icmpv6',
        lo,
        portUnreachable: 'icmpv6 type destination-unreachable icmpv6 code port-unreachable',
        unreachable: 'icmpv6 type { destination-unreachable, packet-too-big }',
      };
}

export const mark = `0x${facadeMark.toString(16)}`;

/** Where addresses and neighbours are fixed nobody needs NDP, MLD and IGMP, but kernels and bridges send them. */
export const chatter: readonly string[] = [
  `icmpv6 type { ${[...new Set([...linkMessages.in, ...linkMessages.out])].join(', ')} } counter name chatter drop`,
  'meta l4proto igmp counter name chatter drop',
];
