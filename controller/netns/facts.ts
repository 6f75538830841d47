import { peerInterface } from '../api/names.ts';
import { canonicalAddress } from '../rules/addresses.ts';
import { isRecord } from '../rules/json-reader.ts';
import type { Local, Wiring } from '../rules/wiring.ts';
import { NetnsError } from './netns-error.ts';

/** The Pod's own interface: the CRI calls it so in every Pod. */
const podInterface = 'eth0';

/** One interface of `ip -json address show`. */
export interface Interface {
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
  /** Global scope, as `ip` prints them, which is RFC 5952 for IPv6. */
  readonly addresses: readonly string[];
}

export function parseInterfaces(text: string): readonly Interface[] {
  return records(text).map((link) => ({
    name: String(link['ifname']),
    mac: String(link['address']),
    mtu: Number(link['mtu']),
    addresses: list(link['addr_info'])
      .filter((info) => info['scope'] === 'global')
      .map((info) => String(info['local'])),
  }));
}

/** Gateways in the output of `ip -json route show default`. */
export function parseGateways(text: string): readonly string[] {
  return records(text)
    .flatMap((route) => [route, ...list(route['nexthops'])])
    .flatMap(({ gateway, via }) => [gateway, isRecord(via) ? via['host'] : undefined])
    .filter((gateway) => typeof gateway === 'string');
}

/** `HOST_IPS`: the downward API's status.hostIPs, comma-separated. */
export function parseHostIPs(text: string): readonly string[] {
  return text
    .split(',')
    .filter((part) => part !== '')
    .map((part) => {
      const address = canonicalAddress(part.trim().toLowerCase());
      if (address === undefined) throw new NetnsError('InvalidEnvironment', `HOST_IPS: ${part} is no IP address`);
      return address;
    });
}

/** What the rules depend on and only the network namespace can tell. */
export function localFacts(interfaces: readonly Interface[], nodeIPs: readonly string[]): Local {
  const eth0 = interfaces.find(({ name }) => name === podInterface);
  return {
    podIPs: eth0?.addresses ?? [],
    nodeIPs: [...new Set(nodeIPs)],
    ...(eth0 === undefined ? {} : { mtu: eth0.mtu }),
  };
}

/** net1 is made before any container of the Pod starts: if it is not there now, it does not come. */
export function peerLink(interfaces: readonly Interface[]): Interface {
  const net1 = interfaces.find(({ name }) => name === peerInterface);
  if (net1 !== undefined) return net1;
  throw new NetnsError(
    'PeerInterfaceMissing',
    `no ${peerInterface} among ${interfaces.map(({ name }) => name).join(', ')}: is Multus on this node, and did it ` +
      'read the annotation k8s.v1.cni.cncf.io/networks?',
  );
}

/** Identity on the peer network is MAC with IP, so both have to be what the other pieces were told. */
export function checkPeerLink({ mac, addresses }: Interface, { self }: Wiring): void {
  const promised = [self.mac, self.ipv4, self.ipv6].filter((value) => value !== undefined);
  const missing = promised.filter((value) => value !== mac && !addresses.includes(value));
  if (missing.length === 0) return;
  throw new NetnsError(
    'PeerInterfaceMismatch',
    `the wiring promises ${missing.join(' and ')}, but ${peerInterface} has ${[mac, ...addresses].join(', ')}`,
  );
}

/** A sandbox that was made again has other addresses than the wiring of the one before. */
export function describesThisSandbox({ self }: Wiring, { podIPs }: Local): boolean {
  return self.podIPs === undefined || [...self.podIPs].sort().join() === [...podIPs].sort().join();
}

function records(text: string): readonly Readonly<Record<string, unknown>>[] {
  // iproute2 prints nothing rather than [] where it has nothing to list.
  return list(text.trim() === '' ? [] : JSON.parse(text));
}

function list(value: unknown): readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value.filter((each) => isRecord(each)) : [];
}
