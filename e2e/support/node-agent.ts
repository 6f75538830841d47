import { compileSandbox } from '../../controller/agent/compile-sandbox.ts';
import { shortId, type Sandbox } from '../../controller/agent/sandbox.ts';
import { hostTablePrefix } from '../../controller/rules/host.ts';
import { differences } from '../../controller/rules/loaded.ts';
import { listAll } from './api.ts';
import { eventually, patience } from './eventually.ts';
import { kubectl } from './namespace.ts';
import { inNetns, onNode } from './node.ts';
import type { Pod } from './objects.ts';
import { isReady } from './pieces.ts';

const agentNamespace = 'podsplit-node';
const here = ['-n', agentNamespace];

async function agentPod(node: string): Promise<Pod> {
  const pods = await listAll<Pod>('pods', {
    namespace: agentNamespace,
    labelSelector: 'app.kubernetes.io/component=agent',
    fieldSelector: `spec.nodeName=${node}`,
  });
  const running = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  if (running.length !== 1) throw new Error(`${running.length} agents on ${node}`);
  return running[0]!;
}

/** Until another agent than this one is ready. */
async function otherAgent(node: string, before: Pod): Promise<void> {
  await eventually(`another agent on ${node}`, async () => {
    const now = await agentPod(node);
    if (now.metadata.uid === before.metadata.uid || !isReady(now)) throw new Error(`still ${now.metadata.name}`);
  });
}

export async function restartAgent(node: string): Promise<void> {
  const before = await agentPod(node);
  await kubectl([...here, 'delete', 'pod', before.metadata.name, '--wait=false']);
  await otherAgent(node, before);
}

export async function rolloutAgents(): Promise<void> {
  await kubectl([...here, 'rollout', 'restart', 'daemonset/podsplit-agent']);
  await kubectl([...here, 'rollout', 'status', 'daemonset/podsplit-agent', patience]);
}

/** To its process on the node: nothing of the kubelet's grace. */
export async function signalAgent(node: string, signal: 'STOP' | 'CONT' | 'KILL'): Promise<void> {
  const pids = (await onNode(node, ['pgrep', '-f', '^/usr/bin/node .*/agent[.]js$'])).trim().split('\n');
  await onNode(node, ['kill', `-${signal}`, ...pids]);
}

/** What the agent has written down of the node's sandboxes. */
export async function sandboxes(node: string): Promise<readonly Sandbox[]> {
  const script = 'cd /run/podsplit/sandboxes && for file in *.json; do cat "$file" 2>/dev/null; done; true';
  const text = await onNode(node, ['sh', '-c', script]);
  return text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Sandbox);
}

export async function sandboxOf(pod: Pod): Promise<Sandbox> {
  const found = (await sandboxes(pod.spec.nodeName!)).find(({ pod: { uid } }) => uid === pod.metadata.uid);
  if (found === undefined) throw new Error(`the agent knows no sandbox of ${pod.metadata.name}`);
  return found;
}

export function hostTableOf({ id }: Sandbox): string {
  return `${hostTablePrefix}${shortId(id)}`;
}

export async function hostTables(node: string): Promise<readonly string[]> {
  const listed = await onNode(node, ['nft', 'list', 'tables', 'netdev']);
  return [...listed.matchAll(/table netdev (\S+)/g)].flatMap(([, name]) =>
    name?.startsWith(hostTablePrefix) === true ? [name] : [],
  );
}

export async function devices(node: string): Promise<readonly string[]> {
  const listed = await onNode(node, ['ip', '-json', 'link', 'show']);
  return (JSON.parse(listed) as { ifname: string }[]).map(({ ifname }) => ifname);
}

/** Sandboxes that run, by their container ids. */
export async function runningSandboxes(node: string): Promise<ReadonlySet<string>> {
  const tasks = await onNode(node, ['ctr', '-n', 'k8s.io', 'tasks', 'list']);
  const filter = 'labels."io.cri-containerd.kind"==sandbox';
  const ids = (await onNode(node, ['ctr', '-n', 'k8s.io', 'containers', 'list', '-q', filter])).trim().split('\n');
  const running = tasks.split('\n').flatMap((line) => {
    const [id = '', , status] = line.split(/\s+/);
    return status === 'RUNNING' ? [id] : [];
  });
  return new Set(running.filter((id) => ids.includes(id)));
}

/** How the tables that are loaded differ from what the agent's own files say they should be, for Pods of a namespace. */
export async function wrongTables(node: string, namespace: string): Promise<readonly string[]> {
  const all = await sandboxes(node);
  const own = all.filter(({ pod }) => pod.namespace === namespace);
  const listTables = own.map(
    ({ netns, id }) =>
      `nsenter --net=${netns} nft -j list table inet podsplit || echo {}; nft -j list table netdev ${hostTablePrefix}${shortId(id)} || echo {}`,
  );
  const lines = (await onNode(node, ['sh', '-c', `${listTables.join('\n')}\ntrue`])).trim().split('\n');
  return own.flatMap((sandbox, index) => {
    const peers = all.filter(({ split, id }) => split === sandbox.split && id !== sandbox.id);
    const { piece, host } = compileSandbox(sandbox, peers);
    const [inside, outside] = [lines[2 * index], lines[2 * index + 1]].map(
      (line) => JSON.parse(line ?? '{}') as unknown,
    );
    // Every eth0 is a veth here.
    const unfiltered = sandbox.host.eth0 === undefined ? ['eth0 is not filtered on the node'] : [];
    return [...unfiltered, ...differences(piece, inside), ...differences(host, outside)].map(
      (how) => `${sandbox.pod.name}: ${how}`,
    );
  });
}

/** Of a piece: the handles stay as long as nobody loads them anew. What counts is left out, and the order in sets. */
export async function tablesWithHandles(pod: Pod): Promise<string> {
  const host = hostTableOf(await sandboxOf(pod));
  const inside = await inNetns(pod, ['nft', '-a', 'list', 'table', 'inet', 'podsplit']);
  const outside = await onNode(pod.spec.nodeName!, ['nft', '-a', 'list', 'table', 'netdev', host]);
  return `${inside}${outside}`
    .replace(/packets \d+ bytes \d+/g, '')
    .replace(/set (tried|conns)\d \{[^]*?\n\t\}/g, '')
    .split(/[\s,]+/)
    .sort()
    .join(' ');
}

/** Until each file is a sandbox' that runs, and each table a file's. */
export async function nothingStray(node: string): Promise<void> {
  await eventually(`nothing is stray on ${node}`, async () => {
    const files = await sandboxes(node);
    const running = await runningSandboxes(node);
    const known = files.map(hostTableOf);
    const stray = [
      ...files.filter(({ id }) => !running.has(id)).map(({ id, pod }) => `file ${id} of ${pod.name}`),
      ...(await hostTables(node)).filter((name) => !known.includes(name)),
    ];
    if (stray.length > 0) throw new Error(stray.join(', '));
  });
}
