// Removes every trace of a cluster from the machine, whatever clone it came from and however far it had got: found by
// the fixed names, not by what some file remembers.

import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { removeCgroups } from './cgroups.ts';
import { removeBridge } from './network.ts';
import { clone, logs, state } from './paths.ts';
import { clusterProcesses, killClusterProcesses, ownerOf } from './processes.ts';

/** Returns whether there was a live cluster, or parts of one. */
export async function sweep(options: { readonly keepLogs?: boolean } = {}): Promise<boolean> {
  for (const owner of await otherOwners()) console.log(`stopping the cluster that the clone at ${owner} started`);
  const killed = await killClusterProcesses();
  const bridged = await removeBridge();
  await removeCgroups();
  if (options.keepLogs === true && existsSync(logs)) await removeAllButLogs();
  else await rm(state, { recursive: true, force: true });
  return killed > 0 || bridged;
}

async function otherOwners(): Promise<Set<string>> {
  const owners = new Set<string>();
  for (const { pid } of await clusterProcesses()) {
    const owner = await ownerOf(pid);
    if (owner !== undefined && owner !== clone) owners.add(owner);
  }
  return owners;
}

/** The logs of the cluster that ended become those of the previous one; older ones go. */
async function removeAllButLogs(): Promise<void> {
  const aside = await mkdtemp(`${state}-logs-`);
  await rm(join(logs, 'previous'), { recursive: true, force: true });
  await rename(logs, join(aside, 'previous'));
  await rm(state, { recursive: true, force: true });
  await mkdir(state);
  await rename(aside, logs);
}
