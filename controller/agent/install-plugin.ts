import { chmod, copyFile, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { cniPluginType } from '../api/names.ts';

/**
 * Puts the plugin's binary where the runtime looks for plugins, unless the same one is there. By rename, so that the runtime
 * never starts half of it, and a call that runs with the old one goes on.
 *
 * @param folder the node's CNI binaries, as the agent sees them
 * @returns whether it was written
 */
export async function installPlugin(binary: string, folder: string): Promise<boolean> {
  const target = join(folder, cniPluginType);
  const [wanted, current] = await Promise.all([readFile(binary), readFile(target).catch(() => undefined)]);
  if (current?.equals(wanted) === true) return false;
  await mkdir(folder, { recursive: true });
  const scratch = join(folder, `.${cniPluginType}.new`);
  await copyFile(binary, scratch);
  await chmod(scratch, 0o755);
  await rename(scratch, target);
  return true;
}

/** When podsplit is taken off the cluster: no Pod that names the plugin is left. */
export async function removePlugin(folder: string): Promise<void> {
  await rm(join(folder, cniPluginType), { force: true });
}
