import { familyOf, type Family } from './addresses.ts';
import type { IngressVia, Peer, Wiring } from './wiring.ts';

/** One family of what docs/decisions/0022-traffic-enters-by-the-proxy.md needs, as elements. */
export interface IngressElements {
  /** In the primary: protocols that enter by the proxy, whatever their port: `tcp`. */
  readonly enters: readonly string[];
  /** In the primary, `protocol . port`: of those what is the proxy's own. */
  readonly direct: readonly string[];
  /** In the primary, `protocol . port`: what its node calls around the proxy. */
  readonly probed: readonly string[];
  /** In a sibling that is the proxy: the addresses of the Pod, whose clients are carried here. */
  readonly served: readonly string[];
  /** In the proxy: `address of the Pod : own address . port`. */
  readonly to: readonly string[];
}

/** The proxy, seen from a primary that is another piece. */
export function proxyBeside({ ingressVia, role, piece, peers }: Wiring): Peer | undefined {
  if (ingressVia === undefined || role !== 'primary' || ingressVia.to === piece) return undefined;
  return peers.find(({ name }) => name === ingressVia.to);
}

function reaches(family: Family, wiring: Wiring, { to }: IngressVia): boolean {
  if (to === wiring.piece) return true;
  return wiring.self[family] !== undefined && proxyBeside(wiring)?.[family] !== undefined;
}

/** Is this piece a sibling to which the primary carries its clients? */
export function takesClients({ ingressVia, role, piece }: Wiring): boolean {
  return role === 'sibling' && ingressVia?.to === piece;
}

/** @param own the piece on eth0 @param primaryPod likewise the primary, seen from a sibling */
export function ingressElements(
  family: Family,
  wiring: Wiring,
  own: readonly string[],
  primaryPod: readonly string[],
): IngressElements {
  const none: IngressElements = { enters: [], direct: [], probed: [], served: [], to: [] };
  const { ingressVia: way, role, piece } = wiring;
  if (way === undefined) return none;
  const ownAddress = own.find((address) => familyOf(address) === family);
  const to = (pod: readonly string[]): readonly string[] =>
    ownAddress === undefined ? [] : pod.map((address) => `${address} : ${ownAddress} . ${way.port}`);
  if (takesClients(wiring)) {
    // A family that the proxy does not have on the peer network brings nobody here.
    const there = wiring.self[family] === undefined ? [] : primaryPod;
    return { ...none, served: there, to: to(there) };
  }
  if (role !== 'primary') return none;
  return {
    ...none,
    // Of both families always: what cannot be carried does not enter.
    enters: ['tcp'],
    // Where nobody carries its own ports to it, they are not left to whoever binds them here.
    direct: reaches(family, wiring, way) ? way.direct.map((port) => `tcp . ${port}`) : [],
    probed: way.probes.map((port) => `tcp . ${port}`),
    to: way.to === piece ? own.map((address) => `${address} : ${address} . ${way.port}`) : [],
  };
}
