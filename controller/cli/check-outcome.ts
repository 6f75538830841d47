import type { Snapshot } from './check-snapshot.ts';

/** `unknown`: what nobody could see from here. It fails nothing, and is not said to be well. */
export const levels = ['ok', 'warning', 'problem', 'unknown'] as const;
export type Level = (typeof levels)[number];

export interface Outcome {
  readonly level: Level;
  readonly what: string;
  /** What to do; where all is well there is nothing. */
  readonly mend?: string;
}

/** One matter that is looked at. */
export interface Check {
  /** Stable: scripts name it. */
  readonly id: string;
  /** What depends on it. */
  readonly why: string;
  readonly look: (snapshot: Snapshot) => readonly Outcome[];
}

/** What was read of the cluster, or the right that was missing. */
export type Seen<T> =
  | { readonly kind: 'seen'; readonly value: T }
  /** `right`: as in "you may not list nodes". */
  | { readonly kind: 'hidden'; readonly right: string };

export function ok(what: string): Outcome {
  return { level: 'ok', what };
}

export function warning(what: string, mend: string): Outcome {
  return { level: 'warning', what, mend };
}

export function problem(what: string, mend: string): Outcome {
  return { level: 'problem', what, mend };
}

export function unknown(what: string, mend: string): Outcome {
  return { level: 'unknown', what, mend };
}

export function hidden(right: string): Outcome {
  return unknown(`You may not ${right}.`, `Let somebody look who may ${right}.`);
}

/** Judges what was seen, or says which right was missing. */
export function whereSeen<T>(seen: Seen<T>, judge: (value: T) => readonly Outcome[]): readonly Outcome[] {
  return seen.kind === 'seen' ? judge(seen.value) : [hidden(seen.right)];
}

/** For what only makes an answer more exact. */
export function seenOr<T>(seen: Seen<T>, otherwise: T): T {
  return seen.kind === 'seen' ? seen.value : otherwise;
}

const mostNamed = 4;

/** `a, b and 3 more`. */
export function few(names: readonly string[]): string {
  const rest = names.length - mostNamed;
  return rest > 0 ? `${names.slice(0, mostNamed).join(', ')} and ${rest} more` : names.join(', ');
}
