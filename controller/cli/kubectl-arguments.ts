import { CliError } from './cli-error.ts';
import { globalValueFlags, shortValueFlags, valueFlags, type Verb } from './kubectl-flags.ts';

/** One command of kubectl, taken apart as far as its Pod and its container are concerned. */
export interface KubectlArguments {
  /** `POD`, `pod/POD`, or `TYPE/NAME` of what has Pods. */
  readonly target: string;
  /** Of `-c`; of `debug` also `--target`, which kubectl knows the container by. */
  readonly container: string | undefined;
  readonly allContainers: boolean;
  /** Those that say which cluster, as whom and in which namespace. */
  readonly connection: readonly string[];
  /** All flags but those of the fields above. */
  readonly flags: readonly string[];
  /** What follows the Pod: `--` and a command. */
  readonly command: readonly string[];
}

interface Flag {
  readonly name: string;
  /** Absent on a switch that stands alone. */
  readonly value?: string;
  readonly words: readonly string[];
}

/**
 * @param args what follows the verb
 * @throws CliError where no Pod is named, or something that has no meaning for the pieces of one
 */
export function readKubectlArguments(verb: Verb, args: readonly string[]): KubectlArguments {
  const end = args.indexOf('--');
  const own = end === -1 ? args : args.slice(0, end);
  const { flags, words } = takeApart(verb, own);
  refuseUnfit(verb, flags);

  const [target, ...more] = words;
  if (target === undefined) throw new CliError(`Which Pod? For example: kubectl podsplit ${verb} POD -c CONTAINER`);
  const containers = flags.filter(({ name }) => namesContainer(verb, name));
  // kubectl takes a second word of `logs` for the container.
  const byWord = verb === 'logs' ? more[0] : undefined;
  const tooMany = more.slice(byWord === undefined ? 0 : 1);
  if (tooMany.length > 0) {
    throw new CliError(`${JSON.stringify(tooMany[0])} is one name too many. Commands come after "--".`);
  }
  const named = [...containers.map(({ value }) => value), byWord].filter((name) => name !== undefined);
  if (new Set(named).size > 1) throw new CliError(`One container at a time: ${named.join(' or ')}?`);

  const all = flags.find(({ name }) => name === '--all-containers');
  return {
    target,
    container: named[0],
    allContainers: all !== undefined && all.value !== 'false',
    connection: flags.filter(isConnection).flatMap(({ words: said }) => said),
    flags: flags
      .filter((flag) => !isConnection(flag) && !containers.includes(flag) && flag !== all)
      .flatMap(({ words: said }) => said),
    command: end === -1 ? [] : args.slice(end),
  };
}

function namesContainer(verb: Verb, flag: string): boolean {
  return flag === '--container' || (verb === 'debug' && flag === '--target');
}

/** `--profile` is a global flag that `debug` has another meaning for. */
function isConnection({ name, value }: Flag): boolean {
  return value !== undefined && globalValueFlags.includes(name) && name !== '--profile';
}

function refuseUnfit(verb: Verb, flags: readonly Flag[]): void {
  const unfit: Readonly<Record<string, string>> = {
    '--selector': 'Name one Pod; kubectl logs -l podsplit.io/split=ID has those of all its pieces.',
    '--all-pods': 'Name one Pod.',
    '--filename': 'Name the Pod instead of a file.',
    '--copy-to': 'A copy of a piece has no peers: copy the workload, or debug the piece itself.',
  };
  const found = flags.find(({ name }) => Object.hasOwn(unfit, name));
  if (found !== undefined) {
    throw new CliError(`kubectl podsplit ${verb} does not take ${found.name}. ${unfit[found.name] ?? ''}`);
  }
}

function takeApart(verb: Verb, args: readonly string[]): { readonly flags: Flag[]; readonly words: string[] } {
  const flags: Flag[] = [];
  const words: string[] = [];
  const rest = [...args];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word.startsWith('--')) flags.push(longFlag(verb, word, rest));
    else if (word.startsWith('-') && word !== '-') flags.push(...shortFlags(verb, word, rest));
    else words.push(word);
  }
  return { flags, words };
}

function longFlag(verb: Verb, word: string, rest: string[]): Flag {
  const equals = word.indexOf('=');
  if (equals !== -1) return { name: word.slice(0, equals), value: word.slice(equals + 1), words: [word] };
  if (!globalValueFlags.includes(word) && !valueFlags[verb].includes(word)) return { name: word, words: [word] };
  const value = valueAfter(word, rest);
  return { name: word, value, words: [word, value] };
}

/** `-it`, `-nshop`, `-n shop`: letters of switches, until one takes a value, which is the rest or the next word. */
function shortFlags(verb: Verb, word: string, rest: string[]): Flag[] {
  const flags: Flag[] = [];
  for (const [index, letter] of Array.from(word.slice(1)).entries()) {
    const name = shortValueFlags[verb][letter];
    if (name === undefined) {
      flags.push({ name: `-${letter}`, words: [`-${letter}`] });
      continue;
    }
    const joined = word.slice(index + 2).replace(/^=/, '');
    const value = joined === '' ? valueAfter(`-${letter}`, rest) : joined;
    flags.push({ name, value, words: [`-${letter}`, value] });
    break;
  }
  return flags;
}

function valueAfter(flag: string, rest: string[]): string {
  const value = rest.shift();
  if (value === undefined) throw new CliError(`${flag} needs a value.`);
  return value;
}
