import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { workloadKey } from '../../controller/api/identity.ts';
import { networkAttachmentDefinition } from '../../controller/policies/nad.ts';
import { mirrorOfAnnotation } from '../../controller/api/names.ts';
import type { KubeClient } from '../../controller/kube/client.ts';
import { connect } from '../../controller/kube/connect.ts';
import { resources } from '../../controller/kube/resources.ts';
import { defaultNetworkSpec } from '../../controller/api/default-network.ts';
import { startKubectl } from '../demo/command.ts';
import { imageReference } from '../images/recipes.ts';
import { kubeconfig, kubectl, tryKubectl } from '../kubectl.ts';
import { median, percentile, type Figure } from './figures.ts';

const namespace = 'podsplit-bench-agent';
const node = 'node1';
const addRounds = 15;
const changeRounds = 8;
/** Two pieces each. */
const manyPods = 50;
const idleSeconds = 60;
const repository = join(import.meta.dirname, '..', '..');

/** Only the embedded cluster's nodes can be entered. */
export async function benchAgent(): Promise<readonly Figure[]> {
  removeNamespace();
  kubectl(['create', 'namespace', namespace]);
  try {
    return [benchAdd(), await benchChange(), await benchMirror(), ...(await benchMany())];
  } finally {
    removeNamespace();
  }
}

function removeNamespace(): void {
  tryKubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--wait=true']);
}

interface Made {
  readonly metadata: { readonly name: string; readonly uid: string };
}

function container(name: string, command: readonly string[], ports: readonly number[] = []): object {
  return {
    name,
    image: imageReference('samples'),
    imagePullPolicy: 'IfNotPresent',
    command,
    ports: ports.map((containerPort) => ({ containerPort })),
    resources: { requests: { cpu: '1m', memory: '4Mi' } },
  };
}

const idle = ['sleep', 'infinity'];

function pod(name: string, containers: readonly object[], annotations: Readonly<Record<string, string>>): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, annotations },
    spec: {
      terminationGracePeriodSeconds: 0,
      automountServiceAccountToken: false,
      nodeSelector: { 'kubernetes.io/hostname': node },
      containers,
    },
  };
}

function apply(...items: readonly object[]): void {
  kubectl(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
}

function get(name: string): Made {
  return JSON.parse(kubectl(['-n', namespace, 'get', 'pod', name, '-o', 'json'])) as Made;
}

/** Without limits, which would be measured too. */
const splitMode = { 'podsplit.io/mode': 'split', 'podsplit.io/install': 'node', 'podsplit.io/guards': 'token' };

/**
 * The whole ADD of a Pod by Multus, eth0 included: of a split Pod, and of a plain one whose NAD is the same but for our
 * plugin. In turns, so that a change of the machine's mood meets both.
 */
function benchAdd(): Figure {
  const workload = { apiVersion: 'v1', kind: 'Pod', namespace, name: 'plain', uid: 'bench' };
  const network = { name: 'default', spec: { ...defaultNetworkSpec, macSpoofCheck: false } };
  const generated = networkAttachmentDefinition({ workload, install: 'init', network });
  // Only podsplit may make networks and bridges of its own names.
  const config = generated.spec.config.replaceAll(workloadKey(workload), 'bench').replaceAll('podsplit-', 'plain-');
  const nad = { ...generated, metadata: { name: 'plain', namespace }, spec: { config: config.replace('ps-', 'bn-') } };
  const addresses = JSON.stringify([{ name: 'plain', interface: 'net1', ips: ['198.51.100.2/24', 'fd00:be::2/64'] }]);
  apply(
    nad,
    pod('plain', [container('app', idle)], { 'k8s.v1.cni.cncf.io/networks': addresses }),
    pod('split', [container('app', idle), container('helper', idle, [7000])], splitMode),
  );
  kubectl(['-n', namespace, 'wait', '--for=condition=Ready', 'pod/plain', 'pod/split', '--timeout=90s']);
  const pods = ['split', 'plain'].map((name) => ({ namespace, name, uid: get(name).metadata.uid }));
  const [split = [], plain = []] = JSON.parse(
    onNode([process.execPath, join(import.meta.dirname, 'cni-chain.ts'), String(addRounds), JSON.stringify(pods)]),
  ) as readonly (readonly number[])[];
  kubectl(['-n', namespace, 'delete', 'pod', 'plain', 'split', '--wait=false']);
  return {
    name: 'CNI ADD of a piece, by Multus, p50',
    value: `${median(split).toFixed(0)} ms`,
    against: `${median(plain).toFixed(0)} ms without the plugin`,
    ratio: median(split.map((took, index) => took / (plain[index] ?? Number.NaN))),
    goal: '1.25 or less',
  };
}

const server = `
import socket
listener = socket.create_server(('127.0.0.1', 7000))
while True:
    connection, _ = listener.accept(); connection.close()
`;

/** Connects as fast as it can, and says when that first works, and when it no longer does: milliseconds since the epoch. */
const client = `
import socket, time
def works():
    try: socket.create_connection(('127.0.0.1', 7000), 0.2).close(); return True
    except OSError: return False
while not works(): pass
print(time.time() * 1000, flush=True)
while works(): pass
print(time.time() * 1000, flush=True)
`;

/** From the answer to the change of the annotation until the first connection that fails: controller and agent in between. */
async function benchChange(): Promise<Figure> {
  apply(pod('change', [container('client', idle), container('server', ['python3', '-c', server], [7000])], splitMode));
  kubectl(['-n', namespace, 'wait', '--for=condition=Ready', 'pod/change', '--timeout=90s']);
  const times: number[] = [];
  for (let round = 0; round < changeRounds; round++) {
    annotate('client->server:7000');
    const calls = startKubectl([
      ...['-n', namespace, 'exec', 'change', '-c', 'client', '--'],
      ...['python3', '-c', client],
    ]);
    await calls.spoke;
    annotate('none');
    const changed = Date.now();
    const { status, stdout, output } = await calls.ended;
    if (status !== 0) throw new Error(output);
    times.push(Number(stdout.trim().split('\n').at(-1)) - changed);
  }
  kubectl(['-n', namespace, 'delete', 'pod', 'change', '--wait=false']);
  const p90 = percentile(times, 0.9);
  return {
    name: 'flow taken from a running Pod, until it is enforced, p50',
    value: `${Math.max(0, median(times)).toFixed(0)} ms (p90 ${Math.max(0, p90).toFixed(0)} ms)`,
    goal: '1 s',
  };
}

function annotate(flows: string): void {
  kubectl(['-n', namespace, 'annotate', '--overwrite', 'pod', 'change', `podsplit.io/flows=${flows}`]);
}

const mirrored = 'clients';

/** From sending a change of a user's NetworkPolicy until a watch tells of that of the mirror which repeats it for siblings. */
async function benchMirror(): Promise<Figure> {
  apply(pod('web', [container('app', idle), container('helper', idle, [7000])], splitMode));
  kubectl(['-n', namespace, 'label', 'pod', 'web', 'app=web']);
  kubectl(['-n', namespace, 'wait', '--for=condition=Ready', 'pod/web', '--timeout=90s']);
  const watching = connect({ kubeconfig });
  try {
    const times: number[] = [];
    for (let round = 0; round < changeRounds; round++) times.push(await untilMirrored(watching, 7000 + round));
    return {
      name: 'a change of a NetworkPolicy, until its mirror follows, p50',
      value: `${median(times).toFixed(0)} ms (p90 ${percentile(times, 0.9).toFixed(0)} ms)`,
      goal: '1 s',
    };
  } finally {
    watching.close();
    kubectl(['-n', namespace, 'delete', 'networkpolicy', mirrored, '--ignore-not-found']);
    kubectl(['-n', namespace, 'delete', 'pod', 'web', '--wait=false']);
  }
}

/** The policy lets in the split Pod, whose siblings have labels of their own. */
async function untilMirrored(watching: KubeClient, port: number): Promise<number> {
  const { resourceVersion } = await watching.list(resources.networkPolicies, { namespace });
  const events = watching.watch(resources.networkPolicies, { namespace, resourceVersion, timeoutSeconds: 60 });
  const from = [{ podSelector: { matchLabels: { app: 'web' } } }];
  const body = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: mirrored, namespace },
    spec: { podSelector: { matchLabels: { app: 'db' } }, ingress: [{ from, ports: [{ port }] }] },
  };
  const began = performance.now();
  const changed = watching.patch(resources.networkPolicies, { namespace, name: mirrored }, { type: 'apply', body });
  for await (const event of events) {
    if (event.type === 'BOOKMARK' || event.type === 'ERROR') continue;
    if (event.object.metadata.annotations?.[mirrorOfAnnotation] !== mirrored) continue;
    const took = performance.now() - began;
    await changed;
    return took;
  }
  throw new Error(`no mirror of ${mirrored} changed within a minute`);
}

/** What an agent takes that keeps a hundred pieces, while nothing happens. */
async function benchMany(): Promise<readonly Figure[]> {
  const template = pod('', [container('app', idle), container('helper', idle, [7000])], splitMode) as {
    readonly metadata: { readonly annotations: object };
    readonly spec: object;
  };
  const labels = { app: 'many' };
  apply({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'many', namespace },
    spec: {
      replicas: manyPods,
      progressDeadlineSeconds: 900,
      selector: { matchLabels: labels },
      template: { metadata: { labels, annotations: template.metadata.annotations }, spec: template.spec },
    },
  });
  const started = performance.now();
  kubectl(['-n', namespace, 'rollout', 'status', 'deployment/many', '--timeout=800s']);
  const seconds = (performance.now() - started) / 1000;
  const before = agentFigures();
  await sleep(idleSeconds * 1000);
  const after = agentFigures();
  const share = (after.cpuSeconds - before.cpuSeconds) / idleSeconds;
  return [
    { name: `${manyPods} split Pods of two pieces on one node, until all are ready`, value: `${seconds.toFixed(0)} s` },
    { name: 'agent with 100 pieces, working set', value: `${workingSet().toFixed(0)} MiB`, goal: '64 MiB' },
    {
      name: 'agent with 100 pieces, resident memory, Node itself included',
      value: `${after.mebibytes.toFixed(0)} MiB`,
    },
    {
      name: 'agent with 100 pieces, processor while nothing happens',
      value: `${(100 * share).toFixed(1)} % of a core`,
    },
  ];
}

interface Summary {
  readonly pods: readonly {
    readonly podRef: { readonly namespace: string };
    readonly containers?: readonly { readonly memory?: { readonly workingSetBytes?: number } }[];
  }[];
}

/** As the kubelet counts it, and `kubectl top` shows it: what the container holds that the node cannot take back. */
function workingSet(): number {
  const summary = JSON.parse(kubectl(['get', '--raw', `/api/v1/nodes/${node}/proxy/stats/summary`])) as Summary;
  const own = summary.pods.filter(({ podRef }) => podRef.namespace === 'podsplit-node');
  return (own[0]?.containers?.[0]?.memory?.workingSetBytes ?? Number.NaN) / 1024 / 1024;
}

function agentFigures(): { readonly mebibytes: number; readonly cpuSeconds: number } {
  const agent = kubectl([
    ...['-n', 'podsplit-node', 'get', 'pods', '-l', 'app.kubernetes.io/component=agent'],
    ...['--field-selector', `spec.nodeName=${node}`, '-o', 'jsonpath={.items[0].status.hostIP}'],
  ]);
  const text = execFileSync('curl', ['-sS', '-f', '-m', '10', `http://${agent.trim()}:9471/metrics`], {
    encoding: 'utf8',
  });
  const value = (name: string): number => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
  return {
    mebibytes: value('process_resident_memory_bytes') / 1024 / 1024,
    cpuSeconds: value('process_cpu_seconds_total'),
  };
}

function onNode(command: readonly string[]): string {
  return execFileSync(join(repository, 'hack/cluster/enter.sh'), [node, ...command], { encoding: 'utf8' });
}
