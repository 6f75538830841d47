import { Command, Option } from 'commander';
import type { CheckCommand } from './check-command.ts';
import { type ConnectionOptionValues, withConnection } from './cluster-commands.ts';

const checkExamples = `
Examples:
  # Before podsplit is installed: has the cluster what it needs?
  kubectl podsplit check

  # After it: is all of it there and well? With the reason of each check.
  kubectl podsplit check -o wide

  # For scripts: what has to be mended, and how?
  kubectl podsplit check -o json | jq -r '.checks[] | select(.level == "problem") | .what, .mend'

Each line is ok, a warning, a problem, or unknown: what cannot be seen from the API, or may not be seen by you, is said to be
unknown and fails nothing. It reads, and changes nothing. A cluster administrator sees all; the Secret of the webhook's
certificate is read for when it ends, and none of its keys is looked at.
Exit code: 0 if there is no problem, 1 if there is one, 2 if nobody answered.
`;

export function checkCommand(program: Command, action: (command: CheckCommand) => Promise<void>): Command {
  return withConnection(
    new Command('check')
      .copyInheritedSettings(program)
      .description('print whether the cluster has what podsplit needs, whether podsplit is well, and how to mend it')
      .addOption(
        new Option('-o, --output <format>', 'format of the output')
          .choices(['table', 'wide', 'json', 'yaml'])
          .default('table'),
      ),
  )
    .addHelpText('after', checkExamples)
    .action(async (options: CheckOptionValues) => {
      const { output, kubeconfig, context, as } = options;
      await action({ output, kubeconfig, context, as });
    });
}

/** As commander gives them. */
interface CheckOptionValues extends ConnectionOptionValues {
  readonly output: CheckCommand['output'];
}
