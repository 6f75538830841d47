// The cluster's long-lived processes: starting them so that they outlive this run, and finding every one of them
// again, whoever started it.

import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname } from 'node:path';
import { inCgroup, joinCgroup } from './cgroups.ts';
import { ownerVariable } from './names.ts';
import { clone } from './paths.ts';
import { until } from './run.ts';

/** What daemons get of the environment: the tools' folders and the mark of this clone, nothing of the caller's. */
export const daemonEnvironment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: homedir(),
  [ownerVariable]: clone,
};

/** Becomes the command given as arguments, once in the daemons' cgroup. */
export const daemonShell = ['/bin/sh', '-c', `set -e\n${joinCgroup}\nexec "$@"`, 'sh'] as const;

/** A process by which it can be recognised later: a number alone may be given to another one. */
export interface ProcessRecord {
  readonly pid: number;
  /** In clock ticks since boot. */
  readonly started: number;
}

/** Starts a daemon in a session of its own (it survives the shell that ran `up`), its output going to `log`. */
export async function startDaemon(argv: readonly string[], log: string): Promise<ProcessRecord> {
  mkdirSync(dirname(log), { recursive: true });
  const output = openSync(log, 'a');
  const [shell, ...rest] = daemonShell;
  const child = spawn(shell, [...rest, ...argv], {
    detached: true,
    stdio: ['ignore', output, output],
    env: daemonEnvironment,
    cwd: '/',
  });
  closeSync(output);
  child.unref();
  const { pid } = child;
  if (pid === undefined) throw new Error(`cannot start ${argv.join(' ')}`);
  const stat = await readStat(pid);
  if (!stat) throw new Error(`${argv.join(' ')} ended at once; see ${log}`);
  return { pid, started: stat.started };
}

export async function isAlive(process: ProcessRecord): Promise<boolean> {
  const stat = await readStat(process.pid);
  return stat !== undefined && stat.state !== 'Z' && stat.started === process.started;
}

export interface ClusterProcess {
  readonly pid: number;
  readonly command: string;
  /** The inode of its pid namespace, which tells the nodes apart. */
  readonly pidNamespace: string;
}

/** Every live process of the cluster, of whatever clone. */
export async function clusterProcesses(): Promise<ClusterProcess[]> {
  const found: ClusterProcess[] = [];
  for (const entry of await readdir('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || !(await inCgroup(pid))) continue;
    const stat = await readStat(pid);
    if (!stat || stat.state === 'Z') continue;
    found.push({ pid, command: stat.command, pidNamespace: await pidNamespace(pid) });
  }
  return found;
}

async function pidNamespace(pid: number): Promise<string> {
  return readlink(`/proc/${pid}/ns/pid`).catch(() => '');
}

/** The clone that started a process of the cluster, as the process itself was told. */
export async function ownerOf(pid: number): Promise<string | undefined> {
  const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
  const prefix = `${ownerVariable}=`;
  const line = environment.split('\0').find((entry) => entry.startsWith(prefix));
  return line?.slice(prefix.length);
}

/**
 * Ends all processes of the cluster. At once and without a word: a graceful API server outlives its etcd and holds
 * the port, and nothing here is worth saving. A process may fork while it is looked for, hence the loop.
 */
export async function killClusterProcesses(): Promise<number> {
  const killed = new Set<number>();
  await until('the end of the cluster’s processes', 30, async () => {
    const alive = await clusterProcesses();
    for (const { pid } of alive) {
      killed.add(pid);
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // it ended meanwhile
      }
    }
    return alive.length === 0;
  });
  return killed.size;
}

async function readStat(pid: number): Promise<{ command: string; state: string; started: number } | undefined> {
  const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  if (line === undefined) return undefined;
  // The command stands in parentheses and may hold spaces and parentheses itself; proc_pid_stat(5) numbers the fields.
  const end = line.lastIndexOf(')');
  const fields = line.slice(end + 2).split(' ');
  return { command: line.slice(line.indexOf('(') + 1, end), state: fields[0] ?? '', started: Number(fields[19]) };
}
