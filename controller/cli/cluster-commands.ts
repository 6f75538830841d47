import { Command, Option } from 'commander';
import type { FlowsCommand } from './flows-command.ts';
import type { PolicyCommand } from './policy-command.ts';
import type { StatusCommand } from './status-command.ts';

const flowsExamples = `
Examples:
  # Who may reach whom in this Pod, and what was denied?
  kubectl podsplit flows web-6d4f9c7b5-x7k2p

  # With the piece whose rules dropped it, and the time.
  kubectl podsplit flows web-6d4f9c7b5-x7k2p -n shop -o wide

  # Of a Pod of this workload, whichever.
  kubectl podsplit flows deployment/web -n shop

  # Of a Pod with podsplit.io/flows=observe: the policy that allows what was seen, and nothing else.
  kubectl podsplit flows web-6d4f9c7b5-x7k2p -o policy

  # For scripts: what did the container sidecar try?
  kubectl podsplit flows web-0 -o json | jq '.denied[] | select(.from == "sidecar")'

POD is the Pod of the workload, or of any of its pieces; of a TYPE/NAME it is one that is ready, if there is one. It needs to
read Pods and PodSplits, and to say what decides ContainerNetworkPolicies: the role view has all of them.
Exit code: 0, or 2 if there was nothing to tell of.
`;

const policyExamples = `
Examples:
  # Which policies are about which containers of this Pod, and what do they leave open?
  kubectl podsplit policy web-6d4f9c7b5-x7k2p -n shop

  # May web call cache, and which rule says so?
  kubectl podsplit policy deployment/web --from web --to cache:6379

  # May the exporter be called by a Pod of another namespace, or call out?
  kubectl podsplit policy web-0 --from monitoring/prometheus-0 --to exporter:9113
  kubectl podsplit policy web-0 --from exporter --to 192.0.2.7:443 -o json

POD is the Pod of the workload, or of any of its pieces; of a TYPE/NAME it is one that is ready, if there is one. Of other
Pods' own policies nothing is said: ask of them too.
Exit code: 0, 1 if what was asked is denied, 2 if the question could not be answered.
`;

const statusExamples = `
Examples:
  # How are the split Pods of this namespace, and what is to be done?
  kubectl podsplit status

  # One Pod with its pieces and flows, or all Pods of a workload.
  kubectl podsplit status web-6d4f9c7b5-x7k2p
  kubectl podsplit status deployment/web -n shop --watch

  # For scripts: what is wrong anywhere?
  kubectl podsplit status -A -o json | jq '.pods[].problems[] | select(.chosen | not)'

POD is the Pod of the workload, or of any of its pieces. Of several Pods each has a line; those where something is wrong, those
of a workload that is named, and with -o wide all have their pieces too. It needs to read Pods and PodSplits: the role view has
both.
Exit code: 0 if all is well, 1 if a Pod is not ready or something stands under "What is wrong", 2 if what was named is not
there, or nobody answered. Pods that have completed or are being deleted are well. To observe (podsplit.io/flows=observe) is your
choice: the summary counts who is observing, and the exit code does not.
`;

/** As commander gives them. */
export interface ConnectionOptionValues {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly as?: string;
}

/** As commander gives them. */
export interface PodsOptionValues extends ConnectionOptionValues {
  readonly namespace?: string;
  readonly allNamespaces: boolean;
  readonly selector?: string;
}

/** Which cluster, and as whom: as kubectl is told. */
export function withConnection(command: Command): Command {
  return command
    .option('--kubeconfig <file>', 'as for kubectl')
    .option('--context <name>', 'of the kubeconfig')
    .option('--as <user>', 'user to impersonate');
}

/** Which Pods: one, those of a workload, or as kubectl selects them. */
export function withPods(command: Command): Command {
  return command
    .argument('[pod|type/name]', "the workload's Pod, that of any piece, or a workload; default: all of the namespace")
    .option('-n, --namespace <name>', "namespace of the Pods; default: the context's")
    .option('-A, --all-namespaces', 'Pods of all namespaces', false)
    .option('-l, --selector <query>', 'Pods whose own labels match, as for kubectl: -l app=web,tier!=test');
}

export function statusCommand(program: Command, action: (command: StatusCommand) => Promise<void>): Command {
  return withConnection(
    withPods(
      new Command('status')
        .copyInheritedSettings(program)
        .description('print how split Pods and their pieces are, what is wrong, and what to do next'),
    )
      .addOption(
        new Option('-o, --output <format>', 'format of the output')
          .choices(['table', 'wide', 'json', 'yaml'])
          .default('table'),
      )
      .option('-w, --watch', 'print it again whenever something has changed', false),
  )
    .addHelpText('after', statusExamples)
    .action(async (target: string | undefined, options: StatusOptionValues) => {
      const { output, namespace, allNamespaces, selector, watch, kubeconfig, context, as } = options;
      await action({ target, output, namespace, allNamespaces, selector, watch, kubeconfig, context, as });
    });
}

/** As commander gives them. */
interface StatusOptionValues extends PodsOptionValues {
  readonly output: StatusCommand['output'];
  readonly watch: boolean;
}

export function flowsCommand(program: Command, action: (command: FlowsCommand) => Promise<void>): Command {
  return withConnection(
    new Command('flows')
      .copyInheritedSettings(program)
      .description('print what may pass between the pieces of a Pod that runs, and what was denied, newest first')
      .argument('<pod|type/name>', "the workload's Pod, that of any piece, or a workload")
      .option('-n, --namespace <name>', "namespace of the Pod; default: the context's")
      .addOption(
        new Option('-o, --output <format>', 'format of the output')
          .choices(['table', 'wide', 'json', 'yaml', 'policy'])
          .default('table'),
      ),
  )
    .addHelpText('after', flowsExamples)
    .action(async (target: string, options: FlowsOptionValues) => {
      const { output, namespace, kubeconfig, context, as } = options;
      await action({ target, output, namespace, kubeconfig, context, as });
    });
}

export function policyCommand(program: Command, action: (command: PolicyCommand) => Promise<void>): Command {
  return withConnection(
    new Command('policy')
      .copyInheritedSettings(program)
      .description('print what ContainerNetworkPolicies make of a Pod, or which rule decides about one connection')
      .argument('<pod|type/name>', "the workload's Pod, that of any piece, or a workload")
      .option('--from <who>', 'a container of the Pod, an address, NAMESPACE/POD or NAMESPACE/POD/CONTAINER')
      .option('--to <whom>', 'the same with a port: cache:6379, 10.0.0.7:53/udp, [fd00::7]:443')
      .option('-n, --namespace <name>', "namespace of the Pod; default: the context's")
      .addOption(
        new Option('-o, --output <format>', 'format of the output').choices(['table', 'json', 'yaml']).default('table'),
      ),
  )
    .addHelpText('after', policyExamples)
    .action(async (target: string, options: PolicyOptionValues) => {
      const { from, to, output, namespace, kubeconfig, context, as } = options;
      await action({ target, from, to, output, namespace, kubeconfig, context, as });
    });
}

/** As commander gives them. */
interface PolicyOptionValues extends ConnectionOptionValues {
  readonly output: PolicyCommand['output'];
  readonly from?: string;
  readonly to?: string;
  readonly namespace?: string;
}

/** As commander gives them. */
interface FlowsOptionValues extends ConnectionOptionValues {
  readonly output: FlowsCommand['output'];
  readonly namespace?: string;
}
