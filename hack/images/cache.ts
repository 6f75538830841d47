// Where built images lie. They outlive a clone, so they are kept in the user's cache and not beside the sources.

import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

export function imagesDir(): string {
  const { PODSPLIT_CACHE: own, XDG_CACHE_HOME: xdg } = process.env;
  return join(own ?? join(xdg ?? join(homedir(), '.cache'), 'podsplit'), 'images');
}

/** 16 hex digits over all that decides what gets built. */
export function inputKey(...inputs: readonly string[]): string {
  const hash = createHash('sha256');
  for (const input of inputs) hash.update(`${input.length}:`).update(input);
  return hash.digest('hex').slice(0, 16);
}

/**
 * Returns `folder`, filled by `make` unless it is there already. The work happens in a folder beside it that is renamed
 * at the end, so what bears the final name is whole, and whoever loses a race takes the winner's.
 */
export async function once(folder: string, make: (scratch: string) => Promise<void>): Promise<string> {
  if (await exists(folder)) return folder;
  await mkdir(dirname(folder), { recursive: true });
  const scratch = await mkdtemp(`${folder}.partial-`);
  try {
    await make(scratch);
    await rename(scratch, folder);
  } catch (error) {
    await rm(scratch, { recursive: true, force: true });
    if (!(await exists(folder))) throw error;
  }
  return folder;
}

export async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
