import { formatFlow } from '../api/flow.ts';
import { podSplitName, workloadKey } from '../api/identity.ts';
import type { WorkloadRef } from '../api/identity.ts';
import { apiVersion, ownLabels } from '../api/names.ts';
import type { Condition, PieceStatus, PodSplit, PodSplitStatus } from '../api/resources.ts';
import type { ResolvedVia } from '../policies/resolve-via.ts';
import type { PieceAddresses } from '../split/wire.ts';
import type { Plan } from '../split/plan.ts';
import {
  containersReady,
  isDeleting,
  isEnded,
  isGated,
  isReady,
  loadedRules,
  nodeOf,
  podIPs,
  stateOf,
  type LivePod,
} from './piece-pod.ts';
import type { Readiness } from './lifecycle.ts';

/** The PodSplit of a primary: owned by it, so that it goes when the Pod goes. */
export function podSplitOf(primary: LivePod, plan: Plan, workload: WorkloadRef, nad: string): PodSplit {
  const { apiVersion: ownerVersion, kind, name, uid } = workload;
  return {
    apiVersion,
    kind: 'PodSplit',
    metadata: {
      name: podSplitName(primary.name, primary.uid),
      namespace: primary.namespace,
      labels: {
        [ownLabels.managedBy]: 'podsplit',
        [ownLabels.split]: primary.split,
        [ownLabels.workload]: workloadKey(workload),
      },
      ownerReferences: [
        {
          apiVersion: 'v1',
          kind: 'Pod',
          name: primary.name,
          uid: primary.uid,
          controller: true,
          blockOwnerDeletion: false,
        },
      ],
    },
    spec: {
      pod: { name: primary.name, uid: primary.uid },
      workload: { apiVersion: ownerVersion, kind, name, uid },
      network: plan.network,
      networkAttachmentDefinition: nad,
      flows: plan.flows.map(formatFlow),
    },
  };
}

export interface StatusInput {
  readonly primary: LivePod;
  readonly siblings: readonly LivePod[];
  /** How many siblings there should be. */
  readonly expected: number;
  readonly addresses: Readonly<Record<string, PieceAddresses>>;
  readonly readiness: Readiness;
  /** What stands in the way of wiring, if anything does. */
  readonly refused?: { readonly reason: string; readonly message: string } | undefined;
  /** A sentence for each policy that means other things for the siblings than for the Pod. */
  readonly inexact: readonly string[];
  /** Names of users' PodDisruptionBudgets that find siblings, which are under podsplit's already. */
  readonly budgets: readonly string[];
  /** Does nothing hold between the pieces but who they are? */
  readonly observe: boolean;
  /** Whose only way out is whose; undefined as long as nobody can tell. */
  readonly via: readonly ResolvedVia[] | undefined;
  readonly previous: PodSplitStatus | undefined;
  /** RFC 3339. */
  readonly now: string;
}

export function statusOf(input: StatusInput): PodSplitStatus {
  const { primary, siblings } = input;
  const node = nodeOf(primary);
  const pieces = [primary, ...siblings].map((pod) => pieceStatus(pod, input.addresses[pod.container]));
  return {
    phase: phaseOf(input),
    ...(node === undefined ? {} : { node }),
    readyPieces: `${pieces.filter((piece) => piece.ready).length}/${input.expected + 1}`,
    pieces,
    conditions: [ready(input), enforcing(input), policiesMirrored(input), ...evictedAsOne(input), ...egressVia(input)],
  };
}

function phaseOf({ primary, siblings, refused }: StatusInput): PodSplitStatus['phase'] {
  if (isDeleting(primary) || isEnded(primary)) return 'Ending';
  if (refused !== undefined) return 'Refused';
  if (isGated(primary)) return 'Wiring';
  if (nodeOf(primary) === undefined) return 'Pending';
  return containersReady(primary) && siblings.every(isReady) ? 'Running' : 'Starting';
}

function pieceStatus(pod: LivePod, addresses: PieceAddresses | undefined): PieceStatus {
  const node = nodeOf(pod);
  const rules = loadedRules(pod);
  return {
    name: pod.container,
    role: pod.role === 'primary' ? 'primary' : 'sibling',
    pod: pod.name,
    state: stateOf(pod),
    // The primary's own Ready waits for its siblings: of the piece itself its containers tell.
    ready: pod.role === 'primary' ? containersReady(pod) : isReady(pod),
    ...(node === undefined ? {} : { node }),
    addresses: [addresses?.ipv4, addresses?.ipv6].filter((address) => address !== undefined),
    mac: addresses?.mac ?? '',
    podIPs: podIPs(pod),
    ...(rules === undefined ? {} : { rules: rules.slice(0, 12) }),
  };
}

/** One happy summary: Ready is the Pod's own readiness and its siblings'. */
function ready({ primary, readiness, refused, previous, now }: StatusInput): Condition {
  const { status, reason, message } =
    refused !== undefined
      ? { status: 'False' as const, ...refused }
      : !readiness.ready
        ? { status: 'False' as const, reason: readiness.reason, message: readiness.message }
        : containersReady(primary)
          ? { status: 'True' as const, reason: 'PiecesReady', message: 'All pieces are ready.' }
          : { status: 'False' as const, reason: 'PrimaryNotReady', message: `The primary is ${stateOf(primary)}.` };
  return since(previous, now, { type: 'Ready', status, reason, message });
}

/** Enough to see what is meant: a condition's message is read in a terminal. */
const maxSentences = 8;

function policiesMirrored({ inexact, previous, now }: StatusInput): Condition {
  const [type, exact] = ['PoliciesMirrored', inexact.length === 0];
  if (exact) {
    const message = 'What NetworkPolicies say of the Pod holds for its pieces.';
    return since(previous, now, { type, status: 'True', reason: 'Exact', message });
  }
  const more = inexact.length > maxSentences ? [`And ${inexact.length - maxSentences} more.`] : [];
  const message = [...inexact.slice(0, maxSentences), ...more].join(' ');
  return since(previous, now, { type, status: 'False', reason: 'NegativeSelector', message });
}

/** Said only where it does not hold: an eviction of a sibling is then an error, which drains do not try again. */
function evictedAsOne({ budgets, previous, now }: StatusInput): readonly Condition[] {
  if (budgets.length === 0) return [];
  const message = twoBudgets(budgets);
  return [since(previous, now, { type: 'EvictedAsOne', status: 'False', reason: 'TwoBudgets', message })];
}

function twoBudgets(budgets: readonly string[]): string {
  const names = budgets.slice(0, maxSentences).join(', ');
  return (
    `The API server evicts no Pod that two PodDisruptionBudgets find, and podsplit's finds the siblings: a drain of the ` +
    `node fails at them, and has to be repeated. Let the selector of ${names} find only the labels of its workload, ` +
    'or add podsplit.io/role NotIn (sibling).'
  );
}

export function enforcing({ observe, previous, now }: Pick<StatusInput, 'observe' | 'previous' | 'now'>): Condition {
  return since(
    previous,
    now,
    observe
      ? { type: 'Enforcing', status: 'False', reason: 'Observing', message: notEnforcing }
      : {
          type: 'Enforcing',
          status: 'True',
          reason: 'FlowsEnforced',
          message: 'Between the containers nothing passes but their flows.',
        },
  );
}

/** Of Pods with containers that are kept from the outside. */
export function egressVia({ via, previous, now }: Pick<StatusInput, 'via' | 'previous' | 'now'>): readonly Condition[] {
  if (via === undefined) return previous?.conditions?.filter(({ type }) => type === 'EgressVia') ?? [];
  const verdict = waysOut(via);
  return verdict === undefined ? [] : [since(previous, now, { type: 'EgressVia', ...verdict })];
}

/** For condition and Event. */
function waysOut(via: readonly ResolvedVia[]): Pick<Condition, 'status' | 'reason' | 'message'> | undefined {
  if (via.length === 0) return undefined;
  const closed = via.filter((each) => each.kind === 'none');
  const [first] = closed;
  if (first !== undefined) {
    const message = closed
      .slice(0, maxSentences)
      .map((each) => `${each.message}.`)
      .join(' ');
    return { status: 'False', reason: first.code, message };
  }
  const ways = via.flatMap((each) => {
    if (each.kind === 'none') return [];
    const port = each.port === undefined ? '' : `:${each.port}`;
    const by = each.policies.length === 0 ? 'podsplit.io/egress-via' : each.policies.join(', ');
    return [`${each.from} goes out by ${each.to}${port} only (${by}).`];
  });
  return { status: 'True', reason: 'Kept', message: ways.slice(0, maxSentences).join(' ') };
}

/** What conditions begin to say that a user has to hear of once, as an Event: afterwards they go on saying it. */
export function warningsOf({
  observe,
  via = [],
  budgets = [],
  previous,
}: Pick<StatusInput, 'observe' | 'via' | 'previous'> & Partial<Pick<StatusInput, 'budgets'>>): readonly Warning[] {
  const said = (type: string): Condition | undefined => previous?.conditions?.find((each) => each.type === type);
  const verdict = waysOut(via);
  const isNews = verdict?.status === 'False' && said('EgressVia')?.message !== verdict.message;
  return [
    ...(observe && said('Enforcing')?.status !== 'False' ? [{ reason: 'NotEnforcing', message: notEnforcing }] : []),
    ...(budgets.length > 0 && said('EvictedAsOne')?.message !== twoBudgets(budgets)
      ? [{ reason: 'TwoBudgets', message: twoBudgets(budgets) }]
      : []),
    ...(isNews ? [{ reason: verdict.reason, message: verdict.message }] : []),
  ];
}

type Warning = Pick<Condition, 'reason' | 'message'>;

/** For condition and Event: nobody shall take an observed Pod for a guarded one. */
const notEnforcing =
  'podsplit.io/flows is observe: NOTHING IS ENFORCED between the containers of this Pod, but what ' +
  'ContainerNetworkPolicies say of them. What they use is recorded; ' +
  'kubectl podsplit flows POD -o policy prints the policy that fits it.';

export function since(
  previous: PodSplitStatus | undefined,
  now: string,
  condition: Omit<Condition, 'lastTransitionTime'>,
): Condition {
  const before = previous?.conditions?.find(({ type }) => type === condition.type);
  return { ...condition, lastTransitionTime: before?.status === condition.status ? before.lastTransitionTime : now };
}
