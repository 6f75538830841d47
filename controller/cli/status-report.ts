import { isIsolateNad } from '../api/identity.ts';
import type { InstallMode } from '../api/install.ts';
import { ownLabels, readinessGate, userAnnotations } from '../api/names.ts';
import type { Flow } from '../api/flow.ts';
import type { Condition, PieceStatus, PodSplit } from '../api/resources.ts';
import type { Pod } from '../kube/resources.ts';
import type { Observed } from '../rules/wiring.ts';
import { flowsReport } from './flows-report.ts';
import { nextStep, notSeenYet } from './next-steps.ts';
import { openEnds, opensAny } from './status-observed.ts';

/** What the cluster has of one split Pod. One of PodSplit and primary is there. */
export interface SplitObjects {
  readonly podSplit: PodSplit | undefined;
  readonly primary: Pod | undefined;
  /** All Pods of it, the primary too. */
  readonly pods: readonly Pod[];
}

/** How one split or isolated Pod is: the fields of `-o json` are an interface. */
export interface PodReport {
  readonly namespace: string;
  /** The primary. */
  readonly pod: string;
  readonly workload: { readonly kind: string; readonly name: string };
  readonly mode: 'split' | 'isolate';
  readonly install?: InstallMode;
  readonly phase: string;
  readonly node?: string;
  /** RFC 3339. */
  readonly created?: string;
  /** It ran to its end without an error: it is not ready, and nothing is wrong. */
  readonly completed?: true;
  /** It is being deleted: it is not ready, and nothing is wrong. */
  readonly ending?: true;
  readonly ready: Pick<Condition, 'status' | 'reason' | 'message'> & { readonly since?: string };
  readonly readyPieces: string;
  readonly pieces: readonly PieceReport[];
  readonly flows: readonly Flow[];
  /** In the last hour. Absent where nobody carries it here: install mode `init`. */
  readonly denied?: { readonly kinds: number; readonly packets: number };
  /** Nothing is enforced between the containers, but what policies say of them. */
  readonly observing?: true;
  /** While it observes: only from these to those nothing is enforced, where no policy selects either. Absent: between all. */
  readonly unenforced?: Observed;
  /** A sentence about the containers that have one way out. */
  readonly egressVia?: string;
  /** `proxy:15006`. */
  readonly ingressVia?: string;
  readonly conditions: readonly Condition[];
  readonly problems: readonly Problem[];
}

export interface PieceReport {
  readonly container: string;
  readonly role: PieceStatus['role'];
  readonly pod: string;
  readonly state: string;
  readonly ready: boolean;
  /** Absent where its Pod is not there. */
  readonly restarts?: number;
  /** Why it last ended. */
  readonly lastExit?: { readonly reason: string; readonly exitCode: number; readonly at?: string };
  readonly podIPs: readonly string[];
  /** On the peer network. */
  readonly addresses: readonly string[];
  readonly mac: string;
}

/** A condition that does not hold, and what to do. */
export interface Problem {
  readonly condition: string;
  readonly reason: string;
  readonly message: string;
  readonly next: string;
  /** A state that the user chose: nothing is wrong. */
  readonly chosen?: true;
}

const hourMs = 3_600_000;

/** @param now epoch milliseconds: what was denied counts for an hour */
export function podReport(objects: SplitObjects, now: number): PodReport {
  const { podSplit, primary, pods } = objects;
  const status = podSplit?.status;
  const life = lifeOf(objects);
  const ready = said(status?.conditions, 'Ready') ?? readyOfPod(primary);
  const pieces = (status?.pieces ?? []).map((piece) => pieceReport(piece, pods));
  const traffic = trafficOf(objects, now);
  return {
    ...identityOf(objects),
    ...life,
    ready: verdictOf(ready),
    readyPieces: status?.readyPieces ?? '0/?',
    pieces,
    ...traffic,
    conditions: status?.conditions ?? [],
    problems: life.completed === true || life.ending === true ? [] : problemsOf(objects, ready, { pieces, ...traffic }),
  };
}

type Life = Pick<PodReport, 'phase' | 'node' | 'created' | 'completed' | 'ending'>;

function lifeOf({ podSplit, primary }: SplitObjects): Life {
  const phase = podSplit?.status?.phase ?? 'Pending';
  // Of a Pod that is there its phase does not tell: one that has failed is at its end too, and is not well.
  const isEnding = primary === undefined ? phase === 'Ending' : primary.metadata.deletionTimestamp !== undefined;
  return {
    phase: isEnding ? 'Ending' : phase,
    ...optional('node', podSplit?.status?.node ?? primary?.spec?.nodeName),
    ...optional('created', (primary ?? podSplit)?.metadata.creationTimestamp),
    ...(primary?.status?.phase === 'Succeeded' ? { completed: true } : {}),
    ...(isEnding ? { ending: true } : {}),
  };
}

function verdictOf({ status, reason, message, lastTransitionTime }: Said): PodReport['ready'] {
  return { status, reason, message, ...optional('since', lastTransitionTime) };
}

type Traffic = Pick<
  PodReport,
  'install' | 'flows' | 'denied' | 'observing' | 'unenforced' | 'egressVia' | 'ingressVia'
>;

function trafficOf({ podSplit, primary }: SplitObjects, now: number): Traffic {
  const way = optional('ingressVia', primary?.metadata.annotations?.[userAnnotations.ingressVia]?.trim());
  if (podSplit === undefined) return { flows: [], ...way };
  const { install, flows, denied, observing } = flowsReport(podSplit);
  const recent = denied?.filter(({ audited, lastSeen }) => audited !== true && now - Date.parse(lastSeen) <= hourMs);
  const ends = openEnds(primary);
  const egress = said(podSplit.status?.conditions, 'EgressVia');
  return {
    install,
    flows,
    ...(recent === undefined
      ? {}
      : { denied: { kinds: recent.length, packets: recent.reduce((sum, { packets }) => sum + packets, 0) } }),
    ...(observing === true ? { observing, ...(ends === undefined ? {} : { unenforced: ends }) } : {}),
    ...(egress?.status === 'True' ? { egressVia: egress.message } : {}),
    ...way,
  };
}

function said(conditions: readonly Condition[] | undefined, type: string): Condition | undefined {
  return conditions?.find((condition) => condition.type === type);
}

type Said = Omit<Condition, 'lastTransitionTime'> & { readonly lastTransitionTime?: string };

/** Of a Pod without a PodSplit, podsplit's own condition on the Pod. */
function readyOfPod(primary: Pod | undefined): Said {
  const type = 'Ready';
  const condition = primary?.status?.conditions?.find((each) => each.type === readinessGate);
  if (condition === undefined) {
    const message = 'The controller has not looked at this Pod yet.';
    return { type, status: 'False', reason: notSeenYet, message };
  }
  // Where all its pieces are ready a PodSplit is missing all the same.
  return { type, status: 'False', reason: condition.reason ?? notSeenYet, message: condition.message ?? '' };
}

function identityOf({ podSplit, primary }: SplitObjects): Pick<PodReport, 'namespace' | 'pod' | 'workload' | 'mode'> {
  if (podSplit !== undefined) {
    const { metadata, spec } = podSplit;
    return {
      namespace: metadata.namespace ?? '',
      pod: spec.pod.name,
      workload: { kind: spec.workload.kind, name: spec.workload.name },
      mode: isIsolateNad(spec.networkAttachmentDefinition) ? 'isolate' : 'split',
    };
  }
  const { namespace = '', name, labels = {}, ownerReferences } = primary?.metadata ?? { name: '' };
  const owner = ownerReferences?.find(({ controller }) => controller === true);
  return {
    namespace,
    pod: name,
    workload: { kind: owner?.kind ?? 'Pod', name: owner?.name ?? name },
    mode: labels[ownLabels.role] === 'isolated' ? 'isolate' : 'split',
  };
}

function pieceReport(piece: PieceStatus, pods: readonly Pod[]): PieceReport {
  const { name, role, pod, state, ready, podIPs = [], addresses, mac } = piece;
  const live = pods.find(({ metadata }) => metadata.name === pod);
  const { containerStatuses = [], initContainerStatuses = [] } = live?.status ?? {};
  const status = [...containerStatuses, ...initContainerStatuses].find((each) => each.name === name);
  const exit = status?.lastState?.terminated ?? status?.state?.terminated;
  return {
    container: name,
    role,
    pod,
    state,
    ready,
    ...(live === undefined ? {} : { restarts: status?.restartCount ?? 0 }),
    ...(exit === undefined
      ? {}
      : {
          lastExit: {
            reason: exit.reason ?? '',
            exitCode: exit.exitCode,
            ...optional('at', exit.finishedAt),
          },
        }),
    podIPs,
    addresses,
    mac,
  };
}

function problemsOf(
  objects: SplitObjects,
  ready: Said,
  { pieces, unenforced: ends }: Pick<PodReport, 'pieces' | 'unenforced'>,
): readonly Problem[] {
  const others = (objects.podSplit?.status?.conditions ?? []).filter(({ type }) => type !== 'Ready');
  const { namespace, pod, workload } = identityOf(objects);
  const unready = pieces
    .filter(({ ready }) => !ready)
    .map(({ container, pod: own, state, restarts = 0 }) => ({ container, pod: own, state, restarts }));
  const stuck = {
    namespace,
    pod,
    workload: `${workload.kind.toLowerCase()}/${workload.name}`,
    network: objects.podSplit?.spec.network ?? objects.primary?.metadata.annotations?.[userAnnotations.network] ?? '',
    unready,
  };
  return [ready, ...others]
    .filter(({ status }) => status !== 'True')
    .map(({ type, reason, message }) => ({
      condition: type,
      reason,
      // The controller's words are those of a Pod that policies leave open.
      message: reason === 'Observing' && ends !== undefined && !opensAny(ends) ? policed : message,
      next: nextStep(reason, stuck),
      ...(reason === 'Observing' ? { chosen: true } : {}),
    }));
}

const policed =
  'podsplit.io/flows is observe, and ContainerNetworkPolicies select an end of every call between the containers: what they ' +
  'say is enforced. What the containers use is recorded.';

function optional<K extends string>(key: K, value: string | undefined): { readonly [P in K]?: string } {
  return (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: string };
}

/** What is wrong with it: Ready first, where it is not. */
export function faultsOf({ problems }: PodReport): readonly Problem[] {
  return problems.filter(({ chosen }) => chosen !== true);
}

/** Ready, or with nothing left to be ready for, and no other condition says that something is wrong. */
export function isWell(report: PodReport): boolean {
  return faultsOf(report).length === 0;
}

/** False of a Pod that has ended, or is about to. */
export function isUnready(report: PodReport): boolean {
  return faultsOf(report).some(({ condition }) => condition === 'Ready');
}
