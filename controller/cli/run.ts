import { Command, CommanderError, Option } from 'commander';
import { installModes, type InstallMode } from '../api/install.ts';
import type { Mode } from '../api/annotations.ts';
import { version } from '../version.ts';
import { CliError } from './cli-error.ts';
import { type FlowsCommand, runFlows } from './flows-command.ts';
import type { Io } from './input.ts';
import { runOnPiece } from './piece-command.ts';
import { type PolicyCommand, runPolicy } from './policy-command.ts';
import { runSplit, type SplitCommand } from './split-command.ts';
import { verbCommands, verbOf } from './verb-commands.ts';

export const exitCodes = { ok: 0, refused: 1, usage: 2 } as const;

const splitExamples = `
Examples:
  # What would the cluster run?
  kubectl podsplit split -f web.yaml

  # Why does each piece look as it does?
  kubectl podsplit split -f web.yaml --explain >/dev/null

  # Try it on a workload that runs, without annotating it.
  kubectl get deployment web -o yaml | kubectl podsplit split -f - --mode split

  # Run one split replica on a cluster that has Multus and no podsplit.
  kubectl podsplit split -f web.yaml --image registry.example/podsplit:1 | kubectl apply -f -

Exit code: 0, 1 if a workload was refused, 2 if the command or its input could not be read.
`;

const flowsExamples = `
Examples:
  # Who may reach whom in this Pod, and what was denied?
  kubectl podsplit flows web-6d4f9c7b5-x7k2p

  # With the piece whose rules dropped it, and the time.
  kubectl podsplit flows web-6d4f9c7b5-x7k2p -n shop -o wide

  # Of a Pod with podsplit.io/flows=observe: the policy that allows what was seen, and nothing else.
  kubectl podsplit flows web-6d4f9c7b5-x7k2p -o policy

  # For scripts: what did the container sidecar try?
  kubectl podsplit flows web-0 -o json | jq '.denied[] | select(.from == "sidecar")'

POD is the Pod of the workload, or of any of its pieces. It needs to read Pods and PodSplits: the role view has both.
Exit code: 0, or 2 if there was nothing to tell of.
`;

const policyExamples = `
Examples:
  # Which policies are about which containers of this Pod, and what do they leave open?
  kubectl podsplit policy web-6d4f9c7b5-x7k2p -n shop

  # May web call cache, and which rule says so?
  kubectl podsplit policy web-0 --from web --to cache:6379

  # May the exporter be called by a Pod of another namespace, or call out?
  kubectl podsplit policy web-0 --from monitoring/prometheus-0 --to exporter:9113
  kubectl podsplit policy web-0 --from exporter --to 192.0.2.7:443 -o json

POD is the Pod of the workload, or of any of its pieces. Of other Pods' own policies nothing is said: ask of them too.
Exit code: 0, 1 if what was asked is denied, 2 if the question could not be answered.
`;

const examples = `
Examples:
  # What would the cluster run?
  kubectl podsplit split -f web.yaml

  # Who may reach whom in a Pod that runs, and what was denied?
  kubectl podsplit flows web-6d4f9c7b5-x7k2p

  # A shell in whichever piece runs the container cache.
  kubectl podsplit exec -it web-6d4f9c7b5-x7k2p -c cache -- sh

Each command's --help has more.
`;

/** Runs `kubectl podsplit ARGS` and returns its exit code. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  let exitCode: number = exitCodes.ok;
  const program = new Command('kubectl-podsplit')
    .usage('[command]')
    .description('One Pod, network namespace and policy per container.')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => {
        io.stdout(text);
      },
      writeErr: (text) => {
        io.stderr(text);
      },
    })
    .showHelpAfterError('Run it with --help for examples.')
    .addHelpText('after', examples);
  program.addCommand(
    splitCommand(program, async (command) => {
      exitCode = await runSplit(command, io);
    }),
  );
  program.addCommand(flowsCommand(program, (command) => runFlows(command, io)));
  program.addCommand(
    policyCommand(program, async (command) => {
      exitCode = await runPolicy(command, io);
    }),
  );
  for (const command of verbCommands(program)) program.addCommand(command);
  program
    .command('version')
    .description('print the version')
    .action(() => {
      io.stdout(`${version}\n`);
    });

  try {
    const verb = verbOf(args);
    if (verb !== undefined) return await runOnPiece(verb, args.slice(1), io);
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    if (!(error instanceof CliError)) throw error;
    io.stderr(`error: ${error.message}\n`);
    return exitCodes.usage;
  }
}

function splitCommand(program: Command, action: (command: SplitCommand) => Promise<void>): Command {
  return new Command('split')
    .copyInheritedSettings(program)
    .description(
      'print what the cluster would run for one replica of each annotated workload; the report goes to stderr',
    )
    .requiredOption('-f, --filename <file>', 'manifest to read, - for stdin; may be repeated', collect)
    .addOption(new Option('-o, --output <format>', 'format of the output').choices(['yaml', 'json']).default('yaml'))
    .option('-n, --namespace <name>', 'namespace of objects that name none')
    .option('--explain', 'say why each piece looks as it does', false)
    .addOption(
      new Option('--mode <mode>', 'the mode of workloads that have no annotation').choices(['split', 'isolate']),
    )
    .addOption(
      new Option(
        '--install <mode>',
        'who loads the rules, where neither podsplit.io/install nor the SplitNetwork says: an init container in each Pod, which ' +
          'needs nothing but Multus on the cluster, or the agent of the node, which needs podsplit there',
      )
        .choices(installModes)
        .default('init'),
    )
    .option('--image <image>', 'image of the init container', `podsplit.local/podsplit:${version}`)
    .option('--network-file <file>', 'SplitNetwork that addresses are taken from')
    .option('--multi-network-policy', 'print MultiNetworkPolicies too; their CRD must be installed', false)
    .option('--cluster-dns <addresses>', "of the cluster's DNS, for podsplit.io/egress-dns=cluster", '')
    .addHelpText('after', splitExamples)
    .action(async (options: SplitOptionValues) => {
      await action({
        files: options.filename,
        output: options.output,
        explain: options.explain,
        image: options.image,
        namespace: options.namespace,
        networkFile: options.networkFile,
        install: options.install,
        mode: options.mode,
        multiNetworkPolicies: options.multiNetworkPolicy,
        clusterDns: options.clusterDns.split(',').filter((address) => address !== ''),
      });
    });
}

/** As commander gives them: the options above, in camel case. */
interface SplitOptionValues {
  readonly filename: readonly string[];
  readonly output: 'yaml' | 'json';
  readonly namespace?: string;
  readonly explain: boolean;
  readonly mode?: Mode;
  readonly image: string;
  readonly networkFile?: string;
  readonly install: InstallMode;
  readonly multiNetworkPolicy: boolean;
  readonly clusterDns: string;
}

function collect(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value];
}

function flowsCommand(program: Command, action: (command: FlowsCommand) => Promise<void>): Command {
  return new Command('flows')
    .copyInheritedSettings(program)
    .description('print what may pass between the pieces of a Pod that runs, and what was denied, newest first')
    .argument('<pod>', "the workload's Pod, or that of any piece")
    .option('-n, --namespace <name>', "namespace of the Pod; default: the context's")
    .addOption(
      new Option('-o, --output <format>', 'format of the output')
        .choices(['table', 'wide', 'json', 'yaml', 'policy'])
        .default('table'),
    )
    .option('--kubeconfig <file>', 'as for kubectl')
    .option('--context <name>', 'of the kubeconfig')
    .option('--as <user>', 'user to impersonate')
    .addHelpText('after', flowsExamples)
    .action(async (pod: string, options: FlowsOptionValues) => {
      const { output, namespace, kubeconfig, context, as } = options;
      await action({ pod, output, namespace, kubeconfig, context, as });
    });
}

function policyCommand(program: Command, action: (command: PolicyCommand) => Promise<void>): Command {
  return new Command('policy')
    .copyInheritedSettings(program)
    .description('print what ContainerNetworkPolicies make of a Pod, or which rule decides about one connection')
    .argument('<pod>', "the workload's Pod, or that of any piece")
    .option('--from <who>', 'a container of the Pod, an address, NAMESPACE/POD or NAMESPACE/POD/CONTAINER')
    .option('--to <whom>', 'the same with a port: cache:6379, 10.0.0.7:53/udp, [fd00::7]:443')
    .option('-n, --namespace <name>', "namespace of the Pod; default: the context's")
    .addOption(
      new Option('-o, --output <format>', 'format of the output').choices(['table', 'json', 'yaml']).default('table'),
    )
    .option('--kubeconfig <file>', 'as for kubectl')
    .option('--context <name>', 'of the kubeconfig')
    .option('--as <user>', 'user to impersonate')
    .addHelpText('after', policyExamples)
    .action(async (pod: string, options: PolicyOptionValues) => {
      const { from, to, output, namespace, kubeconfig, context, as } = options;
      await action({ pod, from, to, output, namespace, kubeconfig, context, as });
    });
}

/** As commander gives them. */
interface PolicyOptionValues extends Omit<FlowsOptionValues, 'output'> {
  readonly output: PolicyCommand['output'];
  readonly from?: string;
  readonly to?: string;
}

/** As commander gives them. */
interface FlowsOptionValues {
  readonly output: FlowsCommand['output'];
  readonly namespace?: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly as?: string;
}
