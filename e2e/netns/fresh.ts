import { spawnSync } from 'node:child_process';

export interface Done {
  readonly status: number | null;
  /** stdout, or stderr where it failed. */
  readonly output: string;
}

/** The image has no such files: what nft knows by itself is all that a ruleset may name. */
const withoutNames =
  'for file in /etc/protocols /etc/services; do [ ! -e $file ] || mount --bind /dev/null $file; done; exec "$@"';

/** In a network namespace of its own, which ends with the command; a user namespace too where we are not root. */
export function inFreshNamespace(command: readonly string[], input: string): Done {
  const asRoot = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  const { status, stdout, stderr } = spawnSync(
    'unshare',
    [...asRoot, '--net', '--mount', 'sh', '-c', withoutNames, 'sh', ...command],
    {
      input,
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    },
  );
  return { status, output: status === 0 ? stdout : stderr };
}
