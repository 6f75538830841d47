/** Rules of either family. */
export const both = <T>(
  make: (n: '4' | '6', ip: 'ip' | 'ip6', icmp: 'icmp' | 'icmpv6') => readonly T[],
): readonly T[] => [...make('4', 'ip', 'icmp'), ...make('6', 'ip6', 'icmpv6')];
