import { spawnSync } from 'node:child_process';

export interface Done {
  readonly status: number | null;
  /** stdout, or stderr where it failed. */
  readonly output: string;
}

/** In a network namespace of its own, which ends with the command; a user namespace too where we are not root. */
export function inFreshNamespace(command: readonly string[], input: string): Done {
  const asRoot = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  const { status, stdout, stderr } = spawnSync('unshare', [...asRoot, '--net', ...command], {
    input,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  return { status, output: status === 0 ? stdout : stderr };
}
