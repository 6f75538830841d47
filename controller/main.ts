import { version } from './version.ts';

const usage = `podsplit ${version}

Usage:
  podsplit controller   answer admission and reconcile; one replica leads
  podsplit init         load the rules of a piece, then exit: its init container
  podsplit wait NAME    hold a primary until this native sidecar has started: an init container in its place
  podsplit rules        print what init would load for a wiring
  podsplit version

Users' commands are those of kubectl podsplit.
`;

/**
 * Exit codes: 0 well, 1 failed, 2 called wrongly. Commands are imported when they are called: every piece waits for `init`,
 * which needs nothing of the controller's.
 */
async function main(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args;
  switch (command) {
    case 'controller':
      return (await import('./run-controller.ts')).runController(process.env);
    case 'init':
      return (await import('./init/command.ts')).runInitCommand(rest, process.env);
    case 'wait':
      return (await import('./init/wait-command.ts')).runWaitCommand(rest, process.env);
    case 'rules':
      process.stdout.write(await printRules(rest));
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

async function printRules(args: readonly string[]): Promise<string> {
  const [{ rulesText }, { host }] = await Promise.all([import('./init/command.ts'), import('./netns/host.ts')]);
  return rulesText(args, host);
}

process.exitCode = await main(process.argv.slice(2));
