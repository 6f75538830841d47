import type { Command, Option } from 'commander';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

export interface Candidate {
  readonly value: string;
  /** Empty for what speaks for itself. */
  readonly description: string;
}

/** What may stand where the cursor is. */
export type Completion =
  | { readonly kind: 'words'; readonly words: readonly Candidate[] }
  /** Names of split Pods of the cluster that the words before lead to. */
  | { readonly kind: 'pods'; readonly given: Readonly<Record<string, string>> }
  | { readonly kind: 'files' };

/**
 * Of the program's own tree of commands and options.
 *
 * @param words behind the program's name; the last one is at the cursor, and may be empty
 */
export function complete(program: Command, words: readonly string[]): Completion {
  const given = words.slice(0, -1);
  const current = words.at(-1) ?? '';
  if (given.includes('--')) return { kind: 'files' };
  const [name] = given;
  if (name === undefined) return matching(current, current.startsWith('-') ? optionsOf(program) : commandsOf(program));
  const command = program.commands.find((each) => each.name() === name);
  if (command === undefined) return { kind: 'words', words: [] };
  const expecting = valueOption(command, given.at(-1) ?? '');
  if (expecting !== undefined) return valuesOf(expecting, current);
  if (current.startsWith('-')) return matching(current, optionsOf(command));
  return argumentOf(command, given.slice(1), current);
}

function argumentOf(command: Command, given: readonly string[], current: string): Completion {
  const words = given.filter((word, index) => !word.startsWith('-') && !valueOption(command, given[index - 1] ?? ''));
  // The verbs of kubectl have no arguments that commander knows of; of all others that take a Pod it is the first.
  const [argument] = command.registeredArguments;
  if (words.length > 0) return { kind: 'words', words: [] };
  const choices = argument?.argChoices;
  if (choices !== undefined) return matching(current, choices.map(plain));
  const takesPod = argument === undefined ? /\bPOD\b/.test(command.usage()) : argument.name().startsWith('pod');
  return takesPod ? { kind: 'pods', given: optionValues(command, given) } : { kind: 'words', words: [] };
}

/** By their long names; a verb of kubectl has kubectl's own connection flags. */
function optionValues(command: Command, given: readonly string[]): Readonly<Record<string, string>> {
  const long: Readonly<Record<string, string>> = { '-n': '--namespace' };
  return Object.fromEntries(
    given.flatMap((word, index) => {
      const [flag = '', inline] = word.split('=', 2);
      const name = valueOption(command, flag)?.long ?? long[flag] ?? flag;
      const value = inline ?? given[index + 1];
      return name.startsWith('--') && value !== undefined ? [[name, value]] : [];
    }),
  );
}

function valueOption(command: Command, word: string): Option | undefined {
  return command.options.find(({ short, long, required }) => required && (word === short || word === long));
}

function valuesOf(option: Option, current: string): Completion {
  if (option.argChoices !== undefined) return matching(current, option.argChoices.map(plain));
  return option.flags.includes('<file>') ? { kind: 'files' } : { kind: 'words', words: [] };
}

function plain(value: string): Candidate {
  return { value, description: '' };
}

function commandsOf(program: Command): readonly Candidate[] {
  const commands = program.createHelp().visibleCommands(program);
  return commands.map((command) => ({ value: command.name(), description: command.description() }));
}

function optionsOf(command: Command): readonly Candidate[] {
  const options = command.createHelp().visibleOptions(command);
  return options.map(({ long, short, description }) => ({ value: long ?? short ?? '', description }));
}

function matching(current: string, candidates: readonly Candidate[]): Completion {
  return { kind: 'words', words: candidates.filter(({ value }) => value.startsWith(current)) };
}

/** Cobra's protocol, which kubectl asks plugins in: a line each, then a directive. 4: no files, 0: files if there is nothing else. */
export function formatCompletion(words: readonly Candidate[], files: boolean): string {
  const lines = words.map(({ value, description }) => (description === '' ? value : `${value}\t${description}`));
  return [...lines, files ? ':0' : ':4', ''].join('\n');
}

/** Each asks the program itself, so that it fits whichever version is installed. */
export const completionScripts: Readonly<Record<Shell, string>> = {
  bash: `# bash completion of kubectl-podsplit: source <(kubectl podsplit completion bash)
_kubectl_podsplit() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    case $line in
      :4) compopt +o default 2>/dev/null ;;
      :*) ;;
      *) COMPREPLY+=("\${line%%$'\\t'*}") ;;
    esac
  done < <(kubectl-podsplit __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _kubectl_podsplit kubectl-podsplit
`,
  zsh: `#compdef kubectl-podsplit
# zsh completion of kubectl-podsplit: source <(kubectl podsplit completion zsh)
_kubectl_podsplit() {
  local line
  local -a candidates
  for line in "\${(@f)$(kubectl-podsplit __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    case $line in
      :0) _files ;;
      :*) ;;
      *$'\\t'*) candidates+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}") ;;
      *) candidates+=("\${line//:/\\\\:}") ;;
    esac
  done
  (( $#candidates )) && _describe 'kubectl podsplit' candidates
}
compdef _kubectl_podsplit kubectl-podsplit
`,
  fish: `# fish completion of kubectl-podsplit: kubectl podsplit completion fish | source
function __kubectl_podsplit
  set -l words (commandline -opc)
  set -l lines (kubectl-podsplit __complete $words[2..-1] (commandline -ct) 2>/dev/null)
  string match -v ':*' -- $lines
  contains -- :0 $lines; and __fish_complete_path (commandline -ct)
end
complete -c kubectl-podsplit -f -a '(__kubectl_podsplit)'
`,
};
