import type { InstallMode } from '../api/install.ts';
import {
  containersReady,
  hasController,
  installOf,
  isDeleting,
  isEnded,
  isGated,
  isLoadingRules,
  isLost,
  isReady,
  isReleased,
  loadedRules,
  nodeOf,
  nudgedAt,
  piecesCondition,
  podIPs,
  readsPodIP,
  stateOf,
  wiringText,
  type LivePod,
} from './piece-pod.ts';
import { misfitsOf, sayMisfits, unplacedMs } from './placement.ts';
import { endStep } from './ending.ts';
import { isToldInVain, released, startedNews, startHolder } from './start-order.ts';

/** Everything that the watch caches say of one split Pod. */
export interface Observed {
  /** Undefined once the object is gone. */
  readonly primary: LivePod | undefined;
  /** Every Pod that carries the split's label as sibling, those that are being deleted too. */
  readonly siblings: readonly LivePod[];
  /** Does a block hold addresses for it? */
  readonly claimed: boolean;
  /** The containers that must have siblings, as the primary's annotation says; where that does not read, as its wiring does. */
  readonly expected: readonly string[];
  /** Does every piece carry the wiring, and the primary's Pod IPs, that it should have now? */
  readonly told: boolean;
  /** Since when the pieces' addresses have been what they are, in ms. */
  readonly addressesSince: number;
  /** Since when what `outdated` finds has been so, in ms; undefined if it is not. */
  readonly outdatedSince: number | undefined;
  /** Since when a piece has had no place beside the primary, and nobody on the node moves away first, in ms. */
  readonly misfitSince: number | undefined;
  /** When the Pod's grace is over, in ms; undefined as long as nobody has deleted it. */
  readonly endBy: number | undefined;
}

/** What to do next for one split Pod. One step at a time: after it the world is looked at again. */
export type Step =
  | { readonly kind: 'wire' }
  | { readonly kind: 'end-siblings'; readonly siblings: readonly LivePod[]; readonly graceSeconds: number | undefined }
  | { readonly kind: 'release' }
  | { readonly kind: 'lift-siblings'; readonly siblings: readonly LivePod[] }
  | { readonly kind: 'say-started'; readonly text: string }
  | { readonly kind: 'tell' }
  | { readonly kind: 'nudge'; readonly pieces: readonly LivePod[] }
  | { readonly kind: 'look-again'; readonly forMs: number }
  | { readonly kind: 'replace'; readonly reason: ReplaceReason; readonly message: string }
  | { readonly kind: 'settle'; readonly forMs: number; readonly message: string }
  | { readonly kind: 'stuck'; readonly reason: ReplaceReason; readonly message: string }
  | { readonly kind: 'report' };

export type ReplaceReason = 'SiblingLost' | 'RulesOutdated' | 'PieceDoesNotFit';

/**
 * When all sandboxes of a node end at once, every piece starts again and waits for its new wiring. News of addresses that
 * change is held back until they have been still for `calmMs`, so that nobody starts with half of it; what is outdated for
 * longer than `settleMs` must be made anew.
 */
export const calmMs = 4_000;
export const settleMs = 20_000;

/**
 * A released piece may wait for a wiring that was written long ago: the kubelet forgets that a downward API volume has to be
 * written anew if the Pod changes while a mount of that volume is under way, and looks again only with the next sync of the
 * Pod, a minute or more later. Each change of an annotation is such a sync, so one is made this often.
 */
export const nudgeMs = 5_000;

/** The sentence of docs/life-of-a-split-pod.md as one ordered table. The first that applies is the next step. */
export function nextStep(seen: Observed, now: number): Step {
  const { primary, siblings, claimed } = seen;
  if (primary === undefined)
    return siblings.length > 0 ? endStep(seen, now) : claimed ? { kind: 'release' } : { kind: 'report' };
  if (isDeleting(primary) || isEnded(primary)) return endStep(seen, now);
  if (isGated(primary)) return { kind: 'wire' };
  if (nodeOf(primary) === undefined) return { kind: 'report' };
  const living: Living = { ...seen, primary };
  const misplaced = placeOf(living, now);
  if (misplaced?.kind === 'replace') return misplaced;
  const step = lost(living) ?? sayStarted(living) ?? stepsOf[installOf(primary)](living, now) ?? { kind: 'report' };
  return step.kind === 'report' || step.kind === 'stuck' ? (misplaced ?? step) : step;
}

/** The primary is bound, and not at its end. */
interface Living extends Observed {
  readonly primary: LivePod;
}

const stepsOf: Readonly<Record<InstallMode, (seen: Living, now: number) => Step | undefined>> = {
  // The init containers wait for Pod IPs, so all sandboxes must be there first.
  init: (seen, now) =>
    lift(seen.siblings) ?? tell(seen, now) ?? nudge(seen, now) ?? renew(seen, now) ?? lookAgain(seen, now),
  // The agent of the node knows the Pod IPs of its pieces. What is told is what changed in the Pod: its flows.
  node: (seen, now) => lift(liftable(seen)) ?? tellAtOnce(seen) ?? nudge(seen, now) ?? lookAgain(seen, now),
};

/** What stands in the primary where native sidecars stood waits for this. */
function sayStarted({ primary, siblings }: Living): Step | undefined {
  const text = startedNews(primary, siblings);
  return text === undefined ? undefined : { kind: 'say-started', text };
}

/** A sibling that is gone, going or evicted takes the Pod along: a container cannot be taken out of a Pod either. */
function lost({ primary, siblings, expected }: Living): Step | undefined {
  const living = new Set(siblings.filter((sibling) => !isLost(sibling)).map((sibling) => sibling.container));
  const missing = expected.filter((container) => !living.has(container));
  if (missing.length === 0) return undefined;
  return anew(
    primary,
    'SiblingLost',
    `The piece of ${missing.join(', ')} was deleted or evicted; the pieces of a Pod share one life.`,
  );
}

/** What has no place beside the primary moves with it, as a Pod's containers are placed together or not at all. */
function placeOf({ primary, siblings, misfitSince }: Living, now: number): Step | undefined {
  const misfits = misfitsOf(siblings);
  if (misfits.length === 0) return undefined;
  const forMs = (misfitSince ?? now) + unplacedMs - now;
  if (forMs > 0 && !misfits.some(({ rejected }) => rejected)) return { kind: 'look-again', forMs };
  return anew(primary, 'PieceDoesNotFit', sayMisfits(misfits, nodeOf(primary) ?? ''));
}

function lift(siblings: readonly LivePod[]): Step | undefined {
  const gated = siblings.filter((sibling) => isGated(sibling) && !isDeleting(sibling));
  return gated.length > 0 ? { kind: 'lift-siblings', siblings: gated } : undefined;
}

/** In mode `node` a piece may start when its gate is lifted. Whose environment has the primary's Pod IP waits for that too. */
function liftable({ primary, siblings }: Living): readonly LivePod[] {
  const free = released(primary, siblings);
  const known = podIPs(primary).length > 0;
  return siblings.filter((sibling) => free.includes(sibling) && (known || !readsPodIP(sibling)));
}

/**
 * A piece whose sandbox was made anew has another Pod IP, and in `init` mode running pieces cannot be told: their rules
 * would let the stranger in by eth0. See docs/decisions/0006-init-mode-cannot-be-told.md.
 */
function renew({ primary, outdatedSince }: Living, now: number): Step | undefined {
  if (outdatedSince === undefined) return undefined;
  const message =
    'A piece got another Pod IP, or what the Pod allows has changed: pieces that already run cannot be told.';
  const forMs = outdatedSince + settleMs - now;
  return forMs > 0 ? { kind: 'settle', forMs, message } : anew(primary, 'RulesOutdated', message);
}

function anew(primary: LivePod, reason: ReplaceReason, message: string): Step {
  return hasController(primary)
    ? { kind: 'replace', reason, message: `${message} Its workload makes the Pod anew.` }
    : { kind: 'stuck', reason, message: `${message} Nothing makes this Pod anew: delete it and create it again.` };
}

/** Once every piece has its Pod IPs, each can be told all of them. The first time at once, of changes when they are over. */
function tell({ primary, siblings, told, addressesSince }: Living, now: number): Step | undefined {
  if (told) return undefined;
  const pieces = [primary, ...siblings];
  if (pieces.some((piece) => podIPs(piece).length === 0)) return undefined;
  const forMs = addressesSince + calmMs - now;
  const again = pieces.some((piece) => loadedRules(piece) !== undefined) && isReleased(primary);
  if (again && forMs > 0) return { kind: 'settle', forMs, message: 'The addresses of the pieces are changing.' };
  return { kind: 'tell' };
}

/** Nothing of it must hang together: the agent takes what each piece says as it comes. */
function tellAtOnce({ told }: Living): Step | undefined {
  return told ? undefined : { kind: 'tell' };
}

function nudge(seen: Living, now: number): Step | undefined {
  const pieces = waitingForKubelet(seen).filter((piece) => untilNudge(piece, now) <= 0);
  return pieces.length > 0 ? { kind: 'nudge', pieces } : undefined;
}

function lookAgain(seen: Living, now: number): Step | undefined {
  const times = waitingForKubelet(seen).map((piece) => untilNudge(piece, now));
  return times.length > 0 ? { kind: 'look-again', forMs: Math.min(...times) } : undefined;
}

function waitingForKubelet({ primary, siblings }: Living): readonly LivePod[] {
  return [primary, ...siblings].filter(
    (piece) =>
      ((isReleased(piece) && isLoadingRules(piece)) || (piece === primary && isToldInVain(primary, siblings))) &&
      !isDeleting(piece) &&
      !isEnded(piece),
  );
}

/** A time to come is of another controller, whose clock is ahead. */
function untilNudge(piece: LivePod, now: number): number {
  const at = nudgedAt(piece);
  return at === undefined || at > now ? 0 : at + nudgeMs - now;
}

/** Has some piece loaded another wiring than the one it carries now? */
export function outdated(pieces: readonly LivePod[], hash: (wiring: string) => string): boolean {
  return pieces.some((piece) => {
    const loaded = loadedRules(piece);
    const wiring = wiringText(piece);
    return loaded !== undefined && wiring !== undefined && loaded !== hash(wiring);
  });
}

export interface Readiness {
  readonly ready: boolean;
  readonly reason: string;
  readonly message: string;
}

/** What the readiness gate `podsplit.io/pieces-ready` says: are all siblings ready? */
export function readiness(seen: Observed): Readiness {
  const living = seen.siblings.filter((sibling) => !isLost(sibling));
  const missing = seen.expected.filter((container) => !living.some((sibling) => sibling.container === container));
  if (missing.length > 0)
    return { ready: false, reason: 'SiblingLost', message: `No piece runs ${missing.join(', ')}.` };
  const waiting = living.filter((sibling) => !isReady(sibling));
  if (waiting.length === 0) return { ready: true, reason: 'PiecesReady', message: 'All pieces are ready.' };
  const holder = seen.primary === undefined ? undefined : startHolder(seen.primary, living);
  if (holder !== undefined) {
    const message = `The Pod's start waits for native sidecar ${holder.container}, which has not started: its piece is ${stateOf(holder)}.`;
    return { ready: false, reason: 'SidecarNotStarted', message };
  }
  const states = waiting.map((sibling) => `${sibling.container} is ${stateOf(sibling)}`).join(', ');
  return { ready: false, reason: 'PiecesNotReady', message: `Waiting for the pieces: ${states}.` };
}

/** Does the primary's condition already say so? */
export function saysSo(primary: LivePod, wanted: Readiness): boolean {
  const current = piecesCondition(primary);
  return (
    current !== undefined &&
    (current.status === 'True') === wanted.ready &&
    current.reason === wanted.reason &&
    current.message === wanted.message
  );
}

export function isWholeReady(seen: Observed): boolean {
  return seen.primary !== undefined && containersReady(seen.primary) && isReady(seen.primary) && readiness(seen).ready;
}
