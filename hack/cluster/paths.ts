// Where the cluster keeps its files: state in the clone (`.cluster`, gone after `down`), builds in a cache that clones
// share.

import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

export const clone = resolve(import.meta.dirname, '../..');
export const here = import.meta.dirname;

export const cache =
  process.env['PODSPLIT_CACHE'] ?? join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'podsplit');

export const state = join(clone, '.cluster');
export const logs = join(state, 'logs');
export const pki = join(state, 'pki');
export const kubeconfig = join(state, 'kubeconfig');
/** A link to the kubectl of the cluster's own version. */
export const kubectlPath = join(state, 'bin/kubectl');
/** What runs, written last: its presence says that a boot came to its end. */
export const running = join(state, 'running.json');

/** The folder of one node's files. */
export function nodeState(name: string): string {
  return join(state, 'nodes', name);
}
