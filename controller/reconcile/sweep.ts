/** Everything is looked at again this often, whatever events were missed: the backstop of a level-based controller. */
const leastMs = 60_000;
/** A look at a split Pod, and its share of one at its workload, takes some 3 ms: a tenth of a processor is enough for a backstop. */
const msForPod = 30;

/** How long after one look at everything comes the next, in milliseconds. */
export function sweepAfterMs(splitPods: number): number {
  return Math.max(leastMs, msForPod * splitPods);
}
