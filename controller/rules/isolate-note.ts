/**
 * Rules that record a packet's connection in the sets `NAME4` and `NAME6`. The mark of the packet says who: the connection's,
 * or what stands in for it. A record is of the call, as it was made, not of its answer.
 */
export function note(name: string): readonly string[] {
  return (
    [
      ['4', 'ip', 'ipv4'],
      ['6', 'ip6', 'ipv6'],
    ] as const
  ).map(
    ([n, ip, nfproto]) =>
      `meta nfproto ${nfproto} meta l4proto { tcp, udp } update @${name}${n} ` +
      `{ meta mark . ct original ${ip} saddr . ct original ${ip} daddr . meta l4proto . ct original proto-dst counter }`,
  );
}
