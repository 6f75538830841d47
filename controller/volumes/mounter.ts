import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { VolumeError } from './volume-error.ts';

export interface TmpfsOptions {
  /** Undefined: as large as the node's memory. */
  readonly bytes: number | undefined;
  readonly gid: number | undefined;
}

/** The mounts that this process sees, and shares with its node. */
export interface Mounter {
  mountPoints(): Promise<ReadonlySet<string>>;
  bind(from: string, to: string): Promise<void>;
  tmpfs(at: string, options: TmpfsOptions): Promise<void>;
  unmount(at: string): Promise<void>;
}

const run = promisify(execFile);
const patienceMs = 20_000;

async function program(name: 'mount' | 'umount', args: readonly string[]): Promise<void> {
  try {
    await run(name, args, { timeout: patienceMs, killSignal: 'SIGKILL' });
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : '';
    throw new VolumeError('MountFailed', `${name} ${args.join(' ')}: ${said === '' ? String(error) : said}`, {
      cause: error,
    });
  }
}

/** -n: there is no table in /etc to write to. */
export const systemMounter: Mounter = {
  mountPoints: async () => mountPointsIn(await readFile('/proc/self/mountinfo', 'utf8')),
  bind: (from, to) => program('mount', ['-n', '--bind', from, to]),
  tmpfs: async (at, options) => {
    const mount = (more: readonly string[]) =>
      program('mount', ['-n', '-t', 'tmpfs', '-o', [...tmpfsOptions(options), ...more].join(','), 'tmpfs', at]);
    // The kubelet asks the same of its own; kernels before 6.4 do not know it.
    await mount(['noswap']).catch(() => mount([]));
  },
  unmount: (at) => program('umount', ['-n', at]),
};

/** The kubelet's own tmpfs has the kernel's mode, and with a group what its SetVolumeOwnership makes of that. */
export function tmpfsOptions({ bytes, gid }: TmpfsOptions): readonly string[] {
  const size = bytes === undefined ? '100%' : String(bytes);
  return [`size=${size}`, ...(gid === undefined ? ['mode=1777'] : ['mode=3777', `gid=${gid}`])];
}

/** proc_pid_mountinfo(5): the fifth field, in which space, tab, newline and backslash are three octal digits. */
export function mountPointsIn(mountinfo: string): ReadonlySet<string> {
  return new Set(
    mountinfo.split('\n').flatMap((line) => {
      const point = line.split(' ')[4];
      return point === undefined
        ? []
        : [point.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)))];
    }),
  );
}
