import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';
import pc from 'picocolors';
import { readKubectl, runKubectl } from './kubectl.ts';
import { run } from './run.ts';

// `… | head` closes the pipe: nobody wants the rest.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});

process.exitCode = await run(process.argv.slice(2), {
  readFile: (path) => readFile(path),
  readStdin: () => buffer(process.stdin),
  stdinIsTerminal: process.stdin.isTTY,
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  terminal: process.stdout.isTTY && process.env['TERM'] !== 'dumb',
  // picocolors takes CI for a terminal, and a pipe there is one still.
  colours: pc.isColorSupported && (process.stdout.isTTY || process.env['FORCE_COLOR'] !== undefined),
  now: () => Date.now(),
  pause: (milliseconds) => setTimeout(milliseconds),
  connect: async (options) => (await import('./connect-cluster.ts')).connectCluster(options),
  kubectl: runKubectl,
  readKubectl,
});
