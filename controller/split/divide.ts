import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { Intent, IntendedFlows } from '../api/annotations.ts';
import type { IntendedVia } from '../api/egress-via.ts';
import type { IntendedIngressVia } from '../api/ingress-via.ts';
import type { DeclaredPort, Flow } from '../api/flow.ts';
import { appArmorContainer } from './app-armor.ts';
import type { Piece } from './plan.ts';
import {
  annotationsOf,
  claimNamesOf,
  declaredPortsOf,
  isNativeSidecar,
  pickEntries,
  runningContainers,
  specOf,
  volumeNamesOf,
} from './pod.ts';

/** A whole Pod taken apart: each container with what it uses. Whether that may be is another question: see checks.ts. */
export interface Division {
  readonly primary: Piece;
  readonly siblings: readonly Piece[];
  readonly startOrder: readonly string[];
  readonly flows: readonly Flow[];
  readonly via: readonly IntendedVia[];
  readonly ingressVia?: IntendedIngressVia;
}

export function divide(pod: IPod, intent: Intent): Division {
  const spec = specOf(pod);
  const pieces = runningContainers(spec).map((container) =>
    pieceOf(pod, container, container.name === intent.primary.container),
  );
  return {
    primary: pieces.find((piece) => piece.name === intent.primary.container) ?? emptyPiece,
    siblings: pieces.filter((piece) => piece.name !== intent.primary.container),
    startOrder: (spec.initContainers ?? []).map(({ name }) => name),
    flows: flowsBetween(pieces, intent.flows),
    via: [...intent.via].sort((a, b) => compare(a.from, b.from)),
    ...(intent.ingressVia === undefined ? {} : { ingressVia: intent.ingressVia }),
  };
}

/** `parseIntent` only names containers that the Pod has. */
const emptyPiece: Piece = {
  name: '',
  container: { name: '' },
  volumes: [],
  resourceClaims: [],
  annotations: {},
  initContainers: [],
  ports: [],
};

function pieceOf(pod: IPod, container: IContainer, isPrimary: boolean): Piece {
  const spec = specOf(pod);
  const initContainers = isPrimary ? (spec.initContainers ?? []).filter((one) => !isNativeSidecar(one)) : [];
  const elsewhere = runningContainers(spec).filter((other) => other.name !== container.name);
  const takes = (namesOf: (container: IContainer) => ReadonlySet<string>): ((item: { name: string }) => boolean) => {
    const own = union([container, ...initContainers].map(namesOf));
    const others = union(elsewhere.map(namesOf));
    // What nobody uses stays with the primary: a Secret that is missing still holds the Pod back.
    return ({ name }) => own.has(name) || (isPrimary && !others.has(name));
  };
  return {
    name: container.name,
    container,
    volumes: (spec.volumes ?? []).filter(takes(volumeNamesOf)),
    resourceClaims: (spec.resourceClaims ?? []).filter(takes(claimNamesOf)),
    annotations: pickEntries(annotationsOf(pod), (key) => appArmorContainer(key) === container.name),
    initContainers,
    ports: declaredPortsOf(container),
  };
}

function union(sets: readonly ReadonlySet<string>[]): ReadonlySet<string> {
  return new Set(sets.flatMap((set) => [...set]));
}

export function flowsBetween(
  pieces: readonly Pick<Piece, 'name' | 'ports'>[],
  intended: IntendedFlows,
): readonly Flow[] {
  const flows =
    intended.kind === 'listed'
      ? intended.flows
      : pieces.flatMap((server) =>
          pieces
            .filter((client) => client !== server)
            .flatMap((client) => server.ports.map((port) => flowTo(client, port))),
        );
  const unique = new Map(flows.map((flow) => [`${flow.from}>${flow.to}:${flow.port}/${flow.protocol}`, flow]));
  return [...unique.values()].sort(compareFlows);
}

function flowTo(client: Pick<Piece, 'name'>, { container, port, protocol }: DeclaredPort): Flow {
  return { from: client.name, to: container, port, protocol };
}

function compareFlows(a: Flow, b: Flow): number {
  return compare(a.from, b.from) || compare(a.to, b.to) || compare(a.protocol, b.protocol) || a.port - b.port;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
