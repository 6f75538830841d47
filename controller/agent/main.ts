import { runAgent } from './run-agent.ts';

// A program of its own, and not a command of podsplit's: it has 64 MiB, and the controller's bundle alone is a tenth of it.
process.exitCode = await runAgent(process.env);
