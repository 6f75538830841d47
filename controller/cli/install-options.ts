import { Command, Option } from 'commander';
import type { ValueFlags } from './chosen-values.ts';
import { type ConnectionOptionValues, withConnection } from './cluster-commands.ts';
import type { InstallCommand } from './install-command.ts';
import type { UninstallCommand } from './uninstall-command.ts';
import type { UpgradeCommand } from './upgrade-command.ts';

const installExamples = `
Examples:
  # Onto the cluster of the current context.
  kubectl podsplit install --image registry.example/podsplit:0.1.0 | kubectl apply --server-side -f -

  # With three replicas, metrics for the Prometheus Operator and a dashboard.
  kubectl podsplit install --image registry.example/podsplit:0.1.0 --replicas 3 --service-monitor --dashboard > podsplit.yaml

  # With all that the Helm chart's values.yaml can say.
  kubectl podsplit install --values values.yaml | kubectl diff --server-side -f -

It asks no cluster and fetches nothing. Needed there are Kubernetes 1.31 or newer, and Multus with the CNI plugins bridge, static
and tuning on each node. Where an option is on, its objects are printed too: a ServiceMonitor needs the CRDs of the Prometheus
Operator. What is printed last is a record of what was chosen, for kubectl podsplit upgrade.
Exit code: 0, or 2 if a flag or a file could not be read or does not fit.
`;

const upgradeExamples = `
Examples:
  # What would change?
  kubectl podsplit upgrade --image registry.example/podsplit:0.2.0 | kubectl diff --server-side -f -

  # Apply it.
  kubectl podsplit upgrade --image registry.example/podsplit:0.2.0 | kubectl apply --server-side -f -

It prints the manifests of this version of kubectl podsplit with the values that were chosen at the install, and those of the
flags instead where they are given. What to know about the way from the cluster's version to this one goes to stderr.
Exit code: 0, or 2 if podsplit is not there, was installed by Helm, or nobody answered.
`;

const uninstallExamples = `
Examples:
  # Again and again, each time what may go now; stderr says what to do in between.
  kubectl podsplit uninstall | kubectl delete --ignore-not-found -f -

  # All of it in that order, for a cluster without split Pods. No cluster is asked.
  kubectl podsplit uninstall --all

First the webhook goes, so that no new Pod is split; then split Pods are made whole, by rollouts of their workloads, while the
controller cleans up behind them; then the agents go, and each takes the plugin off its node; then all the rest.
Exit code: 0 if with what is printed nothing is left, 1 if there is more to do, 2 if nobody answered.
`;

const valueHelp = 'values of the Helm chart, in YAML; - for stdin; may be repeated, the later wins';

function withValues(command: Command): Command {
  return command
    .option('--image <image>', 'image of controller, agent and init container: a reference with its tag or digest')
    .option('-f, --values <file>', valueHelp, (file: string, before: readonly string[] | undefined) => [
      ...(before ?? []),
      file,
    ])
    .option('--replicas <number>', 'replicas of the controller')
    .option('--log-level <level>', 'of controller and agent: trace, debug, info, warn, error, fatal, silent')
    .option(
      '--network-policy',
      'a NetworkPolicy for the controller: its metrics are closed, but to whom --values names',
      false,
    )
    .option('--service-monitor', 'ServiceMonitors for the Prometheus Operator', false)
    .option('--dashboard', "a dashboard in a ConfigMap, for Grafana's sidecar", false)
    .addOption(new Option('-o, --output <format>', 'format of the output').choices(['yaml', 'json']).default('yaml'));
}

/** As commander gives them. */
interface ValueOptionValues {
  readonly image?: string;
  readonly values?: readonly string[];
  readonly replicas?: string;
  readonly logLevel?: string;
  readonly networkPolicy: boolean;
  readonly serviceMonitor: boolean;
  readonly dashboard: boolean;
  readonly output: 'yaml' | 'json';
}

function valueFlags(options: ValueOptionValues): ValueFlags {
  const { values = [], image, replicas, logLevel, networkPolicy, serviceMonitor, dashboard } = options;
  return { valueFiles: values, image, replicas, logLevel, networkPolicy, serviceMonitor, dashboard };
}

export function installCommand(program: Command, action: (command: InstallCommand) => Promise<void>): Command {
  return withValues(
    new Command('install')
      .copyInheritedSettings(program)
      .description('print the manifests of podsplit, for kubectl apply --server-side -f -'),
  )
    .addHelpText('after', installExamples)
    .action(async (options: ValueOptionValues) => {
      await action({ ...valueFlags(options), output: options.output });
    });
}

export function upgradeCommand(program: Command, action: (command: UpgradeCommand) => Promise<void>): Command {
  return withConnection(
    withValues(
      new Command('upgrade')
        .copyInheritedSettings(program)
        .description(
          "print the manifests of this version with the cluster's choices; what to know about the way goes to stderr",
        ),
    ),
  )
    .addHelpText('after', upgradeExamples)
    .action(async (options: ValueOptionValues & ConnectionOptionValues) => {
      const { output, kubeconfig, context, as } = options;
      await action({ ...valueFlags(options), output, kubeconfig, context, as });
    });
}

export function uninstallCommand(program: Command, action: (command: UninstallCommand) => Promise<void>): Command {
  return withConnection(
    new Command('uninstall')
      .copyInheritedSettings(program)
      .description('print what may be deleted now; how split Pods are made whole first goes to stderr')
      .option('--all', 'print all objects in the order of their deletion, and ask no cluster', false)
      .addOption(new Option('-o, --output <format>', 'format of the output').choices(['yaml', 'json']).default('yaml')),
  )
    .addHelpText('after', uninstallExamples)
    .action(async (options: UninstallOptionValues) => {
      const { all, output, kubeconfig, context, as } = options;
      await action({ all, output, kubeconfig, context, as });
    });
}

interface UninstallOptionValues extends ConnectionOptionValues {
  readonly all: boolean;
  readonly output: 'yaml' | 'json';
}
