import { Command } from 'commander';
import { type Verb, verbs } from './kubectl-flags.ts';

interface VerbHelp {
  readonly usage: string;
  readonly description: string;
  readonly examples: string;
}

const help: Readonly<Record<Verb, VerbHelp>> = {
  logs: {
    usage: 'POD|TYPE/NAME [-c CONTAINER] [flags of kubectl logs]',
    description: "print a container's logs, from whichever piece runs it",
    examples: `
  # Of one container, as before the split.
  kubectl podsplit logs web-6d4f9c7b5-x7k2p -c cache -f

  # Of all containers of the Pod, and which line is whose.
  kubectl podsplit logs deployment/web --all-containers --prefix`,
  },
  exec: {
    usage: 'POD|TYPE/NAME [-c CONTAINER] [flags of kubectl exec] -- COMMAND',
    description: 'run a command in a container, in whichever piece it is',
    examples: `
  # A shell beside the cache.
  kubectl podsplit exec -it web-6d4f9c7b5-x7k2p -c cache -- sh

  # Can web call the cache, as before the split?
  kubectl podsplit exec web-0 -c web -n shop -- curl -s http://127.0.0.1:6379`,
  },
  debug: {
    usage: 'POD|TYPE/NAME [-c CONTAINER] [flags of kubectl debug] [-- COMMAND]',
    description: 'add an ephemeral container to the piece that runs a container: it joins that network namespace alone',
    examples: `
  # In the network and beside the processes of the container cache.
  kubectl podsplit debug -it web-6d4f9c7b5-x7k2p -c cache --image=debian:12 --profile=restricted

-c names the container to debug; the new one is named by kubectl.`,
  },
};

const exitCode = `
POD is the Pod of the workload, or of any of its pieces. All else is said by: kubectl VERB --help
Exit code: kubectl's, or 2 if no piece has the container.
`;

/** For `--help` alone: their flags are kubectl's, which commander does not know. See `runOnPiece`. */
export function verbCommands(program: Command): readonly Command[] {
  return verbs.map((verb) =>
    new Command(verb)
      .copyInheritedSettings(program)
      .usage(help[verb].usage)
      .description(help[verb].description)
      .addHelpText('after', `\nExamples:${help[verb].examples}\n${exitCode.replace('VERB', verb)}`),
  );
}

/** The verb whose flags follow, unless its help is wanted. */
export function verbOf(args: readonly string[]): Verb | undefined {
  const end = args.indexOf('--');
  const own = end === -1 ? args : args.slice(0, end);
  return own.includes('--help') || own.includes('-h') ? undefined : verbs.find((verb) => verb === args[0]);
}
