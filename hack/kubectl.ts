import { execFileSync, type StdioOptions } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const embeddedKubeconfig = join(root, '.cluster', 'kubeconfig');
const embeddedKubectl = join(root, '.cluster', 'bin', 'kubectl');

/** The cluster that commands work on: KUBECONFIG's if it is set, else the embedded one. */
export const kubeconfig = process.env['KUBECONFIG'] ?? embeddedKubeconfig;
/** Our own build where it is there: its version is the cluster's. */
export const kubectlPath = existsSync(embeddedKubectl) ? embeddedKubectl : 'kubectl';

export interface KubectlOptions {
  readonly input?: string;
  /** Show the output as it comes instead of returning it. */
  readonly show?: boolean;
  /** Milliseconds; the process is killed then. */
  readonly timeoutMs?: number;
}

/** Runs kubectl and returns what it printed; throws with its own words when it fails. */
export function kubectl(args: readonly string[], options: KubectlOptions = {}): string {
  const stdio: StdioOptions = [
    'pipe',
    options.show === true ? 'inherit' : 'pipe',
    options.show === true ? 'inherit' : 'pipe',
  ];
  try {
    const output: unknown = execFileSync(kubectlPath, args, {
      env: { ...process.env, KUBECONFIG: kubeconfig },
      encoding: 'utf8',
      stdio,
      maxBuffer: 256 * 1024 * 1024,
      ...(options.input === undefined ? {} : { input: options.input }),
      ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
    });
    return typeof output === 'string' ? output : '';
  } catch (error) {
    const stderr = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    throw new Error(`kubectl ${args.join(' ')}: ${stderr === '' ? String(error) : stderr}`, { cause: error });
  }
}

/** The same for commands that may fail: undefined then. */
export function tryKubectl(args: readonly string[], options: KubectlOptions = {}): string | undefined {
  try {
    return kubectl(args, options);
  } catch {
    return undefined;
  }
}
