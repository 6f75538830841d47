import { runController } from './run-controller.ts';
import { rulesText, runInitCommand } from './init/command.ts';
import { host } from './init/host.ts';
import { version } from './version.ts';

const usage = `podsplit ${version}

Usage:
  podsplit controller   answer admission and reconcile; one replica leads
  podsplit init         load the rules of a piece, then exit: its init container
  podsplit rules        print what init would load for a wiring
  podsplit version

Users' commands are those of kubectl podsplit.
`;

/** Exit codes: 0 well, 1 failed, 2 called wrongly. */
async function main(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args;
  switch (command) {
    case 'controller':
      return runController(process.env);
    case 'init':
      return runInitCommand(rest, process.env);
    case 'rules':
      process.stdout.write(await rulesText(rest, host));
      return 0;
    case 'version':
      process.stdout.write(`${version}\n`);
      return 0;
    case 'help':
    case '--help':
      process.stdout.write(usage);
      return 0;
    default:
      process.stderr.write(command === undefined ? usage : `podsplit: no command ${command}\n\n${usage}`);
      return 2;
  }
}

process.exitCode = await main(process.argv.slice(2));
