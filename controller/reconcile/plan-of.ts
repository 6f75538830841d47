import { asAdmitted } from '../split/admitted.ts';
import type { Plan, SplitOptions } from '../split/plan.ts';
import { split } from '../split/split.ts';
import type { LivePod } from './piece-pod.ts';

/** Of one version of a Pod there is one plan. Whatever happens to a workload asks for the plans of all its Pods. */
const known = new WeakMap<SplitOptions, WeakMap<LivePod['raw'], Plan | 'none'>>();

/** The plan of a Pod that was wired, computed anew from what admission left on it. What no longer plans is left as it is. */
export function planOf(primary: LivePod, options: SplitOptions): Plan | undefined {
  const plans = known.get(options) ?? new WeakMap<LivePod['raw'], Plan | 'none'>();
  known.set(options, plans);
  const plan = plans.get(primary.raw) ?? compute(primary, options);
  plans.set(primary.raw, plan);
  return plan === 'none' ? undefined : plan;
}

function compute(primary: LivePod, options: SplitOptions): Plan | 'none' {
  const decision = split(asAdmitted(primary.raw), options);
  return decision.kind === 'split' ? decision : 'none';
}
