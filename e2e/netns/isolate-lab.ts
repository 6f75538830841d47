import { spawn } from 'node:child_process';
import { Agent, agentFile } from '../attack/agent.ts';
import { changes } from '../../controller/rules/changes.ts';
import { compileIsolateTable } from '../../controller/rules/isolate-table.ts';
import { formatIsolateWiring, parseIsolateWiring, type IsolateWiring } from '../../controller/rules/isolate-wiring.ts';
import { printTable, type Table } from '../../controller/rules/nft.ts';
import { heal, Namespace, run } from './namespace.ts';

export const node = { ipv4: '10.77.0.1', ipv6: 'fd77::1' } as const;
export const pod = { ipv4: '10.77.0.8', ipv6: 'fd77::8' } as const;
export const other = { ipv4: '10.77.0.9', ipv6: 'fd77::9' } as const;

/** cache serves web by TCP and UDP, and nobody else; the attacker declares nothing and is in no flow. */
export const wiring: IsolateWiring = {
  version: 1,
  mode: 'isolate',
  split: '0a1b2c3d4e',
  containers: [
    {
      name: 'web',
      uid: 1001,
      ports: [
        { port: 8080, protocol: 'tcp' },
        { port: 9903, protocol: 'udp' },
      ],
      probes: [8081],
    },
    {
      name: 'cache',
      uid: 1002,
      ports: [
        { port: 6379, protocol: 'tcp' },
        { port: 6380, protocol: 'tcp' },
        { port: 8125, protocol: 'udp' },
      ],
      probes: [],
    },
    { name: 'attacker', uid: 1003, ports: [], probes: [] },
  ],
  flows: [
    { from: 'web', to: 'cache', port: 6379, protocol: 'tcp' },
    { from: 'web', to: 'cache', port: 6380, protocol: 'tcp' },
    { from: 'web', to: 'cache', port: 8125, protocol: 'udp' },
  ],
};

/** Every address by which containers of one Pod reach each other. */
export const inside: readonly string[] = ['127.0.0.1', '::1', pod.ipv4, pod.ipv6, '::ffff:127.0.0.1'];

/** A process of the container's UID that opens sockets for us, as containers of one Pod share their network namespace. */
class Container extends Agent {
  constructor(namespace: Namespace, name: string, uid: number) {
    const user = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--no-new-privs'];
    // The system's own Python: the UIDs here may read no home.
    const python = ['/usr/bin/python3', '-u', agentFile, name];
    super(name, spawn('ip', ['netns', 'exec', namespace.name, 'setpriv', ...user, ...python]));
  }
}

/** A node with an isolated Pod and another Pod on it. */
export class IsolateLab {
  readonly node: Namespace;
  readonly other: Namespace;
  readonly pod: Namespace;
  readonly web: Container;
  readonly cache: Container;
  readonly attacker: Container;
  /** A UID that is no container's, and root. */
  readonly stranger: Container;
  #loaded: Table | undefined;

  constructor() {
    heal();
    this.node = new Namespace('node');
    this.other = new Namespace('other');
    this.pod = new Namespace('isolated');
    this.node.run(['ip', 'link', 'add', 'cni0', 'type', 'bridge']);
    this.node.run(['ip', 'link', 'set', 'cni0', 'up']);
    this.node.run(['ip', 'address', 'add', `${node.ipv4}/24`, 'dev', 'cni0']);
    this.node.run(['ip', 'address', 'add', `${node.ipv6}/64`, 'dev', 'cni0', 'nodad']);
    for (const each of [this.other, this.pod]) each.run(['sysctl', '-qw', 'net.ipv4.ping_group_range=0 2147483647']);
    this.#attach(this.other, [other.ipv4, other.ipv6]);
    this.#attach(this.pod, [pod.ipv4, pod.ipv6]);
    const [web, cache, attacker] = wiring.containers;
    this.web = new Container(this.pod, 'web', web!.uid);
    this.cache = new Container(this.pod, 'cache', cache!.uid);
    this.attacker = new Container(this.pod, 'attacker', attacker!.uid);
    this.stranger = new Container(this.pod, 'stranger', 1009);
  }

  /** As the node agent does at a sandbox' start. */
  wire(changed: Partial<IsolateWiring> = {}): void {
    const table = this.#compile(changed);
    this.pod.run(['nft', '-f', '-'], printTable(table));
    this.#loaded = table;
  }

  /** As the node agent does on a Pod that runs: by elements. */
  change(changed: Partial<IsolateWiring>): void {
    const table = this.#compile(changed);
    this.pod.run(['nft', '-f', '-'], changes(this.#loaded!, table) ?? 'another skeleton');
    this.#loaded = table;
  }

  unwire(): void {
    this.pod.run(['nft', 'flush', 'ruleset']);
  }

  counter(name: string): number {
    return Number(/packets (\d+)/.exec(this.pod.run(['nft', 'list', 'counter', 'inet', 'podsplit', name]))?.[1]);
  }

  tried(family: 4 | 6): string {
    return this.#set(`tried${family}`);
  }

  /** `mark from to protocol port, packets`, of both families; the mark in decimal. */
  recorded(name: 'tried' | 'audited' | 'used'): readonly string[] {
    const listed = [4, 6].map((family) => this.#set(`${name}${family}`)).join();
    const element = /0x([0-9a-f]{8}) \. (\S+) \. (\S+) \. (\S+) \. (\d+)[^,}]* counter packets (\d+)/g;
    return [...listed.matchAll(element)].map(
      ([, mark = '', from, to, protocol, port, packets]) =>
        `${parseInt(mark, 16)} ${from} ${to} ${protocol} ${port}, ${packets}`,
    );
  }

  end(): void {
    for (const each of [this.web, this.cache, this.attacker, this.stranger]) each.end();
    for (const each of [this.pod, this.other, this.node]) each.end();
  }

  #set(name: string): string {
    return this.pod.run(['nft', 'list', 'set', 'inet', 'podsplit', name]);
  }

  #compile(changed: Partial<IsolateWiring>): Table {
    const read = parseIsolateWiring(formatIsolateWiring({ ...wiring, ...changed }));
    return compileIsolateTable(read, { podIPs: [pod.ipv4, pod.ipv6], nodeIPs: [node.ipv4, node.ipv6] });
  }

  #attach(namespace: Namespace, addresses: readonly string[]): void {
    const port = `p-${namespace.label}`;
    run(['ip', 'link', 'add', port, 'netns', this.node.name, 'type', 'veth', 'peer', 'eth0', 'netns', namespace.name]);
    this.node.run(['ip', 'link', 'set', port, 'master', 'cni0', 'up']);
    for (const address of addresses) {
      const [length, noDad] = address.includes(':') ? ['64', ['nodad']] : ['24', []];
      namespace.run(['ip', 'address', 'add', `${address}/${length}`, 'dev', 'eth0', ...noDad]);
    }
    namespace.run(['ip', 'link', 'set', 'eth0', 'up']);
    namespace.run(['ip', 'route', 'add', 'default', 'via', node.ipv4]);
    namespace.run(['ip', '-6', 'route', 'add', 'default', 'via', node.ipv6]);
  }
}
