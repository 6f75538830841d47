import { quote, refusal, unknownContainer, type Context, type Parsed } from './annotation-context.ts';
import { userAnnotations } from './names.ts';
import { didYouMean } from './nearest.ts';
import type { Refusal } from './refusal.ts';

/**
 * What admission asks of a workload that opted in, on top of the network (docs/guards.md). `token`: only named containers
 * have the ServiceAccount's token. `resources`: every container states requests and limits. `hardening`: security contexts
 * as the restricted Pod Security Standard asks for them.
 */
export const guardNames = ['token', 'resources', 'hardening'] as const;

export type Guard = (typeof guardNames)[number];

/** Where neither the Pod nor its namespace says anything. Hardening changes what runs: it is reported, and applied on request. */
export const defaultGuards: readonly Guard[] = ['token', 'resources'];

const grammar = `"all", "none", or a list of ${guardNames.join(', ')}`;

/**
 * The text of the annotation, or of the namespace's label: `all`, `none` or a list. The values of labels hold no commas, so
 * `.` separates too, in both: what is copied from one to the other means the same. In the order of `guardNames`.
 *
 * What a policy in CEL has to match for a guard G: `(^|[,.\s])(all|G)($|[,.\s])`.
 */
export function readGuards(
  text: string,
): { readonly guards: readonly Guard[] } | { readonly problems: readonly Problem[] } {
  const whole = text.trim();
  if (whole === 'all') return { guards: guardNames };
  if (whole === 'none') return { guards: [] };
  const entries = new Set(whole.split(/[.,]/).map((entry) => entry.trim()));
  const wrong = [...entries].filter((entry) => !isGuard(entry));
  if (wrong.length === 0) return { guards: guardNames.filter((guard) => entries.has(guard)) };
  return { problems: wrong.slice(0, maxProblems).map(problemOf) };
}

/** For who does not judge the text: none where it is mistaken, since such a Pod is refused anyway. */
export function guardsIn(text: string | undefined, otherwise: readonly Guard[]): readonly Guard[] {
  if (text === undefined) return otherwise;
  const read = readGuards(text);
  return 'guards' in read ? read.guards : [];
}

/** Sentences, without a field: it is an annotation's, or a label's. */
export interface Problem {
  readonly message: string;
  readonly action: string;
}

function problemOf(entry: string): Problem {
  const message =
    entry === 'all' || entry === 'none'
      ? `${quote(entry)} stands alone, and not in a list.`
      : `There is no guard ${quote(entry)}.${didYouMean(entry, [...guardNames, 'all', 'none'])}`;
  return { message, action: `Set it to ${grammar}, or remove it.` };
}

function isGuard(text: string): boolean {
  return guardNames.some((guard) => guard === text);
}

/** Of a text that may be as long as annotations are; nobody reads more. */
const maxProblems = 10;

/** As text that `readGuards` reads, for an annotation. */
export function formatGuards(guards: readonly Guard[]): string {
  return guards.length === 0 ? 'none' : guards.join(',');
}

/** `podsplit.io/guards`: the guards that hold. */
export function parseGuards(at: Context): Parsed<readonly Guard[]> {
  const text = at.values.get(userAnnotations.guards);
  if (text === undefined) return { value: defaultGuards };
  const read = readGuards(text);
  if ('guards' in read) return { value: read.guards };
  const path = at.path(userAnnotations.guards);
  return { refusals: read.problems.map(({ message, action }) => refusal('UnknownGuard', path, message, action)) };
}

/**
 * `podsplit.io/token`: the containers that keep the ServiceAccount's token, init containers among them. In the order of
 * `containers`.
 */
export function parseToken(at: Context, containers: readonly string[]): Parsed<readonly string[]> {
  const text = at.values.get(userAnnotations.token);
  if (text === undefined || text.trim() === 'none') return { value: [] };
  const path = at.path(userAnnotations.token);
  const entries = new Set(text.split(',').map((entry) => entry.trim()));
  const known = new Set(containers);
  const wrong = [...entries].filter((entry) => !known.has(entry));
  const refusals = wrong.slice(0, maxProblems).map((entry): Refusal => {
    if (entry !== '') return unknownContainer({ ...at, containers }, path, entry);
    const action = 'List names of containers, separated by commas, or write "none".';
    return refusal('InvalidToken', path, `${quote(text)} has an entry without a name.`, action);
  });
  return refusals.length > 0 ? { refusals } : { value: containers.filter((name) => entries.has(name)) };
}
