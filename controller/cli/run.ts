import { Command, CommanderError } from 'commander';
import { version } from '../version.ts';
import { auditCommand } from './audit-options.ts';
import { checkCommand } from './check-options.ts';
import { CliError } from './cli-error.ts';
import { flowsCommand, policyCommand, statusCommand } from './cluster-commands.ts';
import { completeVerb, completionCommand, runComplete } from './complete-command.ts';
import { runFlows } from './flows-command.ts';
import type { Io } from './input.ts';
import { behindCommand } from './leading-flags.ts';
import { installCommand, uninstallCommand, upgradeCommand } from './install-options.ts';
import { splitCommand } from './offline-commands.ts';
import { runOnPiece } from './piece-command.ts';
import { runPolicy } from './policy-command.ts';
import { runSplit } from './split-command.ts';
import { runStatus } from './status-command.ts';
import { topologyCommand } from './topology-options.ts';
import { verbCommands, verbOf } from './verb-commands.ts';

export const exitCodes = { ok: 0, refused: 1, usage: 2 } as const;

const examples = `
Examples:
  # What would the cluster run?
  kubectl podsplit split -f web.yaml --install node

  # Has the cluster what podsplit needs, and is podsplit well?
  kubectl podsplit check

  # How are the split Pods of this namespace, and what is to be done?
  kubectl podsplit status

  # Who may reach whom in a Pod that runs, and what was denied?
  kubectl podsplit flows web-6d4f9c7b5-x7k2p

  # The same as a picture: pieces, addresses, flows, what comes and goes outside.
  kubectl podsplit topology deployment/web -o html > web.html

  # Which container could do what to which other, and what would a split close?
  kubectl podsplit audit -f web.yaml

  # A shell in whichever piece runs the container cache.
  kubectl podsplit exec -it web-6d4f9c7b5-x7k2p -c cache -- sh

  # Onto a cluster.
  kubectl podsplit install --image registry.example/podsplit:0.1.0 | kubectl apply --server-side -f -

Each command's --help has more.
`;

/** Runs `kubectl podsplit ARGS` and returns its exit code. */
export async function run(given: readonly string[], io: Io): Promise<number> {
  const args = behindCommand(given);
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
  program.addCommand(
    checkCommand(program, async (command) => {
      const { runCheck } = await import('./check-command.ts');
      exitCode = await runCheck(command, io);
    }),
  );
  program.addCommand(
    statusCommand(program, async (command) => {
      exitCode = await runStatus(command, io);
    }),
  );
  program.addCommand(flowsCommand(program, (command) => runFlows(command, io)));
  program.addCommand(
    policyCommand(program, async (command) => {
      exitCode = await runPolicy(command, io);
    }),
  );
  program.addCommand(
    topologyCommand(program, async (command) => {
      const { runTopology } = await import('./topology-command.ts');
      await runTopology(command, io);
    }),
  );
  program.addCommand(
    auditCommand(program, async (command) => {
      // Its pages are much of the program, and most calls are for something else.
      const { runAudit } = await import('./audit-command.ts');
      exitCode = await runAudit(command, io);
    }),
  );
  for (const command of verbCommands(program)) program.addCommand(command);
  // What they print is as much as the rest of the program.
  program.addCommand(
    installCommand(program, async (command) => {
      const { runInstall } = await import('./install-command.ts');
      await runInstall(command, io);
    }),
  );
  program.addCommand(
    upgradeCommand(program, async (command) => {
      const { runUpgrade } = await import('./upgrade-command.ts');
      await runUpgrade(command, io);
    }),
  );
  program.addCommand(
    uninstallCommand(program, async (command) => {
      const { runUninstall } = await import('./uninstall-command.ts');
      exitCode = await runUninstall(command, io);
    }),
  );
  program.addCommand(completionCommand(program, io));
  program
    .command('version')
    .description('print the version')
    .action(() => {
      io.stdout(`${version}\n`);
    });

  try {
    if (args[0] === completeVerb) {
      await runComplete(program, args.slice(1), io);
      return exitCodes.ok;
    }
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
