// What the smoke test's checks are made of: asking from a Pod, from the machine and from outside.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { build } from './build.ts';
import { kubectl } from './control-plane.ts';
import { withLock } from './lock.ts';
import { enter } from './nodes.ts';
import { CommandFailed, run } from './run.ts';

export const namespace = 'podsplit-smoke';

export function inNamespace(...args: readonly string[]): string[] {
  return kubectl('--namespace', namespace, ...args);
}

/** Runs the probe inside a Pod, by kubectl exec. */
export function probe(pod: string, ...args: readonly string[]): Promise<string> {
  return run(inNamespace('exec', pod, '--', '/probe', ...args));
}

function url(address: string, port: number): string {
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}/`;
}

export function get(pod: string, address: string, port: number): Promise<string> {
  return probe(pod, 'get', url(address, port));
}

export async function getFromMachine(address: string, port: number): Promise<string> {
  const response = await fetch(url(address, port), { signal: AbortSignal.timeout(2000) });
  return response.text();
}

export async function closed(pod: string, address: string): Promise<boolean> {
  return get(pod, address, 8080).then(
    () => false,
    () => true,
  );
}

export function jsonpath(object: string, path: string): Promise<string> {
  return run(inNamespace('get', object, '-o', `jsonpath=${path}`));
}

export async function addressesOf(pod: string): Promise<{ v4: string; v6: string }> {
  const [v4 = '', v6 = ''] = (await jsonpath(`pod/${pod}`, '{.status.podIPs[*].ip}')).split(' ');
  return { v4, v6 };
}

/** The path, inside a node, of the Pod network namespace whose net1 has this MAC. */
export async function namespaceWithMac(name: string, mac: string): Promise<string> {
  const search =
    'for n in /run/netns/cni-*; do nsenter --net=$n ip link show net1 2>&1 | grep -q "$1" && echo $n; done';
  return (await run(enter(name, ['/bin/sh', '-c', `${search}; true`, 'sh', mac]))).trim();
}

/** A server in the namespace that plays the world; the caller stops it. */
export async function serveOutside(): Promise<() => void> {
  const binary = join((await withLock('smoke', build)).bin.probe, 'probe');
  const [command = '', ...args] = enter('outside', [binary, 'serve', 'world', ':8080']);
  const server = spawn(command, args, { stdio: 'ignore' });
  await new Promise((resolve) => setTimeout(resolve, 300));
  return () => server.kill();
}

export function expect(got: string, wanted: string | RegExp): void {
  const fits = typeof wanted === 'string' ? got.trim() === wanted : wanted.test(got);
  if (!fits) throw new Error(`expected ${String(wanted)}, got: ${got.trim()}`);
}

export async function refused(action: () => Promise<string>, reason: RegExp): Promise<void> {
  let answer: string;
  try {
    answer = await action();
  } catch (error) {
    if (error instanceof CommandFailed && reason.test(error.message)) return;
    throw error;
  }
  throw new Error(`expected to be refused, got: ${answer.trim()}`);
}
