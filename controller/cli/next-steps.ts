import { refusalCodes } from '../api/refusal.ts';

/** What a next step names. */
export interface Stuck {
  readonly namespace: string;
  /** The primary. */
  readonly pod: string;
  /** As kubectl takes it: `deployment/web`. */
  readonly workload: string;
  /** Empty in mode isolate. */
  readonly network: string;
  /** The pieces that are not ready. */
  readonly unready: readonly StuckPiece[];
}

export interface StuckPiece {
  readonly container: string;
  readonly pod: string;
  readonly state: string;
  readonly restarts: number;
}

type NextStep = (stuck: Stuck) => string;

const it = (sentence: string): NextStep => {
  return () => sentence;
};
const passes = it('Wait: it passes by itself.');
const deleteIt: NextStep = ({ pod, namespace }) =>
  `Delete it, so that it is made anew: kubectl delete pod ${pod} -n ${namespace}`;
const budgets: NextStep = ({ namespace }) =>
  `Change the selector that the message names: kubectl get poddisruptionbudgets -n ${namespace}`;
const policies: NextStep = ({ pod, namespace }) =>
  `See what speaks about the container: kubectl podsplit policy ${pod} -n ${namespace}`;

/** One for each reason of docs/operations.md that needs doing something; a test holds the two together. */
export const nextSteps: Readonly<Record<string, NextStep>> = {
  Wiring: it('Wait: it is over in a second or two. If not: kubectl logs -n podsplit-system deployment/podsplit'),
  PiecesNotReady: lookAtPieces,
  ContainersNotReady: lookAtPieces,
  SidecarNotStarted: lookAtPieces,
  PrimaryNotReady: lookAtPieces,
  NetworkNotFound: ({ network }) =>
    `Create SplitNetwork ${network}, or correct podsplit.io/network: kubectl get splitnetworks`,
  NetworkPending: passes,
  NetworkNotReady: ({ network }) => `See why it gives no addresses: kubectl describe splitnetwork ${network}`,
  PoliciesPending: passes,
  PolicyNeedsAgent: ({ workload, namespace }) =>
    `Let the agent load the rules: kubectl annotate ${workload} -n ${namespace} --overwrite podsplit.io/install=node`,
  ClusterDnsUnknown: it("Name the DNS in the controller's PODSPLIT_CLUSTER_DNS: kubectl get services -n kube-system"),
  MultusMissing: it('Install Multus with its CRD: the Pod goes on then.'),
  AddressesExhausted: it('Free a block, or name another pool in podsplit.io/network: kubectl get splitnetworks'),
  TooManyContainers: it('Name a SplitNetwork with larger blocks in podsplit.io/network: kubectl get splitnetworks'),
  ClaimReleasing: passes,
  ClaimDiffers: deleteIt,
  NotAsAdmitted: deleteIt,
  NameTaken: ({ namespace }) => `Delete the Pod that the message names: kubectl delete pod NAME -n ${namespace}`,
  PieceEnding: passes,
  PieceRefused: ({ namespace }) =>
    `Give it what the API server's words ask for: kubectl describe resourcequotas,limitranges -n ${namespace}; kubectl describe namespace ${namespace}`,
  SiblingLost: anew,
  PieceDoesNotFit: it('Free or add nodes, or ask for less: kubectl describe nodes'),
  TwoBudgets: budgets,
  AddressesChanging: passes,
  RulesOutdated: anew,
  Ending: passes,
  EgressViaConflict: policies,
  EgressViaMissing: policies,
  EgressViaKept: policies,
  Observing: ({ pod, namespace }) =>
    `Once it was used long enough, enforce what was seen: kubectl podsplit flows ${pod} -n ${namespace} -o policy`,
  NegativeSelector: it(
    'Let each policy that the message names select by labels that Pods have, not by ones that they lack: ' +
      'kubectl edit networkpolicy NAME -n NAMESPACE',
  ),
};

/** A Pod that no PodSplit is about; podsplit's condition on the Pod, if there is one, has a reason of the table. */
export const notSeenYet = 'NotSeenYet';

export function nextStep(reason: string, stuck: Stuck): string {
  if (reason === notSeenYet) return 'See that the controller runs: kubectl get pods -n podsplit-system';
  if (Object.hasOwn(refusalCodes, reason)) {
    return `Correct what the message names in ${stuck.workload}; docs/refusals.md#${reason.toLowerCase()} has an example.`;
  }
  const step = Object.hasOwn(nextSteps, reason) ? nextSteps[reason] : undefined;
  return step?.(stuck) ?? `See its Events: kubectl describe pod ${stuck.pod} -n ${stuck.namespace}`;
}

/** More would not be read: what holds the first pieces back often holds the others too. */
const maxPieces = 3;

function lookAtPieces({ namespace, pod, unready }: Stuck): string {
  if (unready.length === 0) return `Look at the Pod: kubectl describe pod ${pod} -n ${namespace}`;
  const commands = unready.slice(0, maxPieces).map((piece) => {
    // What never ran has no log: its Events tell, those of the CNI plugin among them.
    if (piece.restarts === 0) return `kubectl describe pod ${piece.pod} -n ${namespace}`;
    const previous = piece.state === 'Running' ? '' : ' --previous';
    return `kubectl podsplit logs ${pod} -n ${namespace} -c ${piece.container}${previous}`;
  });
  return `Look at what is not ready: ${[...new Set(commands)].join('; ')}`;
}

function anew(stuck: Stuck): string {
  const bare = stuck.workload === `pod/${stuck.pod}`;
  return bare ? 'Nothing makes a bare Pod anew: delete it and create it again.' : 'Wait: its workload makes it anew.';
}
