import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { Host } from '../netns/host.ts';
import { AgentError } from './agent-error.ts';

/** Where runtimes bind the network namespaces of their sandboxes; the second is the first by another name. */
const folders: readonly string[] = ['/run/netns', '/var/run/netns'];

/** `nsenter` of util-linux: Node has no setns(2). 2 ms a call. */
export function inNetns(path: string, host: Host): Host {
  const entered = netnsFile(path);
  return { ...host, run: (command, input) => host.run(['nsenter', `--net=${entered}`, '--', ...command], input) };
}

/** @throws AgentError BadNetns: the agent enters no other file that somebody names. */
export function netnsFile(path: string): string {
  const name = basename(path);
  if (folders.includes(dirname(path)) && /^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name)) return `/run/netns/${name}`;
  throw new AgentError('BadNetns', `the network namespace is at ${path}; the agent enters those in /run/netns only`);
}

/**
 * Rules in the node's own network namespace would cut the node off.
 *
 * @throws AgentError BadNetns
 */
export async function refuseOwnNetns(path: string): Promise<void> {
  const [named, own] = await Promise.all([stat(netnsFile(path)).catch(() => undefined), stat('/proc/self/ns/net')]);
  if (named === undefined) throw new AgentError('BadNetns', `there is no network namespace at ${path} any more`);
  if (named.dev === own.dev && named.ino === own.ino) {
    throw new AgentError('BadNetns', `${path} is the node's own network namespace, and no piece's`);
  }
}
