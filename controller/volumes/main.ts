import { runVolumes } from './run-volumes.ts';

// A program of its own, because its container has more rights on the node than the agent's.
process.exit(await runVolumes(process.env));
