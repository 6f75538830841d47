// Commands that run beside each other: kubectl on the cluster that KUBECONFIG names, else the embedded one.

import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync } from 'node:fs';
import { clone, kubeconfig as embeddedKubeconfig, kubectlPath as embeddedKubectl } from '../cluster/paths.ts';

export const kubeconfig = process.env['KUBECONFIG'] ?? embeddedKubeconfig;
/** Whether the cluster is ours to boot and to load images onto. */
export const embedded = kubeconfig === embeddedKubeconfig;

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  /** Standard output and error, as a terminal would mix them. */
  readonly output: string;
}

export interface Started {
  readonly ended: Promise<Ended>;
  /** Resolves with the first output, or with the end where there is none. */
  readonly spoke: Promise<void>;
}

export function startKubectl(args: readonly string[], input = ''): Started {
  return start(kubectlProgram(), args, { env: kubectlEnvironment, input });
}

/** For a talk over standard input and output. */
export function spawnKubectl(args: readonly string[]): ChildProcessWithoutNullStreams {
  return spawn(kubectlProgram(), args, { env: kubectlEnvironment });
}

const kubectlEnvironment = { ...process.env, KUBECONFIG: kubeconfig };

/** Looked for each time: the first run of a clone builds it on the way. */
function kubectlProgram(): string {
  return existsSync(embeddedKubectl) ? embeddedKubectl : 'kubectl';
}

/** Its standard output; throws in its own words when it fails. */
export async function kubectl(args: readonly string[]): Promise<string> {
  const { status, stdout, output } = await startKubectl(args).ended;
  if (status !== 0) throw new Error(`kubectl ${args.join(' ')}: ${output.trim()}`);
  return stdout;
}

interface StartOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly input?: string;
  /** Hears output as it comes. */
  readonly hear?: ((text: string) => void) | undefined;
}

function start(program: string, args: readonly string[], { input = '', hear, ...options }: StartOptions): Started {
  const child = spawn(program, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] });
  // A program that ends without reading its input is no failure.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const stdout: Buffer[] = [];
  const mixed: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => {
    stdout.push(chunk);
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      mixed.push(chunk);
      hear?.(chunk.toString());
    });
  }
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => {
      resolve({ status, stdout: Buffer.concat(stdout).toString(), output: Buffer.concat(mixed).toString() });
    });
  });
  const spoke = new Promise<void>((resolve) => {
    child.stdout.once('data', () => {
      resolve();
    });
    void ended.finally(resolve);
  });
  return { ended, spoke };
}

/** Runs one of the project's programs with this Node, from the top of the clone, on the same cluster. */
export function runNode(argv: readonly string[], hear?: (text: string) => void): Promise<Ended> {
  return start(process.execPath, argv, { cwd: clone, env: kubectlEnvironment, hear }).ended;
}
