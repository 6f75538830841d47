// Proves on the running cluster what podsplit and its tests count on, from wires to policies:
//
//     node hack/cluster/smoke.ts
//
// Needs two nodes; works in a namespace of its own and removes it. Each check is a sentence and what shows it.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { build } from './build.ts';
import type { Builds } from './build.ts';
import { kubectl } from './control-plane.ts';
import { loadImages } from './load.ts';
import { withLock } from './lock.ts';
import { network, node } from './names.ts';
import { enter } from './nodes.ts';
import { here } from './paths.ts';
import { CommandFailed, main, run, until } from './run.ts';
import { readRunning } from './status.ts';

const namespace = 'podsplit-smoke';

interface Check {
  readonly promise: string;
  readonly test: () => Promise<void>;
}

const checks: readonly Check[] = [
  {
    promise: 'a Pod has IPv6',
    test: async () => {
      expect(await probe('client1', 'cat', '/proc/sys/net/ipv6/conf/all/disable_ipv6'), /^0$/m);
      expect(await probe('client1', 'link', 'eth0'), /address fd00:244:1::/);
    },
  },
  {
    promise: 'Pods reach each other across nodes, with their own addresses, in both families',
    test: async () => {
      const [client, server] = [await addressesOf('client2'), await addressesOf('server1')];
      expect(await get('client2', server.v4, 8080), `server1 ${client.v4}`);
      expect(await get('client2', server.v6, 8080), `server1 ${client.v6}`);
    },
  },
  {
    promise: 'a Service answers at its cluster addresses of both families',
    test: async () => {
      for (const address of (await jsonpath('service/server', '{.spec.clusterIPs[*]}')).split(' ')) {
        for (const client of ['client1', 'client2']) expect(await get(client, address, 80), /^server1/);
      }
    },
  },
  {
    promise: 'a NodePort answers on every node, in both families',
    test: async () => {
      for (const { address } of [node(1), node(2)]) {
        expect(await getFromMachine(address.v4, 30080), /^server1/);
        expect(await getFromMachine(address.v6, 30080), /^server1/);
      }
    },
  },
  {
    promise: 'a hostPort answers, in both families',
    test: async () => {
      expect(await getFromMachine(node(1).address.v4, 18080), /^server1/);
      expect(await getFromMachine(node(1).address.v6, 18080), /^server1/);
    },
  },
  {
    promise: 'DNS knows Services in both families and the world, and no other name',
    test: async () => {
      const addresses = await probe('client2', 'resolve', 'server');
      expect(addresses, /^10\.96\./m);
      expect(addresses, /^fd00:96::/m);
      expect(await probe('client2', 'resolve', 'kubernetes.default.svc.cluster.local'), /^10\.96\.0\.1$/m);
      expect(await probe('client2', 'resolve', 'world.example'), /^203\.0\.113\.1$/m);
      await refused(() => probe('client2', 'resolve', 'nobody.example'), /no such host/);
    },
  },
  {
    promise: 'the world outside answers at its addresses; the internet does not',
    test: async () => {
      const stop = await serveOutside();
      try {
        expect(await get('client1', '203.0.113.7', 8080), /^world 10\.244\.1\./);
        expect(await get('client2', '2001:db8::7', 8080), /^world fd00:244:2:/);
        await refused(() => get('client1', '192.0.2.1', 80), /timeout|deadline/i);
      } finally {
        stop();
      }
    },
  },
  {
    promise: 'the machine and the API server reach a Pod at its own address',
    test: async () => {
      const server = await addressesOf('server1');
      expect(await getFromMachine(server.v4, 8080), `server1 ${network.host.v4}`);
      expect(await getFromMachine(server.v6, 8080), `server1 ${network.host.v6}`);
      const proxy = `/api/v1/namespaces/${namespace}/pods/http:server1:8080/proxy/`;
      expect(await run(kubectl('get', '--raw', proxy)), `server1 ${network.host.v4}`);
    },
  },
  {
    promise: 'kubectl logs and port-forward work',
    test: async () => {
      await run(inNamespace('logs', 'server1'));
      const forward = spawn('/bin/sh', [
        '-c',
        'exec "$@" > /dev/null',
        'sh',
        ...inNamespace('port-forward', 'server1', '18081:8080'),
      ]);
      try {
        await until('the forwarded port', 10, async () =>
          /^server1/.test(await getFromMachine('127.0.0.1', 18081).catch(() => '')),
        );
      } finally {
        forward.kill();
      }
    },
  },
  {
    promise: 'a network by Multus has the addresses, MAC, MTU and settings it was given',
    test: async () => {
      const link = await probe('client1', 'link', 'net1');
      for (const line of ['mtu 65535', 'mac 02:00:5e:00:00:02', 'address 198.51.100.2/24', 'address fd00:51::2/64']) {
        expect(link, new RegExp(`^${line}$`, 'm'));
      }
      for (const [setting, value] of [
        ['ipv4/conf/net1/route_localnet', '1'],
        ['ipv4/conf/net1/rp_filter', '2'],
        ['ipv6/conf/net1/accept_ra', '0'],
        ['ipv4/ip_forward', '1'],
        ['ipv6/conf/all/forwarding', '1'],
      ] as const) {
        expect((await probe('client1', 'cat', `/proc/sys/net/${setting}`)).trim(), value);
      }
    },
  },
  {
    promise: 'Pods talk over that network, in both families',
    test: async () => {
      expect(await get('client1', '198.51.100.1', 8080), 'server1 198.51.100.2');
      expect(await get('client1', 'fd00:51::1', 8080), 'server1 fd00:51::2');
    },
  },
  {
    promise: 'on that network, frames from another MAC than the given one are dropped (macspoofchk)',
    test: async () => {
      const client = await namespaceWithMac('node1', '02:00:5e:00:00:02');
      const setMac = (mac: string): Promise<string> =>
        run(enter('node1', ['nsenter', `--net=${client}`, 'ip', 'link', 'set', 'net1', 'address', mac]));
      await setMac('02:00:5e:00:00:99');
      try {
        await refused(() => get('client1', '198.51.100.1', 8080), /timeout|deadline|no route/i);
      } finally {
        await setMac('02:00:5e:00:00:02');
      }
      expect(await get('client1', '198.51.100.1', 8080), /^server1/);
    },
  },
  {
    promise: 'a NetworkPolicy closes the server to one client and leaves it open to the other, in both families',
    test: async () => {
      const server = await addressesOf('server1');
      await run(inNamespace('label', 'pod', 'client2', 'admitted=yes', '--overwrite'));
      await run(inNamespace('apply', '-f', '-'), { input: JSON.stringify(admitLabelled) });
      await until(
        'the policy in force',
        20,
        async () => (await closed('client1', server.v4)) && closed('client1', server.v6),
      );
      expect(await get('client2', server.v4, 8080), /^server1/);
      expect(await get('client2', server.v6, 8080), /^server1/);
    },
  },
  {
    promise: 'Pod security refuses a privileged Pod in a restricted namespace',
    test: async () => {
      await run(
        kubectl('label', 'namespace', namespace, 'pod-security.kubernetes.io/enforce=restricted', '--overwrite'),
      );
      const image = '--image=localhost/podsplit/probe:1';
      await refused(() => run(inNamespace('run', 'bold', image, '--privileged')), /violates PodSecurity "restricted/);
    },
  },
  {
    promise: 'Multus on a node may read Pods and networks, and no Secrets',
    test: async () => {
      const can = (...what: readonly string[]): string[] =>
        inNamespace('auth', 'can-i', ...what, '--as=podsplit:multus');
      await run(can('get', 'pods'));
      await run(can('get', 'network-attachment-definitions'));
      await refused(() => run(can('get', 'secrets')), /exit 1/);
      await refused(() => run(can('delete', 'pods')), /exit 1/);
    },
  },
];

const admitLabelled = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'admitted-only' },
  spec: {
    podSelector: { matchLabels: { app: 'server' } },
    ingress: [{ from: [{ podSelector: { matchLabels: { admitted: 'yes' } } }] }],
  },
};

await main(async () => {
  const running = await readRunning();
  if (!running || running.nodes.length < 2) throw new Error('the smoke test needs a running cluster of two nodes');
  const builds = await withLock('smoke', build);
  await setStage(running.nodes, builds);
  try {
    const failed: string[] = [];
    for (const { promise, test } of checks) {
      const begin = Date.now();
      try {
        await patiently(test);
        console.log(`ok      ${promise} (${((Date.now() - begin) / 1000).toFixed(1)} s)`);
      } catch (error) {
        failed.push(promise);
        console.log(`FAILED  ${promise}\n        ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    if (failed.length > 0) throw new Error(`${failed.length} of ${checks.length} checks failed`);
  } finally {
    await run(kubectl('delete', 'namespace', namespace, '--wait=false'));
  }
});

/** Three tries: the probe gives up after two seconds, and a busy machine may take longer to answer. */
async function patiently(test: () => Promise<void>): Promise<void> {
  for (let left = 2; ; left--) {
    try {
      await test();
      return;
    } catch (error) {
      if (left === 0) throw error;
    }
  }
}

async function setStage(nodes: readonly string[], builds: Builds): Promise<void> {
  await loadImages([builds.probe], nodes);
  await run(kubectl('delete', 'namespace', namespace, '--ignore-not-found'));
  await run(kubectl('create', 'namespace', namespace));
  const account = kubectl('--namespace', namespace, 'get', 'serviceaccount', 'default');
  await until('the default ServiceAccount', 20, () =>
    run(account).then(
      () => true,
      () => false,
    ),
  );
  await run(kubectl('apply', '-f', join(here, 'manifests/smoke.yaml')));
  await run(inNamespace('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=60s'));
}

function inNamespace(...args: readonly string[]): string[] {
  return kubectl('--namespace', namespace, ...args);
}

/** Runs the probe inside a Pod, by kubectl exec. */
function probe(pod: string, ...args: readonly string[]): Promise<string> {
  return run(inNamespace('exec', pod, '--', '/probe', ...args));
}

function url(address: string, port: number): string {
  return `http://${address.includes(':') ? `[${address}]` : address}:${port}/`;
}

function get(pod: string, address: string, port: number): Promise<string> {
  return probe(pod, 'get', url(address, port));
}

async function getFromMachine(address: string, port: number): Promise<string> {
  const response = await fetch(url(address, port), { signal: AbortSignal.timeout(2000) });
  return response.text();
}

async function closed(pod: string, address: string): Promise<boolean> {
  return get(pod, address, 8080).then(
    () => false,
    () => true,
  );
}

function jsonpath(object: string, path: string): Promise<string> {
  return run(inNamespace('get', object, '-o', `jsonpath=${path}`));
}

async function addressesOf(pod: string): Promise<{ v4: string; v6: string }> {
  const [v4 = '', v6 = ''] = (await jsonpath(`pod/${pod}`, '{.status.podIPs[*].ip}')).split(' ');
  return { v4, v6 };
}

/** The path, inside a node, of the Pod network namespace whose net1 has this MAC. */
async function namespaceWithMac(name: string, mac: string): Promise<string> {
  const search =
    'for n in /run/netns/cni-*; do nsenter --net=$n ip link show net1 2>&1 | grep -q "$1" && echo $n; done';
  return (await run(enter(name, ['/bin/sh', '-c', `${search}; true`, 'sh', mac]))).trim();
}

/** A server in the namespace that plays the world; the caller stops it. */
async function serveOutside(): Promise<() => void> {
  const binary = join((await withLock('smoke', build)).bin.probe, 'probe');
  const [command = '', ...args] = enter('outside', [binary, 'serve', 'world', ':8080']);
  const server = spawn(command, args, { stdio: 'ignore' });
  await new Promise((resolve) => setTimeout(resolve, 300));
  return () => server.kill();
}

function expect(got: string, wanted: string | RegExp): void {
  const fits = typeof wanted === 'string' ? got.trim() === wanted : wanted.test(got);
  if (!fits) throw new Error(`expected ${String(wanted)}, got: ${got.trim()}`);
}

async function refused(action: () => Promise<string>, reason: RegExp): Promise<void> {
  let answer: string;
  try {
    answer = await action();
  } catch (error) {
    if (error instanceof CommandFailed && reason.test(error.message)) return;
    throw error;
  }
  throw new Error(`expected to be refused, got: ${answer.trim()}`);
}
