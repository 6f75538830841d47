import type { ParsedPolicy } from './parse-policy.ts';
import type { PolicyProblem, PolicyProblemCode } from './policy-problem.ts';

/** What is found while a Pod's policies are resolved: each problem once, in the order of policies and paths. */
export class Notes {
  readonly #problems = new Map<string, PolicyProblem>();
  /** Names that were looked for, and whether somebody had them: a rule may meet them in many places. */
  readonly #names = new Map<string, { readonly problem: PolicyProblem; found: boolean }>();

  add(policy: ParsedPolicy, code: PolicyProblemCode, path: string, message: string): void {
    this.#put({ policy: policy.name, code, path, message });
  }

  /** Of a name that need not be everywhere, only somewhere. */
  look(policy: ParsedPolicy, code: PolicyProblemCode, where: string, message: string, found: boolean): void {
    const problem = { policy: policy.name, code, path: where, message };
    const key = keyOf(problem);
    const known = this.#names.get(key);
    if (known === undefined) this.#names.set(key, { problem, found });
    else known.found ||= found;
  }

  all(): readonly PolicyProblem[] {
    const missing = [...this.#names.values()].filter(({ found }) => !found).map(({ problem }) => problem);
    return [...this.#problems.values(), ...missing].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  }

  #put(problem: PolicyProblem): void {
    this.#problems.set(keyOf(problem), problem);
  }
}

function keyOf({ policy, code, path, message }: PolicyProblem): string {
  return [policy, path, code, message].join('\n');
}
