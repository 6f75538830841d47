// What runs, and whether it is well.

import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { kubectl } from './control-plane.ts';
import { nodeDaemonNames } from './node-config.ts';
import { nodeState, running } from './paths.ts';
import { clusterProcesses, isAlive } from './processes.ts';
import type { ClusterProcess, ProcessRecord } from './processes.ts';
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

/** What has ended and will not come back by itself: a part of the control plane, or a whole node. */
export async function broken(cluster: Running): Promise<string[]> {
  const dead: string[] = [];
  for (const [name, process] of Object.entries(cluster.controlPlane)) if (!(await isAlive(process))) dead.push(name);
  for (const name of cluster.nodes) if (!(await initOf(name))) dead.push(name);
  const all = Object.keys(cluster.controlPlane).length + cluster.nodes.length;
  if (dead.length === all) return ['all of it has ended'];
  return dead.map((name) => `${name} has ended`);
}

/** What is amiss on the nodes, and may pass. */
export async function ailing(cluster: Running): Promise<string[]> {
  const found: string[] = [];
  const processes = await clusterProcesses();
  for (const name of cluster.nodes) {
    const init = await initOf(name);
    const inside = processes.filter((process) => process.pidNamespace === init?.pidNamespace);
    const commands = new Set(inside.map((process) => process.command));
    for (const daemon of nodeDaemonNames) if (!commands.has(daemon)) found.push(`${daemon} of ${name} does not run`);
  }
  return found.length > 0 ? found : notReady(cluster.nodes);
}

/** The init of a node, if the node is on. The number on file alone may be another process's by now. */
export async function initOf(node: string): Promise<ClusterProcess | undefined> {
  const pid = Number(await readFile(join(nodeState(node), 'pid'), 'utf8').catch(() => '0'));
  return (await clusterProcesses()).find((process) => process.pid === pid);
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
