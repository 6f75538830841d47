import type { LeftAlone, Plan } from '../split/plan.ts';

/** What a user should hear at once, of all the reasons that `--explain` prints: where a split Pod behaves otherwise. */
const noteworthy: readonly string[] = ['PrimaryDecidesCompletion', 'SeesRemovedContainers'];

export function notesOf(plan: Plan): readonly string[] {
  // Declared ports are the default; a Pod that declares none is most likely not meant to fall silent.
  const closed = plan.flows.length === 0 ? ['FlowsDeclared'] : [];
  return plan.reasons
    .filter((reason) => [...noteworthy, ...closed].includes(reason.code))
    .map((reason) => `podsplit: ${reason.path}: ${reason.message} (${reason.code})`);
}

export function noteOf(decision: LeftAlone): string {
  return `podsplit: ${decision.message} (${decision.code})`;
}
