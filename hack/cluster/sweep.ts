// Removes every trace of a cluster from the machine, whatever clone it came from and however far it had got: found by
// the fixed names, not by what some file remembers.

import { rm } from 'node:fs/promises';
import { removeCgroups } from './cgroups.ts';
import { removeBridge } from './network.ts';
import { clone, state } from './paths.ts';
import { clusterProcesses, killClusterProcesses, ownerOf } from './processes.ts';

/** Returns whether there was a live cluster, or parts of one. */
export async function sweep(): Promise<boolean> {
  const processes = await clusterProcesses();
  const owners = new Set<string>();
  for (const { pid } of processes) {
    const owner = await ownerOf(pid);
    if (owner !== undefined && owner !== clone) owners.add(owner);
  }
  for (const owner of owners) console.log(`stopping the cluster that the clone at ${owner} started`);
  const killed = await killClusterProcesses();
  const bridged = await removeBridge();
  await removeCgroups();
  await rm(state, { recursive: true, force: true });
  return killed > 0 || bridged;
}
