import { formatFlow } from '../api/flow.ts';
import { isolateNadName, podSplitName, workloadKey, type WorkloadRef } from '../api/identity.ts';
import { apiVersion, ownLabels } from '../api/names.ts';
import type { Condition, PieceStatus, PodSplit, PodSplitStatus } from '../api/resources.ts';
import type { IsolatePlan } from '../isolate/plan.ts';
import { enforcing } from './podsplit-status.ts';
import { isDeleting, isEnded, isGated, nodeOf, podIPs, stateOf, type LivePod } from './piece-pod.ts';

/** The PodSplit of an isolated Pod: what people look at, and where the agent writes what was denied. */
export function isolatePodSplit(pod: LivePod, plan: IsolatePlan, workload: WorkloadRef): PodSplit {
  const { apiVersion: ownerVersion, kind, name, uid } = workload;
  const owner = { apiVersion: 'v1', kind: 'Pod', name: pod.name, uid: pod.uid };
  return {
    apiVersion,
    kind: 'PodSplit',
    metadata: {
      name: podSplitName(pod.name, pod.uid),
      namespace: pod.namespace,
      labels: {
        [ownLabels.managedBy]: 'podsplit',
        [ownLabels.split]: pod.split,
        [ownLabels.workload]: workloadKey(workload),
      },
      ownerReferences: [{ ...owner, controller: true, blockOwnerDeletion: false }],
    },
    spec: {
      pod: { name: pod.name, uid: pod.uid },
      workload: { apiVersion: ownerVersion, kind, name, uid },
      // It takes no addresses.
      network: '',
      networkAttachmentDefinition: isolateNadName(workload),
      flows: plan.flows.map(formatFlow),
    },
  };
}

export interface IsolateStatusInput {
  readonly pod: LivePod;
  /** Does nothing hold between the containers? */
  readonly observe: boolean;
  readonly previous: PodSplitStatus | undefined;
  /** RFC 3339. */
  readonly now: string;
}

export function isolateStatus({ pod, observe, previous, now }: IsolateStatusInput): PodSplitStatus {
  const node = nodeOf(pod);
  const pieces = (pod.raw.spec?.containers ?? []).map(({ name }) => pieceStatus(pod, name));
  const ready = pieces.filter((piece) => piece.ready).length;
  return {
    phase: phaseOf(pod, ready === pieces.length),
    ...(node === undefined ? {} : { node }),
    readyPieces: `${ready}/${pieces.length}`,
    pieces,
    conditions: [readyCondition(pod, ready === pieces.length, previous, now), enforcing({ observe, previous, now })],
  };
}

function pieceStatus(pod: LivePod, name: string): PieceStatus {
  const status = pod.raw.status?.containerStatuses?.find((each) => each.name === name);
  const node = nodeOf(pod);
  return {
    name,
    role: 'isolated',
    pod: pod.name,
    state: status?.state?.waiting?.reason ?? stateOf(pod),
    ready: status?.ready === true && !isDeleting(pod),
    ...(node === undefined ? {} : { node }),
    addresses: [],
    mac: '',
    podIPs: podIPs(pod),
  };
}

function phaseOf(pod: LivePod, ready: boolean): PodSplitStatus['phase'] {
  if (isDeleting(pod) || isEnded(pod)) return 'Ending';
  if (isGated(pod)) return 'Wiring';
  if (nodeOf(pod) === undefined) return 'Pending';
  return ready ? 'Running' : 'Starting';
}

function readyCondition(pod: LivePod, ready: boolean, previous: PodSplitStatus | undefined, now: string): Condition {
  const status = ready ? 'True' : 'False';
  const before = previous?.conditions?.find((condition) => condition.type === 'Ready');
  return {
    type: 'Ready',
    status,
    reason: ready ? 'ContainersReady' : 'ContainersNotReady',
    message: ready ? 'All containers are ready.' : `The Pod is ${stateOf(pod)}.`,
    lastTransitionTime: before?.status === status ? before.lastTransitionTime : now,
  };
}
