import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import { isDnsLabel } from '../api/dns-names.ts';
import { siblingName, splitId } from '../api/identity.ts';
import { keptLabels } from '../api/keys.ts';
import { networksAnnotation, ownAnnotations, ownLabels, schedulingGate } from '../api/names.ts';
import { type VisiblePod, rewriteEnvironment, rewriteVolume, visiblePod, volumeAnnotations } from './downward-api.ts';
import { initContainers, wiringVolumes } from './init-container.ts';
import type { Piece, Plan, SplitOptions } from './plan.ts';
import { specOf, unlessEmpty, without } from './pod.ts';
import { pieceVolume } from './shared-volumes.ts';
import { siblingToken } from './token.ts';

export interface SiblingInput {
  /** The cut Pod with its name and namespace, and its UID where there is one yet. */
  readonly primary: IPod;
  readonly plan: Plan;
  /** One of the plan's siblings. */
  readonly piece: Piece;
  readonly workloadKey: string;
  /** Values of the two annotations, as far as they are known. */
  readonly wiring: string | undefined;
  readonly networks: string | undefined;
  /** Whether the primary owns it: offline nobody knows its UID. */
  readonly owner: boolean;
  readonly gated: boolean;
  /** Other pieces that must be gone before the garbage collector takes this one: a native sidecar ends last. */
  readonly outlives?: readonly { readonly name: string; readonly uid: string }[];
  readonly options: SplitOptions;
}

/**
 * Fields of the Pod's spec that a sibling does not take over. All others it does, those included that podsplit does not
 * know: what was true of the Pod is true of its pieces.
 */
const notInherited = [
  // Its own.
  'containers',
  'initContainers',
  'ephemeralContainers',
  'volumes',
  'resourceClaims',
  'schedulingGates',
  // The kubelet counts the Pod's time in the primary, and the siblings end with it: their own would begin later.
  'activeDeadlineSeconds',
  // The primary's readiness is the Pod's.
  'readinessGates',
  // Placement is the primary's, and the sibling follows it.
  'affinity',
  'nodeName',
  'nodeSelector',
  'topologySpreadConstraints',
  'schedulingGroup',
  // Admission plugins compute these of priorityClassName and runtimeClassName, and refuse a Pod that brings them along.
  'priority',
  'preemptionPolicy',
  'overhead',
  // Given by name or by the override, see below.
  'hostname',
  'hostnameOverride',
] as const;

/**
 * The cluster autoscaler keeps every node with a Pod that a Pod controls, or that a budget keeps, unless the Pod says this
 * (cluster-autoscaler, simulator/drainability/rules). What the user says of the Pod the primary says.
 */
const safeToEvict = 'cluster-autoscaler.kubernetes.io/safe-to-evict';

/** The Pod that runs one of the removed containers. */
export function siblingPod(input: SiblingInput): IPod {
  const { primary, plan, piece, options } = input;
  const visible = visiblePod(primary, plan);
  const { name = '', namespace, uid } = primary.metadata ?? {};
  const token = siblingToken(piece.container, piece.volumes);
  const own = token ?? piece;
  const place = plan.startOrder.indexOf(piece.name);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: siblingName(name, identityOf(primary), piece.name),
      ...(namespace === undefined ? {} : { namespace }),
      labels: siblingLabels(input, visible),
      annotations: {
        ...piece.annotations,
        [safeToEvict]: 'true',
        ...volumeAnnotations(own.volumes, visible),
        ...(place < 0 ? {} : { [ownAnnotations.sidecar]: String(place) }),
        ...(input.wiring === undefined ? {} : { [ownAnnotations.wiring]: input.wiring }),
        ...(input.networks === undefined ? {} : { [networksAnnotation]: input.networks }),
      },
      ...(input.owner && uid !== undefined
        ? {
            ownerReferences: [
              { apiVersion: 'v1', kind: 'Pod', name, uid, controller: true, blockOwnerDeletion: true },
              ...(input.outlives ?? []).map((other) => ({ apiVersion: 'v1', kind: 'Pod', ...other })),
            ],
          }
        : {}),
    },
    spec: {
      ...without(specOf(primary), ...notInherited),
      // Said here, and not only by the primary: somebody may have changed that one.
      ...(token === undefined && plan.tokenKeepers === undefined ? {} : { automountServiceAccountToken: false }),
      ...hostnameOf(primary),
      ...unlessEmpty('initContainers', initContainers(plan, options, [own.container])),
      containers: [
        rewriteEnvironment(withoutHostPorts(place < 0 ? own.container : asContainer(own.container)), visible),
      ],
      // In the Pod the kubelet restarts it whatever becomes of the containers.
      ...(place < 0 ? {} : { restartPolicy: 'Always' as const }),
      ...unlessEmpty('volumes', [
        ...own.volumes.map((volume) => rewriteVolume(pieceVolume(volume, plan), visible)),
        ...wiringVolumes(plan),
      ]),
      ...unlessEmpty('resourceClaims', piece.resourceClaims),
      affinity: besidePrimary(primary),
      ...(input.gated ? { schedulingGates: [{ name: schedulingGate }] } : {}),
    },
  };
}

/** The value of `podsplit.io/split`: by the UID, or, where there is none yet, by what the Pod will be called. */
export function splitIdOf(primary: IPod): string {
  return splitId(identityOf(primary));
}

function identityOf(primary: IPod): string {
  const { uid, namespace = '', name = '' } = primary.metadata ?? {};
  return uid ?? `${namespace}/${name}`;
}

/** None of the workload's own labels: no selector of a ReplicaSet, HPA, PDB or Service may find a sibling. */
function siblingLabels(input: SiblingInput, visible: VisiblePod): Record<string, string> {
  return {
    ...keptLabels(visible.labels),
    [ownLabels.split]: splitIdOf(input.primary),
    [ownLabels.role]: 'sibling',
    [ownLabels.container]: input.piece.name,
    [ownLabels.workload]: input.workloadKey,
  };
}

/** Required, and in this direction only: in both, the scheduler would wait for ever (docs/decisions/0013-placement-is-the-primarys.md). */
function besidePrimary(primary: IPod): NonNullable<IPodSpec['affinity']> {
  return {
    podAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: [
        {
          labelSelector: { matchLabels: { [ownLabels.split]: splitIdOf(primary), [ownLabels.role]: 'primary' } },
          topologyKey: 'kubernetes.io/hostname',
        },
      ],
    },
  };
}

/**
 * The hostname that the container had in the Pod: the Pod's own name, unless its spec says otherwise. A name with dots is
 * no `hostname`; `hostnameOverride` takes it (KEP-4762), where setHostnameAsFQDN does not forbid that.
 */
function hostnameOf(primary: IPod): Pick<IPodSpec, 'hostname' | 'hostnameOverride'> {
  const spec = specOf(primary);
  const { hostname, hostnameOverride } = spec;
  if (isSet(hostname) || isSet(hostnameOverride)) {
    return {
      ...(isSet(hostname) ? { hostname } : {}),
      ...(isSet(hostnameOverride) ? { hostnameOverride } : {}),
    };
  }
  // The kubelet cuts a longer name to what the kernel takes.
  const name = (primary.metadata?.name ?? '').slice(0, 63).replace(/[-.]+$/, '');
  if (isDnsLabel(name)) return { hostname: name };
  return spec.setHostnameAsFQDN === true || name === '' ? {} : { hostnameOverride: name };
}

function isSet(text: string | undefined): text is string {
  return text !== undefined && text !== '';
}

/** What is an init container's only: that it restarts is what the Pod's policy says. */
function asContainer(sidecar: IContainer): IContainer {
  return without(sidecar, 'restartPolicy');
}

/** Admission into the primary bound it there; the node has each port once. */
function withoutHostPorts(container: IContainer): IContainer {
  if (container.ports === undefined) return container;
  return { ...container, ports: container.ports.map((port) => without(port, 'hostPort', 'hostIP')) };
}
