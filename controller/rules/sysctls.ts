/**
 * What the rules need of the kernel in a piece's network namespace. A container without `privileged` sees /proc/sys
 * read-only, whatever its capabilities, so the tuning plugin of the generated NAD writes these before the piece starts;
 * the init container only checks them. Keys are in that plugin's form: IFNAME stands for the peer interface.
 */
export interface Sysctl {
  readonly key: string;
  readonly value: string;
  /** `ipv6` keys do not exist on a kernel without IPv6: they are wanted only where the peer network has it. */
  readonly family: 'ipv4' | 'ipv6';
  readonly reason: string;
}

export const sysctls: readonly Sysctl[] = [
  {
    key: 'net.ipv4.conf.IFNAME.route_localnet',
    value: '1',
    family: 'ipv4',
    reason:
      'Redirected packets have 127.0.0.1 as their destination when they are routed in from the peer interface. On that ' +
      'interface only: on "all", loopback traffic would leave by eth0 once the peer interface is down. The raw chain ' +
      'closes what CVE-2020-8558 opened with it.',
  },
  {
    key: 'net.ipv4.conf.IFNAME.rp_filter',
    value: '2',
    family: 'ipv4',
    reason:
      'A client of the Pod IP facade arrives by the peer interface but is routed by eth0: strict (1) would drop it. ' +
      'Loose rather than off, because the kernel takes the larger of this and "all", where nodes often have 1.',
  },
  {
    key: 'net.ipv4.conf.IFNAME.accept_local',
    value: '1',
    family: 'ipv4',
    reason:
      "A proxy by which clients enter answers them as the Pod's address, which is the primary's own: it would be taken for " +
      'a martian there. The raw chain lets in no other packet that says so.',
  },
  {
    key: 'net.ipv4.conf.IFNAME.accept_redirects',
    value: '0',
    family: 'ipv4',
    reason: 'No peer tells a piece its routes.',
  },
  {
    key: 'net.ipv4.ip_forward',
    value: '1',
    family: 'ipv4',
    reason: 'The primary forwards the facade ports from eth0 to the siblings; its FORWARD chain drops all else.',
  },
  {
    key: 'net.ipv6.conf.IFNAME.accept_ra',
    value: '0',
    family: 'ipv6',
    reason: 'A router advertisement of a peer would set a default route, an address and the MTU.',
  },
  {
    key: 'net.ipv6.conf.IFNAME.accept_redirects',
    value: '0',
    family: 'ipv6',
    reason: 'No peer tells a piece its routes.',
  },
  {
    key: 'net.ipv6.conf.all.forwarding',
    value: '1',
    family: 'ipv6',
    reason:
      'As net.ipv4.ip_forward. Routes that the CNI made stay; a default route learned from router advertisements ' +
      'would go, unless eth0 has accept_ra=2.',
  },
];

/** For a peer network of these families. */
export function sysctlsFor(families: readonly ('ipv4' | 'ipv6')[]): Readonly<Record<string, string>> {
  return Object.fromEntries(sysctls.filter(({ family }) => families.includes(family)).map((s) => [s.key, s.value]));
}

/** Of both families, as the tuning plugin's `sysctl` field takes them. */
export const requiredSysctls: Readonly<Record<string, string>> = sysctlsFor(['ipv4', 'ipv6']);
