import type { IsolatePlan } from '../isolate/plan.ts';
import { noteworthyOf } from '../isolate/reasons.ts';
import type { LeftAlone, Plan } from '../split/plan.ts';
import { noteworthy } from '../split/reasons.ts';

/** Warnings of an admission answer: kubectl prints them. */
export function notesOf(plan: Plan | IsolatePlan): readonly string[] {
  const reasons = plan.kind === 'split' ? noteworthy(plan) : noteworthyOf(plan);
  return reasons.map((reason) => `podsplit: ${reason.path}: ${reason.message} (${reason.code})`);
}

export function noteOf(decision: LeftAlone): string {
  return `podsplit: ${decision.message} (${decision.code})`;
}
