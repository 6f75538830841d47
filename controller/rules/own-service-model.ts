import type { Flow } from '../api/flow.ts';
import { familyOf, type Family } from './addresses.ts';
import type { IngressElements } from './ingress-model.ts';
import type { PresentPeer } from './model.ts';
import type { Wiring } from './wiring.ts';

/** One family of what docs/decisions/0026-own-service.md needs, as elements. In a sibling they are empty. */
export interface OwnServiceElements {
  /** `Pod IP of a piece . protocol . port`: what that piece may call at the Pod's address. */
  readonly calls: readonly string[];
  /** Of those what is recorded, because policies that audit would refuse it. */
  readonly audited: readonly string[];
}

/**
 * A Service leads a piece's call back to the Pod's address, where it comes in by eth0 from the piece's Pod IP. What passes
 * there is what loopback gives: the flows, and the caller's own port. A port that a sibling serves is that sibling's.
 */
export function ownServiceElements(
  family: Family,
  wiring: Wiring,
  present: readonly PresentPeer[],
  ingress: IngressElements,
): OwnServiceElements {
  if (wiring.role === 'sibling') return { calls: [], audited: [] };
  // TCP that enters by a proxy enters so from pieces too, or not at all: who calls there is told by its address.
  const enters = new Set(ingress.enters);
  const direct = new Set(ingress.direct);
  const servers = new Map(wiring.facade.map((port) => [keyOf(port), port.piece]));
  const open = ({ to, ...service }: Omit<Flow, 'from'>): boolean => {
    const server = servers.get(keyOf(service)) ?? wiring.piece;
    if (server !== to || (to !== wiring.piece && !present.some(({ name }) => name === to))) return false;
    return !enters.has(service.protocol) || direct.has(keyOf(service));
  };
  // Who is kept calls nobody by eth0.
  const kept = new Set(wiring.via?.map(({ from }) => from));
  const callers = wiring.peers.filter(({ name }) => !kept.has(name));
  const elements = (flows: readonly Flow[]): readonly string[] =>
    callers.flatMap(({ name, podIPs }) => {
      const calls = flows.filter((flow) => flow.from === name && open(flow));
      const own = podIPs?.filter((address) => familyOf(address) === family) ?? [];
      return own.flatMap((address) => calls.map((call) => `${address} . ${keyOf(call)}`));
    });
  const themselves = wiring.facade.map(({ piece, ...service }): Flow => ({ from: piece, to: piece, ...service }));
  return {
    calls: [...new Set(elements([...wiring.flows, ...themselves]))],
    audited: [...new Set(elements(wiring.auditedFlows ?? []))],
  };
}

function keyOf({ protocol, port }: Pick<Flow, 'protocol' | 'port'>): string {
  return `${protocol} . ${port}`;
}
