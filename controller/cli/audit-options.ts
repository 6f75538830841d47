import { Command, Option } from 'commander';
import { severities, type Severity } from '../audit/finding.ts';
import type { AuditCommand } from './audit-command.ts';
import { type PodsOptionValues, withConnection } from './cluster-commands.ts';

const auditExamples = `
Examples:
  # Which workloads of this namespace have containers that could do something to others?
  kubectl podsplit audit

  # All of it, of all namespaces, as a page that needs nothing else.
  kubectl podsplit audit -A -o html > audit.html

  # Before anything is applied: what could the containers of these manifests do, and what would a split change?
  kubectl podsplit audit -f web.yaml -o wide

  # For code scanning; a finding of severity high or worse fails the job.
  kubectl podsplit audit -f deploy/ingress.yaml -f deploy/web.yaml -o sarif --fail-on high > podsplit.sarif

  # What would a split close?
  kubectl podsplit audit -o json | jq '.workloads[] | {id, closes: .split.effects.closed, refused: [.split.refusals[].code], unbounded}'

  # Before a namespace is labelled: what of its workloads would be refused?
  kubectl podsplit audit -n shop -o wide
  kubectl label namespace shop podsplit.io/mode=split

Pods of one workload that are alike are one row. Of a cluster it needs to read Pods; NetworkPolicies, PersistentVolumeClaims,
Jobs, the labels of namespaces and SplitNetworks make it more exact: the role view has all but the last. Nothing is sent anywhere or changed.
Exit code: 0, 1 if --fail-on is given and such a finding is open, 2 if the command or its input could not be read, or nobody
answered.
`;

export function auditCommand(program: Command, action: (command: AuditCommand) => Promise<void>): Command {
  return withConnection(
    new Command('audit')
      .copyInheritedSettings(program)
      .description(
        'print which container could do what to which other, and what each mode would close, by the threat matrix',
      )
      .option('-f, --filename <file>', 'manifest to read instead of a cluster, - for stdin; may be repeated', collect)
      .option(
        '-n, --namespace <name>',
        "namespace of the Pods; default: the context's. With -f that of objects that name none",
      )
      .option('-A, --all-namespaces', 'Pods of all namespaces', false)
      .option('-l, --selector <query>', 'Pods whose own labels match, as for kubectl: -l app=web,tier!=test')
      .addOption(
        new Option('-o, --output <format>', 'format of the output')
          .choices(['table', 'wide', 'json', 'yaml', 'sarif', 'html'])
          .default('table'),
      )
      .addOption(
        new Option('--fail-on <severity>', 'exit with 1 if a finding of this severity or a worse one is open').choices(
          severities,
        ),
      ),
  )
    .addHelpText('after', auditExamples)
    .action(async (options: AuditOptionValues) => {
      const { filename = [], output, namespace, allNamespaces, selector, failOn, kubeconfig, context, as } = options;
      await action({ files: filename, output, namespace, allNamespaces, selector, failOn, kubeconfig, context, as });
    });
}

/** As commander gives them. */
interface AuditOptionValues extends PodsOptionValues {
  readonly filename?: readonly string[];
  readonly output: AuditCommand['output'];
  readonly failOn?: Severity;
}

function collect(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value];
}
