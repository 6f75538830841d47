import type { Refusal, RefusalCode } from '../api/refusal.ts';
import { formatRefusal } from '../api/refusal.ts';
import type { Denied } from './review.ts';

/** Not a mistake in the object but something that nobody but podsplit may write. */
const forbidden: readonly RefusalCode[] = ['ForgedAnnotation', 'ReservedLabel', 'ReservedName'];

/** All refusals at once: a user who mends one after the other needs as many tries as there are mistakes. */
export function refused(refusals: readonly Refusal[]): Denied {
  const lines = refusals.map(formatRefusal);
  const message =
    lines.length === 1
      ? `podsplit: ${lines.join('')}`
      : ['podsplit:', ...lines.map((line) => `  - ${line}`)].join('\n');
  return {
    kind: 'denied',
    decision: 'refused',
    codes: [...new Set(refusals.map((refusal) => refusal.code))],
    status: refusals.every((refusal) => forbidden.includes(refusal.code)) ? 403 : 422,
    message,
  };
}
