import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { constants } from 'node:os';
import { CliError } from './cli-error.ts';

/** Runs kubectl on this terminal, and returns its exit code. */
export async function runKubectl(args: readonly string[]): Promise<number> {
  // Ctrl-C is for kubectl, which is in the foreground too: this process waits for what comes of it.
  const ignore = (): void => undefined;
  process.on('SIGINT', ignore);
  try {
    return await ended(spawn('kubectl', args, { stdio: 'inherit' }));
  } finally {
    process.off('SIGINT', ignore);
  }
}

/** What kubectl says on stdout. Its complaints go where this program's go. */
export async function readKubectl(
  args: readonly string[],
): Promise<{ readonly exitCode: number; readonly stdout: string }> {
  const child = spawn('kubectl', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [exitCode, stdout] = await Promise.all([ended(child), text(child.stdout)]);
  return { exitCode, stdout };
}

type Child = Pick<ReturnType<typeof spawn>, 'once'>;

function ended(child: Child): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code === 'ENOENT' ? 'it is not on PATH' : error.message;
      reject(new CliError(`Cannot run kubectl: ${reason}. This command hands over to it.`));
    });
    child.once('close', (code: number | null, signal: NodeJS.Signals | null) => {
      // As shells say it.
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
