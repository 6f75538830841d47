import { Argument, Command } from 'commander';
import type { PodSplit } from '../api/resources.ts';
import { resources } from '../kube/resources.ts';
import {
  type Candidate,
  type Completion,
  complete,
  completionScripts,
  formatCompletion,
  type Shell,
  shells,
} from './completion.ts';
import type { Io } from './input.ts';
import { printable } from './table.ts';

const completionHelp = `
Behind "kubectl podsplit" it is kubectl that completes (kubectl completion --help). It asks the executable
kubectl_complete-podsplit, which is in bin/: let it be on PATH beside kubectl-podsplit. The scripts printed here are for who
types kubectl-podsplit.

Examples:
  # In ~/.bashrc, ~/.zshrc.
  source <(kubectl podsplit completion bash)

  # In ~/.config/fish/config.fish.
  kubectl podsplit completion fish | source
`;

export function completionCommand(program: Command, io: Io): Command {
  return new Command('completion')
    .copyInheritedSettings(program)
    .description('print a script that lets a shell complete commands, options and Pods')
    .addArgument(new Argument('<shell>', 'which shell').choices(shells))
    .addHelpText('after', completionHelp)
    .action((shell: Shell) => {
      io.stdout(completionScripts[shell]);
    });
}

/** What shells and kubectl call, and nobody types. */
export const completeVerb = '__complete';

/** A shell that waits for a cluster that does not answer cannot be typed in. */
const timeoutMs = 3000;

/** @param words behind `__complete`: the last one is at the cursor */
export async function runComplete(program: Command, words: readonly string[], io: Io): Promise<void> {
  const completion = complete(program, words);
  const found = completion.kind === 'pods' ? await podsOf(completion, words.at(-1) ?? '', io) : wordsOf(completion);
  io.stdout(formatCompletion(found, completion.kind === 'files'));
}

function wordsOf(completion: Completion) {
  return completion.kind === 'words' ? completion.words : [];
}

function podOf({ spec, status }: PodSplit): Candidate {
  return { value: printable(spec.pod.name), description: printable(status?.phase ?? '') };
}

/** As all commands that take a Pod take them, too. A Pod that nobody made is its own. */
function workloadsOf(podSplits: readonly PodSplit[]): readonly Candidate[] {
  const names = podSplits
    .filter(({ spec }) => spec.workload.kind !== 'Pod')
    .map(({ spec: { workload } }) => printable(`${workload.kind.toLowerCase()}/${workload.name}`));
  return [...new Set(names)].map((value) => ({ value, description: '' }));
}

/** Nobody reads an error here: where the cluster says nothing, there is nothing to choose from. */
async function podsOf({ given }: Completion & { readonly kind: 'pods' }, current: string, io: Io) {
  try {
    const { client, namespace: ofContext } = await io.connect({
      kubeconfig: given['--kubeconfig'],
      context: given['--context'],
      as: given['--as'],
    });
    try {
      const namespace = given['--namespace'] ?? ofContext;
      const { items } = await client.list(resources.podSplits, { namespace, timeoutMs, resourceVersion: '0' });
      return [...items.map(podOf), ...workloadsOf(items)].filter(({ value }) => value.startsWith(current));
    } finally {
      client.close();
    }
  } catch {
    return [];
  }
}
