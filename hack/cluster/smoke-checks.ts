// What podsplit and its tests count on, as a list: each check is a sentence and what shows it.

import { spawn } from 'node:child_process';
import { kubectl } from './control-plane.ts';
import { network, node } from './names.ts';
import { enter } from './nodes.ts';
import { run, until } from './run.ts';
import {
  addressesOf,
  closed,
  expect,
  get,
  getFromMachine,
  inNamespace,
  jsonpath,
  namespace,
  namespaceWithMac,
  probe,
  refused,
  serveOutside,
} from './smoke-tools.ts';

export interface Check {
  readonly promise: string;
  readonly test: () => Promise<void>;
}

export const checks: readonly Check[] = [
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
