import type { Protocol } from '../api/flow.ts';
import { familyOf, type Family } from './addresses.ts';
import { loopback, type PresentPeer } from './model.ts';
import type { Via, Wiring } from './wiring.ts';

/**
 * One family of what docs/decisions/0018-the-unavoidable-proxy.md needs, as elements. The first three are of the piece that is
 * kept, the others of its proxy; a piece is the one, the other or, most often, neither.
 */
export interface ViaElements {
  /** Protocols that are carried to the proxy whatever their port: `tcp`. */
  readonly carried: readonly string[];
  /** `protocol . port`: what is carried of others. */
  readonly carriedPorts: readonly string[];
  /** `address . protocol . port`: all that it reaches by eth0. */
  readonly resolvers: readonly string[];
  /** `MAC . address` of the pieces that are carried here. */
  readonly clients: readonly string[];
  /** `address . protocol`: what they may send to anywhere. */
  readonly taken: readonly string[];
  /** `address . protocol . port`. */
  readonly takenPorts: readonly string[];
  /** `address : loopback . port`: where the proxy listens for that client. */
  readonly to: readonly string[];
}

export const dnsPort = 53;
export const dnsServices = [
  { protocol: 'tcp', port: dnsPort },
  { protocol: 'udp', port: dnsPort },
] as const satisfies readonly Service[];
const dnsElements = dnsServices.map(({ protocol, port }) => `${protocol} . ${port}`);

export interface Service {
  readonly protocol: Protocol;
  readonly port: number;
}

/** Where the proxy listens for what its client is made to send there. */
export function carriedTo({ port, dns }: Pick<Via, 'port' | 'dns'>): readonly Service[] {
  return [
    ...(port === undefined ? [] : [{ protocol: 'tcp', port } as const]),
    ...(dns === 'proxy' ? dnsServices.filter(({ protocol }) => protocol !== 'tcp' || port !== dnsPort) : []),
  ];
}

/** The way out of this piece. */
export function keptBy({ via, piece }: Wiring): Via | undefined {
  return via?.find(({ from }) => from === piece);
}

/** Are there packets that go to the proxy with the address that they were sent to? */
export function carries(via: Via | undefined): boolean {
  return via?.to !== undefined && (via.port !== undefined || via.dns === 'proxy');
}

export function viaElements(family: Family, wiring: Wiring, peers: readonly PresentPeer[]): ViaElements {
  const kept = keptBy(wiring);
  // A family that the proxy does not have on the peer network leads nowhere: it is closed, not carried.
  const reachable = kept !== undefined && peers.some(({ name }) => name === kept.to);
  const served = (wiring.via ?? []).filter((via) => via.to === wiring.piece && carries(via));
  const clients = served.flatMap((via) =>
    peers.filter(({ name }) => name === via.from).map(({ mac, address }) => ({ mac, address, ...via })),
  );
  return {
    carried: reachable && kept.port !== undefined ? ['tcp'] : [],
    carriedPorts: reachable && kept.dns === 'proxy' ? dnsElements : [],
    resolvers: resolversOf(kept, family),
    clients: clients.map(({ mac, address }) => `${mac} . ${address}`),
    taken: clients.filter(({ port }) => port !== undefined).map(({ address }) => `${address} . tcp`),
    takenPorts: clients
      .filter(({ dns }) => dns === 'proxy')
      .flatMap(({ address }) => dnsElements.map((service) => `${address} . ${service}`)),
    to: clients.flatMap(({ address, port }) =>
      port === undefined ? [] : [`${address} : ${loopback[family]} . ${port}`],
    ),
  };
}

function resolversOf(via: Via | undefined, family: Family): readonly string[] {
  if (via?.dns !== 'cluster') return [];
  return via.resolvers
    .filter((address) => familyOf(address) === family)
    .flatMap((address) => dnsElements.map((service) => `${address} . ${service}`));
}
