import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseDenials, type Denial } from './denied.ts';
import { Agent, agentSource } from '../attack/agent.ts';
import type { Pod } from './objects.ts';

const run = promisify(execFile);
export const enterScript = join(import.meta.dirname, '../../hack/cluster/enter.sh');

/** Runs a command on a node of the embedded cluster, and returns what it printed. */
export async function onNode(node: string, command: readonly string[]): Promise<string> {
  const { stdout } = await run(enterScript, [node, ...command], { maxBuffer: 64 * 1024 * 1024 });
  return stdout;
}

/** Of the namespace that plays the world outside. */
export async function addressesOutside(): Promise<{ readonly ipv4: string; readonly ipv6: string }> {
  const listed = await onNode('outside', ['ip', '-json', 'address', 'show', 'dev', 'eth0', 'scope', 'global']);
  const [link] = JSON.parse(listed) as readonly { readonly addr_info: readonly { readonly local: string }[] }[];
  const locals = (link?.addr_info ?? []).map(({ local }) => local);
  return {
    ipv4: locals.find((address) => !address.includes(':')) ?? '',
    ipv6: locals.find((address) => address.includes(':')) ?? '',
  };
}

/** Opens sockets there; `outside` is the world beyond the cluster. */
export function agentOnNode(node: string): Agent {
  const agent = spawn(enterScript, [node, 'python3', '-u', '-c', agentSource, node]);
  return new Agent(node, agent);
}

/** Runs a command of the node in the Pod's network namespace: its containers have no right to look at the rules. */
export async function inNetns(pod: Pod, command: readonly string[]): Promise<string> {
  const { nodeName = '' } = pod.spec;
  const pid = await sandboxPid(nodeName, pod.metadata.uid);
  return onNode(nodeName, ['nsenter', `--net=/proc/${pid}/ns/net`, '--', ...command]);
}

/** The first process of a container: signals reach it past the kubelet, and at once. */
export async function processOf(
  pod: Pod,
  container: string,
): Promise<{ readonly signal: (signal: 'STOP' | 'CONT') => Promise<void> }> {
  const { nodeName = '' } = pod.spec;
  const pid = await taskPid(nodeName, pod.metadata.uid, `labels."io.kubernetes.container.name"==${container}`);
  return {
    signal: async (signal) => {
      await onNode(nodeName, ['kill', `-${signal}`, pid]);
    },
  };
}

function sandboxPid(node: string, uid: string): Promise<string> {
  return taskPid(node, uid, 'labels."io.cri-containerd.kind"==sandbox');
}

async function taskPid(node: string, uid: string, which: string): Promise<string> {
  const filter = `labels."io.kubernetes.pod.uid"==${uid},${which}`;
  const ids = (await onNode(node, ['ctr', '-n', 'k8s.io', 'containers', 'list', '-q', filter])).trim().split('\n');
  const tasks = (await onNode(node, ['ctr', '-n', 'k8s.io', 'tasks', 'list']))
    .split('\n')
    .map((line) => line.split(/\s+/));
  const pid = tasks.find(([id = '', , status]) => ids.includes(id) && status === 'RUNNING')?.[1];
  if (pid === undefined) throw new Error(`nothing of Pod ${uid} with ${which} runs on ${node}`);
  return pid;
}

/** What the piece's own table has dropped so far. */
export async function denials(pod: Pod): Promise<readonly Denial[]> {
  return parseDenials(await inNetns(pod, ['nft', '-j', 'list', 'table', 'inet', 'podsplit']));
}
