// Short-lived commands: run, wait, and say what failed in the command's own words.

import { spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';

export class CommandFailed extends Error {
  readonly code: number | null;
  readonly stderr: string;

  constructor(argv: readonly string[], code: number | null, stderr: string) {
    super(`${argv.join(' ')}: exit ${String(code)}\n${stderr.trim()}`);
    this.name = 'CommandFailed';
    this.code = code;
    this.stderr = stderr;
  }
}

export interface RunOptions {
  readonly input?: string;
  /** A file to read as standard input, instead of `input`. */
  readonly inputFile?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

/** Runs a command to its end and returns its standard output; a failure throws CommandFailed. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const [command, ...args] = argv;
  if (command === undefined) throw new Error('an empty command');
  const file = options.inputFile === undefined ? undefined : await open(options.inputFile);
  const child = spawn(command, args, {
    stdio: [file?.fd ?? 'pipe', 'pipe', 'pipe'],
    ...(options.env && { env: options.env }),
    ...(options.cwd !== undefined && { cwd: options.cwd }),
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  child.stdin?.on('error', () => undefined); // a command that ends without reading its input is no failure
  child.stdin?.end(options.input ?? '');
  await file?.close();
  const [stdout, stderr, code] = await Promise.all([output(child.stdout), output(child.stderr), ended]);
  if (code !== 0) throw new CommandFailed(argv, code, stderr);
  return stdout;
}

/** A piped stream is there, always; its type cannot say so when standard input may be a file. */
function output(stream: Readable | null): Promise<string> {
  return stream ? text(stream) : Promise.resolve('');
}

/** Like run, but a failure is only `false`: for steps whose purpose may have been met already. */
export async function attempt(argv: readonly string[], options: RunOptions = {}): Promise<boolean> {
  try {
    await run(argv, options);
    return true;
  } catch (error) {
    if (error instanceof CommandFailed) return false;
    throw error;
  }
}

/** Runs a command's work; what goes wrong is told in a line or two, not in a stack of calls. */
export async function main(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (process.env['DEBUG'] !== undefined) throw error;
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}

/** Asks `ready` again and again until it says true; throws with `what` when `seconds` have passed. */
export async function until(
  what: string,
  seconds: number,
  ready: () => Promise<boolean>,
  betweenMs = 50,
): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  while (!(await ready())) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${seconds} s`);
    await new Promise((resolve) => setTimeout(resolve, betweenMs));
  }
}
