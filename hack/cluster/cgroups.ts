// The cluster's cgroup: it gives the kubelets a root to hang their Pods on, and makes every process of the cluster
// findable, whatever started it and whatever became of the files that recorded it.
//
// cgroup v1, or v1 beside an empty v2 ("hybrid"): each hierarchy is a folder of /sys/fs/cgroup.

import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cgroup } from './names.ts';
import { until } from './run.ts';

const mount = '/sys/fs/cgroup';

async function hierarchies(): Promise<string[]> {
  if (existsSync(join(mount, 'cgroup.controllers'))) {
    throw new Error('this machine has cgroup v2 only; the embedded cluster is written for v1 and hybrid machines');
  }
  const names = await readdir(mount);
  return names.map((name) => join(mount, name)).filter((path) => existsSync(join(path, 'cgroup.procs')));
}

/** Makes the cgroup, and in it one for the daemons and one for the Pods of each node. */
export async function createCgroups(nodes: readonly string[]): Promise<void> {
  for (const hierarchy of await hierarchies()) {
    const top = join(hierarchy, cgroup);
    await mkdir(top, { recursive: true });
    // A new cpuset has no CPU and no memory node, and no process may enter it; with this flag, children inherit.
    if (existsSync(join(top, 'cpuset.cpus'))) {
      for (const file of ['cpuset.cpus', 'cpuset.mems']) {
        await writeFile(join(top, file), await readFile(join(hierarchy, file), 'utf8'));
      }
      await writeFile(join(top, 'cgroup.clone_children'), '1');
    }
    for (const name of ['daemons', ...nodes]) await mkdir(join(top, name), { recursive: true });
  }
}

/** Removes the cgroup with all below it; its processes must have ended. */
export async function removeCgroups(): Promise<void> {
  for (const hierarchy of await hierarchies()) {
    const top = join(hierarchy, cgroup);
    // A process that was killed a moment ago keeps its cgroup busy until the kernel is through with it.
    await until(`the end of ${top}`, 10, () => isRemoved(top));
  }
}

async function isRemoved(path: string): Promise<boolean> {
  if (!existsSync(path)) return true;
  try {
    await removeTree(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false;
    throw error;
  }
}

async function removeTree(path: string): Promise<void> {
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeTree(join(path, entry.name));
  }
  await rmdir(path);
}

/** A shell prefix that puts the shell, and so what it becomes, into the daemons' cgroup. */
export const joinCgroup = `for f in ${mount}/*/${cgroup}/daemons/cgroup.procs; do echo $$ > "$f"; done`;

/** Whether this process belongs to the cluster: some hierarchy places it below our cgroup. */
export async function inCgroup(pid: number): Promise<boolean> {
  try {
    const lines = await readFile(`/proc/${pid}/cgroup`, 'utf8');
    return lines.includes(`:/${cgroup}/`) || lines.includes(`:/${cgroup}\n`);
  } catch {
    return false; // it ended meanwhile
  }
}
