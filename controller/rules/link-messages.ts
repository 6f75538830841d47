/**
 * What a host needs of ICMPv6 to have a link at all (RFC 4861, RFC 3810): on eth0 the CNI relies on it. Redirects are left
 * out, and a piece is no router: it sends no advertisements.
 */
export const linkMessages = {
  in: ['mld-listener-query', 'nd-router-advert', 'nd-neighbor-solicit', 'nd-neighbor-advert'],
  out: [
    'mld-listener-report',
    'mld-listener-done',
    'mld2-listener-report',
    'nd-router-solicit',
    'nd-neighbor-solicit',
    'nd-neighbor-advert',
  ],
} as const;
