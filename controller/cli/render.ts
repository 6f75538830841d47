import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { candidateIndex } from '../addresses/block.ts';
import { addressesAt, blockCount, poolRanges, usableOffsets, type PieceAddress } from '../addresses/pool.ts';
import { nadName, workloadKey, type WorkloadRef } from '../api/identity.ts';
import {
  networksAnnotation as networksKey,
  ownAnnotations,
  ownLabels,
  readinessGate,
  schedulingGate,
} from '../api/names.ts';
import { isReservedKey } from '../api/keys.ts';
import { carriedFlows, pieceMultiNetworkPolicies } from '../policies/multi-network-policy.ts';
import { networkAttachmentDefinition } from '../policies/nad.ts';
import { pieceNetworkPolicies } from '../policies/network-policy.ts';
import { compile } from '../rules/compile.ts';
import { formatWiring } from '../rules/wiring-json.ts';
import type { Wiring } from '../rules/wiring.ts';
import { cutPod } from '../split/cut.ts';
import type { Plan, SplitOptions } from '../split/plan.ts';
import { annotationsOf, labelsOf, pickEntries, specOf, without } from '../split/pod.ts';
import { servedBySiblings } from '../split/ingress-via.ts';
import { siblingPod, splitIdOf } from '../split/sibling.ts';
import { formatStarted } from '../split/started.ts';
import { sidecarsOf } from '../split/wait-containers.ts';
import { buildWirings, networksAnnotation, withPrefixOf } from '../split/wire.ts';
import type { Network } from './network.ts';

export interface RenderInput {
  /** The whole Pod, named. */
  readonly pod: IPod;
  readonly plan: Plan;
  readonly workload: WorkloadRef;
  readonly network: Network;
  readonly options: SplitOptions;
  /** The user's own, of the same input: what they keep the Pod from, its pieces are kept from too. */
  readonly userPolicies: readonly INetworkPolicy[];
  readonly multiNetworkPolicies: boolean;
  /** Of the cluster's DNS. */
  readonly resolvers: readonly string[];
}

export interface RenderedPiece {
  readonly container: string;
  readonly pod: IPod;
  /** The nftables text that will be loaded, as far as it is known before the Pod has its address. */
  readonly rules: string;
}

export interface Rendered {
  /** What the pieces need to be there first. */
  readonly objects: readonly object[];
  /** The primary first. */
  readonly pieces: readonly RenderedPiece[];
}

/**
 * What the controller would make of one replica, to be applied where there is no controller: no gates, the wiring released,
 * every address given.
 */
export function render(input: RenderInput): Rendered {
  const { pod, plan, workload, network, options } = input;
  const key = workloadKey(workload);
  const containers = [plan.primary, ...plan.siblings].map((piece) => piece.name);
  const addresses = addressesFor(containers, key, network);
  const wirings = buildWirings({
    plan,
    splitId: splitIdOf(pod),
    pool: poolRanges(network.pool),
    addresses,
    resolvers: input.resolvers,
    release: 'go',
  });
  const annotations = (container: string): PieceAnnotations => ({
    wiring: formatWiring(ofPiece(wirings, container)),
    networks: networksOf(nadName(workload, plan.install), network, ofPiece(addresses, container)),
  });

  const cut = cutPod(pod, plan, options);
  const sidecars = sidecarsOf(plan).map((piece) => piece.name);
  const primary = wiredPrimary(cut, plan, key, { ...annotations(plan.primary.name), sidecars });
  const siblings = plan.siblings.map((piece) =>
    siblingPod({
      primary: cut,
      plan,
      piece,
      workloadKey: key,
      ...annotations(piece.name),
      owner: false,
      gated: false,
      options,
    }),
  );
  const pods = [primary, ...siblings];
  return {
    objects: [
      networkAttachmentDefinition({ workload, install: plan.install, network }),
      ...pieceNetworkPolicies({
        workload,
        siblings: plan.siblings.map((piece) => piece.name),
        labels: [labelsOf(pod)],
        userPolicies: input.userPolicies,
      }),
      ...(input.multiNetworkPolicies
        ? pieceMultiNetworkPolicies({
            workload,
            containers,
            flows: [...plan.flows, ...carriedFlows(plan.via)],
            facade: servedBySiblings(plan),
            observe: plan.observe === true,
            pool: poolRanges(network.pool),
          })
        : []),
    ],
    pieces: pods.map((piece, index) => {
      const container = containers[index] ?? '';
      return { container, pod: piece, rules: compile(ofPiece(wirings, container), unknownLocal) };
    }),
  };
}

/** A piece sees its own eth0 and its node once it runs. */
const unknownLocal = { podIPs: [], nodeIPs: [] };

interface PieceAnnotations {
  readonly wiring: string;
  readonly networks: string;
}

interface PrimaryAnnotations extends PieceAnnotations {
  /** Nobody will say when they have started: to what waits for them, they have. */
  readonly sidecars: readonly string[];
}

/** What the controller writes on the cut Pod, in the one patch that lifts its gate. */
function wiredPrimary(cut: IPod, plan: Plan, key: string, { wiring, networks, sidecars }: PrimaryAnnotations): IPod {
  const spec = specOf(cut);
  const schedulingGates = (spec.schedulingGates ?? []).filter((gate) => gate.name !== schedulingGate);
  const readinessGates = (spec.readinessGates ?? []).filter((gate) => gate.conditionType !== readinessGate);
  return {
    ...cut,
    metadata: {
      ...cut.metadata,
      labels: {
        ...labelsOf(cut),
        [ownLabels.split]: splitIdOf(cut),
        [ownLabels.role]: 'primary',
        [ownLabels.container]: plan.primary.name,
        [ownLabels.workload]: key,
      },
      annotations: {
        // What was removed is in the siblings; and what the user asked for is done: a cluster with podsplit would take the
        // annotations for the wish to split the primary again.
        ...pickEntries(annotationsOf(cut), (annotation) => !isReservedKey(annotation)),
        [networksKey]: networks,
        [ownAnnotations.wiring]: wiring,
        ...(sidecars.length === 0 ? {} : { [ownAnnotations.started]: formatStarted({ containers: sidecars }) }),
      },
    },
    spec: {
      ...without(spec, 'schedulingGates', 'readinessGates'),
      containers: spec.containers,
      ...(schedulingGates.length === 0 ? {} : { schedulingGates }),
      ...(readinessGates.length === 0 ? {} : { readinessGates }),
    },
  };
}

/** The first addresses of the block where the controller would begin to look for a free one. */
function addressesFor(containers: readonly string[], key: string, { pool }: Network): Record<string, PieceAddress> {
  const block = candidateIndex(key, blockCount(pool));
  const offsets = usableOffsets(pool, block);
  return Object.fromEntries(containers.map((name, index) => [name, addressesAt(pool, block, offsets[index] ?? 0)]));
}

function networksOf(nad: string, { spec }: Network, { mac, ipv4, ipv6 }: PieceAddress): string {
  return networksAnnotation({
    nad,
    mac,
    ...(spec.ipv4 === undefined || ipv4 === undefined ? {} : { ipv4Cidr: withPrefixOf(spec.ipv4, ipv4) }),
    ...(spec.ipv6 === undefined || ipv6 === undefined ? {} : { ipv6Cidr: withPrefixOf(spec.ipv6, ipv6) }),
  });
}

function ofPiece<T extends Wiring | PieceAddress>(record: Readonly<Record<string, T>>, container: string): T {
  const value = Object.hasOwn(record, container) ? record[container] : undefined;
  if (value === undefined) throw new RangeError(`nothing for piece ${container}`);
  return value;
}
