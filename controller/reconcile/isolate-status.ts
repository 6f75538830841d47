import { formatFlow, type Flow } from '../api/flow.ts';
import { isolateNadName, podSplitName, workloadKey, type WorkloadRef } from '../api/identity.ts';
import { apiVersion, ownLabels } from '../api/names.ts';
import type { Condition, PieceStatus, PodSplit, PodSplitStatus } from '../api/resources.ts';
import type { ResolvedVia } from '../policies/resolve-via.ts';
import { egressVia, enforcing, since } from './podsplit-status.ts';
import {
  containerStateOf,
  isDeleting,
  isEnded,
  isGated,
  nodeOf,
  podIPs,
  stateOf,
  troubleOf,
  type LivePod,
} from './piece-pod.ts';

/** The PodSplit of an isolated Pod: what people look at, and where the agent writes what was denied. */
export function isolatePodSplit(pod: LivePod, flows: readonly Flow[], workload: WorkloadRef): PodSplit {
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
      flows: flows.map(formatFlow),
    },
  };
}

export interface IsolateStatusInput {
  readonly pod: LivePod;
  /** Does nothing hold between the containers? */
  readonly observe: boolean;
  /** Why it stays gated, if it does. */
  readonly obstacle?: { readonly reason: string; readonly message: string };
  /** Whose only way out is whose; undefined as long as nobody can tell. */
  readonly via: readonly ResolvedVia[] | undefined;
  readonly previous: PodSplitStatus | undefined;
  /** RFC 3339. */
  readonly now: string;
}

export function isolateStatus(input: IsolateStatusInput): PodSplitStatus {
  const { pod, observe, via, previous, now } = input;
  const node = nodeOf(pod);
  const pieces = (pod.raw.spec?.containers ?? []).map(({ name }) => pieceStatus(pod, name));
  const ready = pieces.filter((piece) => piece.ready).length;
  return {
    phase: phaseOf(input, ready === pieces.length),
    ...(node === undefined ? {} : { node }),
    readyPieces: `${ready}/${pieces.length}`,
    pieces,
    conditions: [
      readyCondition(input, pieces),
      enforcing({ observe, previous, now }),
      ...egressVia({ via, previous, now }),
    ],
  };
}

function pieceStatus(pod: LivePod, name: string): PieceStatus {
  const status = pod.raw.status?.containerStatuses?.find((each) => each.name === name);
  const node = nodeOf(pod);
  return {
    name,
    role: 'isolated',
    pod: pod.name,
    state: containerStateOf(pod, name),
    ready: status?.ready === true && !isDeleting(pod),
    ...(node === undefined ? {} : { node }),
    addresses: [],
    mac: '',
    podIPs: podIPs(pod),
  };
}

function phaseOf({ pod, obstacle }: IsolateStatusInput, ready: boolean): PodSplitStatus['phase'] {
  if (isDeleting(pod) || isEnded(pod)) return 'Ending';
  if (obstacle !== undefined) return 'Refused';
  if (isGated(pod)) return 'Wiring';
  if (nodeOf(pod) === undefined) return 'Pending';
  return ready ? 'Running' : 'Starting';
}

function readyCondition(
  { pod, obstacle, previous, now }: IsolateStatusInput,
  pieces: readonly PieceStatus[],
): Condition {
  const type = 'Ready';
  if (obstacle !== undefined) return since(previous, now, { type, status: 'False', ...obstacle });
  const waiting = pieces.filter((piece) => !piece.ready);
  if (waiting.length === 0) {
    return since(previous, now, {
      type,
      status: 'True',
      reason: 'ContainersReady',
      message: 'All containers are ready.',
    });
  }
  const message = whyNotReady(pod, waiting);
  return since(previous, now, { type, status: 'False', reason: 'ContainersNotReady', message });
}

/** Names who fails: the Pod's own state is that of the worst of its containers. */
function whyNotReady(pod: LivePod, waiting: readonly PieceStatus[]): string {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.raw.status ?? {};
  const isApart = containerStatuses.length > 0 && !isDeleting(pod) && !isEnded(pod) && !isGated(pod);
  if (!isApart) return `The Pod is ${stateOf(pod)}.`;
  const inits = initContainerStatuses.flatMap((status) => {
    const trouble = troubleOf(status);
    return trouble === undefined ? [] : [`init container ${status.name} is ${trouble}`];
  });
  const states = [...inits, ...waiting.map(({ name, state }) => `${name} is ${state}`)].join(', ');
  return `Waiting for the containers: ${states}.`;
}
