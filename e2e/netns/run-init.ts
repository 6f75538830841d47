import { runInitCommand } from '../../controller/init/command.ts';

/** `podsplit init` without the rest of the program, which takes longer to import. */
process.exitCode = await runInitCommand(process.argv.slice(2), process.env);
