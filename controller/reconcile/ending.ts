import type { Observed, Step } from './lifecycle.ts';
import { hasStopped, isDeleting, isGated, type LivePod } from './piece-pod.ts';
import { byPlace, isSidecar } from './start-order.ts';

/** A deadline that is missed by less is met: the API server counts whole seconds. */
const slackMs = 2_000;

/**
 * The pieces share their end: what is left of the primary's grace is the siblings' too (ownership alone would add them up).
 * Native sidecars serve until the containers have ended, then end one after the other, the last to start first, all within
 * the same grace.
 */
export function endStep({ primary, siblings, endBy }: Observed, now: number): Step {
  const graceSeconds = endBy === undefined ? undefined : remaining(endBy, now);
  const end = (pieces: readonly LivePod[]): Step => ({ kind: 'end-siblings', siblings: pieces, graceSeconds });
  // What never started serves nobody.
  const sidecars = siblings.filter((sibling) => isSidecar(sibling) && !isGated(sibling)).toSorted(byPlace);
  const others = siblings.filter((sibling) => !sidecars.includes(sibling));
  const running = others.filter((sibling) => !isDeleting(sibling));
  if (running.length > 0) return end(running);

  const left = sidecars.filter((sidecar) => !endsInTime(sidecar, endBy, now));
  const last = sidecars.at(-1);
  if (left.length === 0 || last === undefined) return { kind: 'report' };
  if (endBy !== undefined && now >= endBy) return end(left);
  const served = [...(primary === undefined ? [] : [primary]), ...others];
  if (served.every(hasStopped) && left.includes(last)) return end([last]);
  return endBy === undefined ? { kind: 'report' } : { kind: 'look-again', forMs: endBy - now };
}

/**
 * When the kubelet kills what is left of a Pod that is being deleted, in ms. Undefined where that says nothing: whose containers
 * have ended early the kubelet deletes with no grace, and so is who is deleted by force.
 */
export function deadlineOf({ raw: { metadata } }: LivePod): number | undefined {
  if (metadata?.deletionGracePeriodSeconds === 0) return undefined;
  const deadline = Date.parse(metadata?.deletionTimestamp ?? '');
  return Number.isNaN(deadline) ? undefined : deadline;
}

/** Whole seconds. At least 1: a grace of 0 is a forced deletion, which frees the name early. */
function remaining(endBy: number, now: number): number {
  return Math.max(1, Math.ceil((endBy - now) / 1000));
}

/** The garbage collector gives a piece the whole of its own grace, whatever is left of the Pod's. */
function endsInTime(piece: LivePod, endBy: number | undefined, now: number): boolean {
  if (!isDeleting(piece)) return false;
  const at = Date.parse(piece.raw.metadata?.deletionTimestamp ?? '');
  return endBy === undefined || Number.isNaN(at) || at <= Math.max(endBy, now) + slackMs;
}
