import { asAdmitted } from '../split/admitted.ts';
import type { Plan, SplitOptions } from '../split/plan.ts';
import { split } from '../split/split.ts';
import type { LivePod } from './piece-pod.ts';

/** The plan of a Pod that was wired, computed anew from what admission left on it. What no longer plans is left as it is. */
export function planOf(primary: LivePod, options: SplitOptions): Plan | undefined {
  const decision = split(asAdmitted(primary.raw), options);
  return decision.kind === 'split' ? decision : undefined;
}
