// A node: one set of namespaces, in which the usual daemons run with the usual paths.
//
// Its mounts, its network and its processes are held by nothing but its init, so killing that one process is to pull
// the plug: nothing remains in the machine's own namespaces.

import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Builds } from './build.ts';
import { writeNodeCredentials } from './credentials.ts';
import type { NodeNames } from './names.ts';
import { connectNode } from './network.ts';
import { containerdConfig, kubeletConfig, multusConfig, nodeDaemons } from './node-config.ts';
import { here, logs, nodeState } from './paths.ts';
import type { Authority } from './pki.ts';
import { daemonEnvironment, daemonShell, isAlive, startDaemon } from './processes.ts';
import { attempt, run, until } from './run.ts';

/** Writes what a node needs before it starts; its folders keep their content from one start to the next. */
export async function prepareNode(node: NodeNames, builds: Builds, authority: Authority): Promise<void> {
  const state = nodeState(node.name);
  const plugins = join(state, 'opt/cni/bin');
  const networks = join(state, 'etc/cni/net.d');
  const configuration = join(state, 'conf');
  for (const folder of ['etc.work', 'var/lib', 'run']) await mkdir(join(state, folder), { recursive: true });
  for (const folder of [plugins, configuration, join(networks, 'multus.d')]) await mkdir(folder, { recursive: true });
  await mkdir(join(logs, node.name), { recursive: true });

  await writeNodeCredentials(authority, node, configuration);
  await writeFile(join(configuration, 'kubelet.yaml'), kubeletConfig(node));
  await writeFile(join(configuration, 'containerd.toml'), containerdConfig());
  await writeFile(join(networks, '00-multus.conf'), multusConfig(node));
  await cp(join(configuration, 'multus.kubeconfig'), join(networks, 'multus.d/multus.kubeconfig'));
  // The resolver of Pods with dnsPolicy Default: nobody out there answers.
  await writeFile(join(state, 'etc/resolv.conf'), '# the embedded cluster has no world outside\n');
  // Copies, not links: Pods install plugins of their own beside them.
  for (const source of [builds.bin['cni-plugins'], builds.bin.multus]) await cp(source, plugins, { recursive: true });
  await cp(join(here, 'no-dad.sh'), join(plugins, 'no-dad'));
}

/** Starts a prepared node as far as its container runtime; the kubelet needs an API server (see startKubelet). */
export async function startRuntime(node: NodeNames, builds: Builds, count: number): Promise<void> {
  const pid = await startNamespaces(node.name, [
    '/bin/sh',
    join(here, 'node-init.sh'),
    node.name,
    nodeState(node.name),
    join(logs, node.name),
    builds.pause,
    builds.bin.kubernetes,
    builds.bin['kube-router'],
  ]);
  await connectNode(node, pid, count);
  await until(`${node.name}'s file system`, 20, () => attempt(enter(node.name, ['test', '-e', '/run/node/init'])));
  await startInNode(node.name, 'containerd', ['containerd', '--config', '/run/node/conf/containerd.toml']);
  await until(`${node.name}'s containerd`, 30, () => attempt(enter(node.name, ['ctr', 'version'])));
}

/** Starts the daemons of a node that talk to the API server, or those that are named. */
export async function startKubelet(node: NodeNames, names?: readonly string[]): Promise<void> {
  for (const daemon of nodeDaemons(node)) {
    if (names === undefined || names.includes(daemon.name)) await startInNode(node.name, daemon.name, daemon.argv);
  }
}

/** Ends a daemon of a node as it was started: with the shell that would start it again, and that one first. */
export async function stopInNode(name: string, daemon: string): Promise<void> {
  const listed = await run(enter(name, ['ps', '-C', daemon, '-o', 'ppid=,pid=']));
  const [shell, process] = listed.trim().split(/\s+/);
  // Without its shell it has the node's init for a parent.
  if (shell === undefined || process === undefined || shell === '1') throw new Error(`no ${daemon} runs on ${name}`);
  await run(enter(name, ['kill', '-9', shell, process]));
}

/**
 * Starts a process in namespaces of its own, which record its number in the folder of `name`, and returns that.
 * It is the init of its pid namespace, and `unshare` waits for it.
 */
export async function startNamespaces(name: string, init: readonly string[]): Promise<number> {
  const record = join(nodeState(name), 'pid');
  await rm(record, { force: true });
  const log = join(logs, `${name}-init.log`);
  const unshare = [
    'unshare',
    '--net',
    '--pid',
    '--mount',
    '--uts',
    '--fork',
    '--kill-child',
    '--propagation',
    'private',
  ];
  const started = await startDaemon([...unshare, '--', ...init], log);
  let pid = 0;
  await until(`the namespaces of ${name}`, 20, async () => {
    if (!(await isAlive(started))) throw new Error(`${name} ended; see ${log}`);
    if (!existsSync(record)) return false;
    pid = Number(await readFile(record, 'utf8'));
    return pid > 0;
  });
  return pid;
}

/** A command line that runs `argv` inside a node. */
export function enter(name: string, argv: readonly string[]): string[] {
  return [join(here, 'enter.sh'), name, ...argv];
}

/**
 * Starts a daemon inside a node; it outlives the command that started it, as a descendant of the node's init, and is
 * started again when it ends, as a service manager would. (kube-router counts on that: it gives up while its Node has
 * no addresses yet.)
 */
async function startInNode(name: string, daemon: string, argv: readonly string[]): Promise<void> {
  const service = `exec < /dev/null >> /var/log/${daemon}.log 2>&1
    while :; do "$@" || true; echo "$1 ended, starting it again"; sleep 0.5; done`;
  const detached = ['setsid', '--fork', '/bin/sh', '-c', service, 'sh'];
  await run(enter(name, [...daemonShell, ...detached, ...argv]), { env: daemonEnvironment });
}
