import { Command, Option } from 'commander';
import { type PodsOptionValues, withConnection, withPods } from './cluster-commands.ts';
import type { TopologyCommand } from './topology-command.ts';

const topologyExamples = `
Examples:
  # Which pieces has this Pod, and who may reach whom?
  kubectl podsplit topology web-6d4f9c7b5-x7k2p

  # All Pods of a workload, as a page that needs nothing else.
  kubectl podsplit topology deployment/web -n shop -o html > web.html

  # For a README or a slide: light and dark, with words for who does not see it.
  kubectl podsplit topology web-0 -o svg > web.svg

  # For a page in Markdown, in a block of the language mermaid.
  kubectl podsplit topology web-0 -o mermaid

POD is the Pod of the workload, or of any of its pieces. Drawn is what podsplit enforces: flows, podsplit.io/egress-via and
ingress-via, ContainerNetworkPolicies. Of outside, NetworkPolicies may close more. It needs to read Pods and PodSplits; the
role view has both, and ContainerNetworkPolicies.
Exit code: 0, or 2 if there is nothing to draw, or nobody answered.
`;

export function topologyCommand(program: Command, action: (command: TopologyCommand) => Promise<void>): Command {
  return withConnection(
    withPods(
      new Command('topology')
        .copyInheritedSettings(program)
        .description(
          'draw the pieces of split Pods: nodes, addresses, who may reach whom, what comes and goes outside',
        ),
    ).addOption(
      new Option('-o, --output <format>', 'format of the output')
        .choices(['text', 'svg', 'mermaid', 'html'])
        .default('text'),
    ),
  )
    .addHelpText('after', topologyExamples)
    .action(async (target: string | undefined, options: TopologyOptionValues) => {
      const { output, namespace, allNamespaces, selector, kubeconfig, context, as } = options;
      await action({ target, output, namespace, allNamespaces, selector, kubeconfig, context, as });
    });
}

/** As commander gives them. */
interface TopologyOptionValues extends PodsOptionValues {
  readonly output: TopologyCommand['output'];
}
