import type { Io } from '../input.ts';
import { run } from '../run.ts';

export interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `kubectl podsplit ARGS`, which may reach of the outside what is given here, and nothing else. */
export async function ran(args: readonly string[], io: Partial<Io>): Promise<Ran> {
  let stdout = '';
  let stderr = '';
  const unwanted = (): Promise<never> => Promise.reject(new Error('not needed'));
  const exitCode = await run(args, {
    readFile: unwanted,
    readStdin: unwanted,
    stdinIsTerminal: true,
    terminal: false,
    stdout: (text) => (stdout += text),
    stderr: (text) => (stderr += text),
    colours: false,
    now: () => 0,
    pause: unwanted,
    connect: unwanted,
    kubectl: unwanted,
    readKubectl: unwanted,
    ...io,
  });
  return { exitCode, stdout, stderr };
}
