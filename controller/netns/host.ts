import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Output {
  /** Exit code; 127 where the program could not be run. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What `podsplit init` does to the world. */
export interface Host {
  run(command: readonly [string, ...string[]], input?: string): Promise<Output>;
  /** Undefined where the file is not there. */
  read(path: string): Promise<string | undefined>;
  write(path: string, text: string): Promise<void>;
  /** Milliseconds. */
  sleep(duration: number): Promise<void>;
  /** Milliseconds that only go forward. */
  now(): number;
  log(level: 'info' | 'error', message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** The kernel answers in milliseconds. Whoever waits for it holds up others, and is waited for. */
const patienceMs = 20_000;

export const host: Host = {
  run: ([program, ...args], input = '') => {
    const { promise, resolve } = Promise.withResolvers<Output>();
    const child = spawn(program, args, { stdio: 'pipe', timeout: patienceMs, killSignal: 'SIGKILL' });
    const out = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (out.stdout += chunk));
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (out.stderr += chunk));
    child.on('error', (error) => {
      resolve({ ...out, status: 127, stderr: error.message });
    });
    child.on('close', (status, signal) => {
      if (signal === null) resolve({ ...out, status: status ?? 1 });
      else resolve({ ...out, status: 1, stderr: `${out.stderr}${program} was ended by ${signal}` });
    });
    // A program that ends early closes its stdin: its exit code says more than EPIPE.
    child.stdin.on('error', () => undefined).end(input);
    return promise;
  },
  read: async (path) => {
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw error;
    }
  },
  write: (path, text) => writeFile(path, text),
  sleep: (duration) => sleep(duration),
  now: () => performance.now(),
  log: (level, message, fields = {}) => {
    console.log(JSON.stringify({ time: new Date().toISOString(), level, msg: message, ...fields }));
  },
};
