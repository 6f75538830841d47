import type { LeftAlone, Plan } from '../split/plan.ts';
import { noteworthy } from '../split/reasons.ts';

/** Warnings of an admission answer: kubectl prints them. */
export function notesOf(plan: Plan): readonly string[] {
  return noteworthy(plan).map((reason) => `podsplit: ${reason.path}: ${reason.message} (${reason.code})`);
}

export function noteOf(decision: LeftAlone): string {
  return `podsplit: ${decision.message} (${decision.code})`;
}
