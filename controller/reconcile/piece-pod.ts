import type { IPod } from 'kubernetes-models/v1/Pod';
import { isInstallMode, type InstallMode } from '../api/install.ts';
import {
  initContainerName,
  ownAnnotations,
  ownLabels,
  readinessGate,
  schedulingGate,
  userAnnotations,
} from '../api/names.ts';
import { splitId } from '../api/identity.ts';
import { parseIsolateWiring } from '../rules/isolate-wiring.ts';
import { parseWiring } from '../rules/wiring-json.ts';
import type { Endpoint } from '../rules/wiring.ts';
import { carriesInit } from '../split/pod.ts';

/** A Pod as the API server gives it: what is always there is not optional here. Made by `readPod` only. */
export interface LivePod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly role: 'primary' | 'sibling' | 'isolated' | 'whole';
  /** Of the split Pod that it is a piece of. A primary's is computed: it has no label before it is wired. */
  readonly split: string;
  /** The container that it runs; of a primary that is not wired yet, its only one. */
  readonly container: string;
  readonly workload: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly raw: IPod;
}

/** An object of the watch cache never changes, and is read again whenever something near it does. */
const read = new WeakMap<IPod, LivePod>();

/**
 * What podsplit's label selector lets through; undefined for a Pod that no webhook cut and no controller made. Pieces that
 * `kubectl podsplit split` printed and somebody applied carry the labels too: they live without a controller.
 */
export function readPod(raw: IPod): LivePod | undefined {
  const known = read.get(raw);
  if (known !== undefined) return known;
  const pod = parse(raw);
  if (pod !== undefined) read.set(raw, pod);
  return pod;
}

function parse(raw: IPod): LivePod | undefined {
  const { name, namespace, uid, labels = {} } = raw.metadata ?? {};
  const role = labels[ownLabels.role];
  const container = labels[ownLabels.container] ?? raw.spec?.containers[0]?.name;
  if (name === undefined || namespace === undefined || uid === undefined || container === undefined) return undefined;
  if (role !== 'primary' && role !== 'sibling' && role !== 'isolated' && role !== 'whole') return undefined;
  if (role === 'primary' && !wasCut(raw)) return undefined;
  if (role === 'sibling' && !hasOwner(raw)) return undefined;
  const split = role === 'sibling' ? labels[ownLabels.split] : splitId(uid);
  if (split === undefined) return undefined;
  return { namespace, name, uid, role, split, container, workload: labels[ownLabels.workload], labels, raw };
}

/** Readiness gates never change after a Pod was made. */
function wasCut(raw: IPod): boolean {
  return raw.spec?.readinessGates?.some((gate) => gate.conditionType === readinessGate) ?? false;
}

function isOwned(raw: IPod): boolean {
  return raw.metadata?.ownerReferences?.some((owner) => owner.controller === true) ?? false;
}

/** Of a native sidecar that ends the primary may be gone, and be no owner any more: other pieces are. */
function hasOwner(raw: IPod): boolean {
  return (raw.metadata?.ownerReferences ?? []).length > 0;
}

export function splitKey(pod: LivePod): string {
  return `${pod.namespace}/${pod.split}`;
}

export function isGated({ raw }: Pick<LivePod, 'raw'>): boolean {
  return raw.spec?.schedulingGates?.some((gate) => gate.name === schedulingGate) ?? false;
}

export function nodeOf(pod: LivePod): string | undefined {
  const node = pod.raw.spec?.nodeName;
  return node === '' ? undefined : node;
}

/** A Pod that has ended keeps its object, and its siblings would run on. */
export function isEnded(pod: LivePod): boolean {
  return pod.raw.status?.phase === 'Succeeded' || pod.raw.status?.phase === 'Failed';
}

/** Does no container of it run any more? Asked of a Pod that is at its end. */
export function hasStopped(pod: LivePod): boolean {
  const statuses = pod.raw.status?.containerStatuses ?? [];
  return isEnded(pod) || (statuses.length > 0 && statuses.every(({ state }) => state?.terminated !== undefined));
}

/**
 * Can this piece never run again? It is being deleted; or it has ended although its containers restart for ever, or by
 * somebody else's will (evicted, preempted, its node shut down: the kubelet then gives a reason). A container of a Job
 * that has ended by itself is not lost.
 */
export function isLost(pod: LivePod): boolean {
  if (isDeleting(pod)) return true;
  return isEnded(pod) && (pod.raw.spec?.restartPolicy === 'Always' || pod.raw.status?.reason !== undefined);
}

export function isDeleting(pod: LivePod): boolean {
  return pod.raw.metadata?.deletionTimestamp !== undefined;
}

export function podIPs(pod: LivePod): readonly string[] {
  return (pod.raw.status?.podIPs ?? []).map((entry) => entry.ip).filter((ip) => ip !== '');
}

/** Admission records it on the primary; siblings, and primaries of a version that recorded nothing, show it. */
export function installOf(pod: LivePod): InstallMode {
  const recorded = pod.raw.metadata?.annotations?.[userAnnotations.install];
  return isInstallMode(recorded) ? recorded : carriedInstall(pod);
}

/** What the Pod is made for, whatever it says. */
export function carriedInstall(pod: LivePod): InstallMode {
  return carriesInit(pod.raw) ? 'init' : 'node';
}

export function wiringText(pod: LivePod): string | undefined {
  return pod.raw.metadata?.annotations?.[ownAnnotations.wiring];
}

/** The cluster's DNS as the Pod was told of it last: what holds while nobody can tell. */
export function toldResolvers(pod: LivePod): readonly string[] {
  const text = wiringText(pod);
  if (text === undefined) return [];
  try {
    const vias = pod.role === 'isolated' ? parseIsolateWiring(text).via : parseWiring(text).via;
    return [...new Set((vias ?? []).flatMap(({ resolvers }) => resolvers))].sort();
  } catch {
    return [];
  }
}

/** The other containers of the Pod, as the piece's wiring names them. */
export function wiredPeers(pod: LivePod): readonly string[] {
  try {
    return parseWiring(wiringText(pod) ?? '').peers.map(({ name }) => name);
  } catch {
    return [];
  }
}

/** The net1 addresses that a piece was made with. */
export function carriedEndpoint(pod: IPod): Endpoint | undefined {
  const text = pod.metadata?.annotations?.[ownAnnotations.wiring];
  if (text === undefined) return undefined;
  try {
    return parseWiring(text).self;
  } catch {
    return undefined;
  }
}

/** May it load its rules and start? A piece of mode `node` may from birth on: the node's agent starts it. */
export function isReleased(pod: LivePod): boolean {
  return wiringText(pod)?.includes('"release":"go"') ?? false;
}

/** SHA-256 of the wiring that the piece's init container proved loaded, from its termination message. */
export function loadedRules(pod: LivePod): string | undefined {
  const terminated = initState(pod)?.terminated;
  return terminated?.exitCode === 0 ? terminated.message?.trim() : undefined;
}

/** Does the piece's init container run, and wait for a wiring or load it? */
export function isLoadingRules(pod: LivePod): boolean {
  return initState(pod)?.running !== undefined;
}

function initState(pod: LivePod) {
  return pod.raw.status?.initContainerStatuses?.find((status) => status.name === initContainerName)?.state;
}

/** When the controller last made the kubelet look at the piece, in ms. */
export function nudgedAt(pod: LivePod): number | undefined {
  const at = Date.parse(pod.raw.metadata?.annotations?.[ownAnnotations.nudged] ?? '');
  return Number.isNaN(at) ? undefined : at;
}

const podIPPaths: readonly string[] = [ownAnnotations.podIP, ownAnnotations.podIPs].map(
  (key) => `metadata.annotations['${key}']`,
);

/** Does its container's environment have the primary's Pod IP? It is read once, when the container is made. */
export function readsPodIP(pod: LivePod): boolean {
  return (pod.raw.spec?.containers ?? []).some((container) =>
    container.env?.some(({ valueFrom }) => podIPPaths.includes(valueFrom?.fieldRef?.fieldPath ?? '')),
  );
}

/** The Pod's own init containers, beside podsplit's. */
export function hasOwnInitContainers(pod: LivePod): boolean {
  return pod.raw.spec?.initContainers?.some((container) => container.name !== initContainerName) ?? false;
}

export function isInitialized(pod: LivePod): boolean {
  return conditionStatus(pod, 'Initialized') === 'True';
}

export function isReady(pod: LivePod): boolean {
  return !isDeleting(pod) && conditionStatus(pod, 'Ready') === 'True';
}

/** Are the primary's containers ready, whatever its readiness gate says? */
export function containersReady(pod: LivePod): boolean {
  return conditionStatus(pod, 'ContainersReady') === 'True';
}

export function conditionOf(pod: LivePod, type: string) {
  return pod.raw.status?.conditions?.find((condition) => condition.type === type);
}

function conditionStatus(pod: LivePod, type: string): string | undefined {
  return conditionOf(pod, type)?.status;
}

export function piecesCondition(pod: LivePod) {
  return conditionOf(pod, readinessGate);
}

/** Only a Pod that something makes anew can be ended to be started afresh. */
export function hasController(pod: LivePod): boolean {
  return isOwned(pod.raw);
}

/** What kubectl's STATUS column would say, near enough to find the trouble. */
export function stateOf(pod: LivePod): string {
  const held = heldState(pod);
  if (held !== undefined) return held;
  const { initContainerStatuses = [], containerStatuses = [] } = pod.raw.status ?? {};
  const troubles = [...initContainerStatuses, ...containerStatuses].map(troubleOf);
  return troubles.find((trouble) => trouble !== undefined) ?? startState(pod);
}

/** Of one of a Pod's containers the same: the trouble of another is not its own. */
export function containerStateOf(pod: LivePod, name: string): string {
  const held = heldState(pod);
  if (held !== undefined) return held;
  const own = pod.raw.status?.containerStatuses?.find((status) => status.name === name);
  const trouble = own && troubleOf(own);
  if (trouble !== undefined) return trouble;
  if (own?.state?.running !== undefined) return 'Running';
  if (own?.state?.terminated !== undefined) return 'Completed';
  return own?.state?.waiting?.reason ?? startState(pod);
}

/** Whatever its containers do. */
function heldState(pod: LivePod): string | undefined {
  if (isDeleting(pod)) return 'Terminating';
  return isGated(pod) ? 'SchedulingGated' : undefined;
}

function startState(pod: LivePod): string {
  if (conditionOf(pod, 'PodScheduled')?.reason === 'Unschedulable') return 'Unschedulable';
  if (nodeOf(pod) !== undefined && !isInitialized(pod)) return 'Initializing';
  return pod.raw.status?.phase ?? 'Pending';
}

type ContainerStatus = NonNullable<NonNullable<IPod['status']>['containerStatuses']>[number];

/** Undefined where it starts, runs, or has ended as it should. */
export function troubleOf({ state }: Pick<ContainerStatus, 'state'>): string | undefined {
  const waiting = state?.waiting?.reason;
  if (waiting !== undefined && !starting.has(waiting)) return waiting;
  const ended = state?.terminated;
  return ended !== undefined && ended.exitCode !== 0 ? (ended.reason ?? 'Error') : undefined;
}

const starting: ReadonlySet<string> = new Set(['PodInitializing', 'ContainerCreating']);
