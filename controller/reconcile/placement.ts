import type { Clock } from '../kube/clock.ts';
import { hasController, isDeleting, isEnded, isGated, nodeOf, conditionOf, type LivePod } from './piece-pod.ts';

/** A piece that cannot be where its primary is. */
export interface Misfit {
  readonly container: string;
  /** The scheduler's, or the kubelet's. */
  readonly words: string;
  /** By the kubelet, and for good: the Pod has failed. */
  readonly rejected: boolean;
}

/**
 * What the scheduler said first need not be its last word: podAffinity to a primary that was bound a moment ago is not seen
 * yet, and somebody else's Pods may be ending.
 */
export const unplacedMs = 10_000;

interface Pieces {
  readonly primary: LivePod;
  readonly siblings: readonly LivePod[];
}

/** How long a split Pod has waited for room. Monotonic ms. */
export interface Wait {
  readonly began: number;
  /** Since when nobody on the node has moved away first: whoever waits for others begins anew when they have. */
  readonly since: number;
}

/** New Pods that do not fit either may come to the node again and again: nobody waits for them longer than this. */
export const longestWaitMs = 60_000;

interface WaitContext {
  readonly world: { splitsOn(node: string): readonly Pieces[] };
  readonly clock: Pick<Clock, 'now' | 'monotonic'>;
}

/** Undefined where all pieces have a place, or get one. */
export function waitOf(
  { primary, siblings }: { readonly primary: LivePod | undefined; readonly siblings: readonly LivePod[] },
  before: Wait | undefined,
  { world, clock }: WaitContext,
): Wait | undefined {
  const node = primary === undefined ? undefined : nodeOf(primary);
  if (primary === undefined || node === undefined || misfitsOf(siblings).length === 0) return undefined;
  const now = clock.monotonic();
  const { began, since } = before ?? { began: now, since: now };
  const waits = now - began < longestWaitMs && goesAfter(primary, world.splitsOn(node), clock.now());
  return { began, since: waits ? now : since };
}

/** A node whose Pods are ending longer than they may is not waited for. */
const overdueMs = 30_000;

export function misfitsOf(siblings: readonly LivePod[]): readonly Misfit[] {
  return siblings.flatMap((sibling) => {
    if (isDeleting(sibling) || isGated(sibling)) return [];
    const words = rejection(sibling) ?? unschedulable(sibling);
    return words === undefined ? [] : [{ container: sibling.container, words, rejected: isEnded(sibling) }];
  });
}

/** The kubelet's prefix for what it does not admit, whatever the reason (pkg/kubelet, rejectPod). */
const rejectedPrefix = 'Pod was rejected: ';

/** OutOfcpu, OutOfmemory, NodeAffinity, UnexpectedAdmissionError, and whatever else an admission of the kubelet says. */
function rejection({ raw: { status } }: LivePod): string | undefined {
  if (status?.phase !== 'Failed') return undefined;
  const { reason = '', message = '' } = status;
  if (!message.startsWith(rejectedPrefix) && !reason.startsWith('OutOf')) return undefined;
  return [reason, message.replace(rejectedPrefix, '')].filter((text) => text !== '').join(': ');
}

/** Where the scheduler has nominated a node it is making room there, by preemption. */
function unschedulable(pod: LivePod): string | undefined {
  const { status, reason, message = 'no node takes it' } = conditionOf(pod, 'PodScheduled') ?? {};
  const nominated = pod.raw.status?.nominatedNodeName ?? '';
  if (nodeOf(pod) !== undefined || nominated !== '') return undefined;
  return status === 'False' && reason === 'Unschedulable' ? message : undefined;
}

/** One sentence for condition and Event. */
export function sayMisfits(misfits: readonly Misfit[], node: string): string {
  const said = misfits.map(({ container, words }) => `the piece of ${container} (${withoutStop(words)})`).join(', ');
  return `Beside the primary on node ${node} there is no room for ${said}.`;
}

function withoutStop(words: string): string {
  return words.replace(/\.\s*$/, '');
}

/**
 * Split Pods of which each has a part on one node, and none has room for the rest, would hold each other's room for ever. One
 * after the other moves away, in an order that all agree on; whoever comes after it waits and sees whether that was enough.
 *
 * @param others primaries on the node of `primary`
 * @param now in ms
 */
export function goesAfter(primary: LivePod, others: readonly Pieces[], now: number): boolean {
  return others.some((other) => {
    if (other.primary.uid === primary.uid || isEnded(other.primary)) return false;
    if (isDeleting(other.primary)) return isLeaving(other.primary, now);
    const moves = hasController(other.primary) && misfitsOf(other.siblings).length > 0;
    return moves && movesFirst(other.primary, primary);
  });
}

/** Its room is about to be free. */
function isLeaving({ raw }: LivePod, now: number): boolean {
  return Date.parse(raw.metadata?.deletionTimestamp ?? '') + overdueMs > now;
}

/** The less important, then the younger; of two of one second that with the larger UID. */
function movesFirst(one: LivePod, other: LivePod): boolean {
  const [priority, otherPriority] = [one.raw.spec?.priority ?? 0, other.raw.spec?.priority ?? 0];
  if (priority !== otherPriority) return priority < otherPriority;
  const [made, otherMade] = [madeAt(one), madeAt(other)];
  return made === otherMade ? one.uid > other.uid : made > otherMade;
}

function madeAt({ raw }: LivePod): number {
  return Date.parse(raw.metadata?.creationTimestamp ?? '');
}
