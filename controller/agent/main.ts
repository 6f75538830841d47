import { runAgent } from './run-agent.ts';

// A program of its own, and not a command of podsplit's: it has 64 MiB, and the controller's bundle alone is a tenth of it.
// Exits although something may still listen: a start that failed halfway must not look like an agent that runs.
process.exit(await runAgent(process.env));
