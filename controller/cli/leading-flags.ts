import { globalValueFlags } from './kubectl-flags.ts';

const switches: readonly string[] = ['-A', '--all-namespaces'];

/**
 * `kubectl podsplit -n shop status` as `status -n shop`: kubectl takes flags that say where before its own commands, and so
 * people write them. The command judges them, as if they had stood behind it.
 */
export function behindCommand(args: readonly string[]): readonly string[] {
  let at = 0;
  for (let word = args[at]; word?.startsWith('-') === true; word = args[at]) {
    const length = lengthOf(word);
    if (length === undefined) return args;
    at += length;
  }
  const command = args[at];
  return at === 0 || command === undefined ? args : [command, ...args.slice(0, at), ...args.slice(at + 1)];
}

/** In words, with its value; undefined of what is the program's own (`--help`), or nobody's. */
function lengthOf(word: string): number | undefined {
  if (switches.includes(word)) return 1;
  if (word.startsWith('-n')) return word === '-n' ? 2 : 1;
  const [name = '', value] = word.split('=', 2);
  if (!globalValueFlags.includes(name)) return undefined;
  return value === undefined ? 2 : 1;
}
