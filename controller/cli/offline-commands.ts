import { Command, InvalidArgumentError, Option } from 'commander';
import type { Mode } from '../api/annotations.ts';
import { formatGuards, readGuards } from '../api/guards.ts';
import { installModes, type InstallMode } from '../api/install.ts';
import { version } from '../version.ts';
import type { SplitCommand } from './split-command.ts';

const splitExamples = `
Examples:
  # What would a cluster with podsplit run?
  kubectl podsplit split -f web.yaml --install node

  # Why does each piece look as it does?
  kubectl podsplit split -f web.yaml --install node --explain >/dev/null

  # Try it on a workload that runs, without annotating it.
  kubectl get deployment web -o yaml | kubectl podsplit split -f - --mode split --install node

  # Run one split replica on a cluster that has Multus and no podsplit: without the agent of the node.
  kubectl podsplit split -f web.yaml --image registry.example/podsplit:1 | kubectl apply -f -

Exit code: 0, 1 if a workload was refused, 2 if the command or its input could not be read.
`;

export function splitCommand(program: Command, action: (command: SplitCommand) => Promise<void>): Command {
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
    .option('--guards <list>', "guards of workloads that say none, as their namespace's label would", guardsOf)
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
        guards: options.guards,
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
  readonly guards?: string;
  readonly image: string;
  readonly networkFile?: string;
  readonly install: InstallMode;
  readonly multiNetworkPolicy: boolean;
  readonly clusterDns: string;
}

function guardsOf(text: string): string {
  const read = readGuards(text);
  if ('guards' in read) return formatGuards(read.guards);
  throw new InvalidArgumentError(read.problems.map(({ message, action }) => `${message} ${action}`).join(' '));
}

function collect(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value];
}
