import type { IsolatePlan } from '../isolate/plan.ts';
import { noteworthyOf } from '../isolate/reasons.ts';
import type { LeftAlone, Plan } from '../split/plan.ts';
import { noteworthy } from '../split/reasons.ts';

/** Warnings of an admission answer: kubectl prints them. */
export function notesOf(plan: Plan | IsolatePlan | LeftAlone): readonly string[] {
  if (plan.kind === 'left-alone') return silent.includes(plan.code) ? [] : [noteOf(plan)];
  const reasons = plan.kind === 'split' ? noteworthy(plan) : noteworthyOf(plan);
  return reasons.map((reason) => `podsplit: ${reason.path}: ${reason.message} (${reason.code})`);
}

/** In a namespace with a label every Pod is judged; who opted out knows it. */
const silent: readonly LeftAlone['code'][] = ['NotOptedIn', 'OptedOut'];

function noteOf(decision: LeftAlone): string {
  return `podsplit: ${decision.message} (${decision.code})`;
}
