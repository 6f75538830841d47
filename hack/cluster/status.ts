// What runs, and whether it is well.

import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { kubectl } from './control-plane.ts';
import { nodeDaemonNames } from './node-config.ts';
import { nodeState, running } from './paths.ts';
import { clusterProcesses, isAlive, pidNamespace } from './processes.ts';
import type { ProcessRecord } from './processes.ts';
import { CommandFailed, run } from './run.ts';

/** Written at the end of a boot. */
export interface Running {
  readonly nodes: readonly string[];
  readonly controlPlane: Readonly<Record<string, ProcessRecord>>;
}

export async function writeRunning(value: Running): Promise<void> {
  await writeFile(`${running}.partial`, JSON.stringify(value, undefined, 2));
  await rename(`${running}.partial`, running);
}

/** What this clone's last boot left on record; it may be dead by now. */
export async function readRunning(): Promise<Running | undefined> {
  try {
    return JSON.parse(await readFile(running, 'utf8')) as Running;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Everything that is wrong with the recorded cluster; nothing, if it is healthy. */
export async function ailments(cluster: Running): Promise<string[]> {
  const found: string[] = [];
  for (const [name, process] of Object.entries(cluster.controlPlane)) {
    if (!(await isAlive(process))) found.push(`${name} does not run`);
  }
  const processes = await clusterProcesses();
  for (const name of cluster.nodes) {
    const pid = Number(await readFile(join(nodeState(name), 'pid'), 'utf8').catch(() => '0'));
    const namespace = await pidNamespace(pid);
    const commands = new Set(processes.filter((p) => p.pidNamespace === namespace).map((p) => p.command));
    for (const daemon of nodeDaemonNames) if (!commands.has(daemon)) found.push(`${daemon} of ${name} does not run`);
  }
  // With a process missing, the API server may be the one that would not answer for a long time.
  return found.length > 0 ? found : notReady(cluster.nodes);
}

/** The nodes that are not Ready, as far as the API server knows. */
export async function notReady(nodes: readonly string[]): Promise<string[]> {
  const template = '{range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status} {end}';
  try {
    const args = ['get', 'nodes', `-o=jsonpath=${template}`, '--request-timeout=5s'];
    const ready = new Set((await run(kubectl(...args))).split(' '));
    return nodes.filter((name) => !ready.has(`${name}=True`)).map((name) => `${name} is not Ready`);
  } catch (error) {
    if (error instanceof CommandFailed) return [`the API server does not answer: ${error.stderr.trim()}`];
    throw error;
  }
}
