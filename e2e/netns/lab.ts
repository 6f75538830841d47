import { changes } from '../../controller/rules/changes.ts';
import { compile, compileTable } from '../../controller/rules/compile.ts';
import { hostLinks } from '../../controller/rules/host-links.ts';
import { compileHost, hostTable, hostTableName, type HostSide } from '../../controller/rules/host.ts';
import { links } from '../../controller/rules/links.ts';
import { requiredSysctls } from '../../controller/rules/sysctls.ts';
import { formatWiring, parseWiring } from '../../controller/rules/wiring-json.ts';
import type { FacadePort, Local, Wiring } from '../../controller/rules/wiring.ts';
import type { Flow } from '../../controller/api/flow.ts';
import { heal, Namespace, run } from './namespace.ts';

export interface Site {
  readonly name: string;
  readonly role: 'primary' | 'sibling';
  readonly mac: string;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly podIPs: readonly [string, string];
}

function site(name: string, role: 'primary' | 'sibling', last: number): Site {
  return {
    name,
    role,
    mac: `0a:58:c6:12:00:0${last}`,
    ipv4: `198.18.0.${last}`,
    ipv6: `fd99:18::${last}`,
    podIPs: [`10.77.0.${last}`, `fd77::${last}`],
  };
}

export const sites = {
  web: site('web', 'primary', 2),
  cache: site('cache', 'sibling', 3),
  statsd: site('statsd', 'sibling', 4),
} as const;

export type PieceName = keyof typeof sites;

export const node = { ipv4: '10.77.0.1', ipv6: 'fd77::1' } as const;
export const whole = { ipv4: '10.77.0.8', ipv6: 'fd77::8' } as const;
/** Another Pod on the same node, and a client beyond the node. */
export const otherPod = { ipv4: '10.77.0.9', ipv6: 'fd77::9' } as const;
export const outside = { ipv4: '192.0.2.9', ipv6: '2001:db8::9' } as const;

/** Where servers listen in the tests, and at which port. */
export const listeners = [
  { port: 6301, host: '0.0.0.0', dual: false },
  { port: 6302, host: '127.0.0.1', dual: false },
  { port: 6303, host: '::', dual: true },
  { port: 6304, host: '::1', dual: false },
] as const;

/** web calls cache's listeners; both may send to statsd; statsd may fetch web's 9102, and cache send to its 9105. */
export const flows: readonly Flow[] = [
  ...listeners.flatMap(({ port }): Flow[] => [
    { from: 'web', to: 'cache', port, protocol: 'tcp' },
    { from: 'web', to: 'cache', port, protocol: 'udp' },
  ]),
  { from: 'web', to: 'statsd', port: 8125, protocol: 'udp' },
  { from: 'cache', to: 'statsd', port: 8125, protocol: 'udp' },
  { from: 'statsd', to: 'web', port: 9102, protocol: 'tcp' },
  { from: 'statsd', to: 'web', port: 9102, protocol: 'udp' },
  { from: 'cache', to: 'web', port: 9105, protocol: 'udp' },
];

/** The Pod's address serves cache's 6303 (which web may call too), cache's 7000 (which no piece may) and statsd's. */
export const facade: readonly FacadePort[] = [
  { piece: 'cache', port: 6303, protocol: 'tcp' },
  { piece: 'cache', port: 7000, protocol: 'tcp' },
  { piece: 'cache', port: 7000, protocol: 'udp' },
  { piece: 'statsd', port: 8125, protocol: 'udp' },
];

export function wiringOf(piece: PieceName, changed: Partial<Wiring> = {}): Wiring {
  const { name: _name, role, ...self } = sites[piece];
  return {
    version: 1,
    split: '0a1b2c3d4e',
    piece,
    role,
    release: 'go',
    self,
    peers: Object.values(sites).filter(({ name }) => name !== piece),
    pool: { ipv4: '198.18.0.0/15', ipv6: 'fd99:18::/64' },
    flows,
    facade,
    ...changed,
  };
}

export function localOf(piece: PieceName): Local {
  return { podIPs: sites[piece].podIPs, nodeIPs: [node.ipv4, node.ipv6], mtu: 1500 };
}

export function eth0Mac(mac: string): string {
  return mac.replace('0a:58', '0a:00');
}

function sandboxOf(piece: PieceName): string {
  return `sandbox-${piece}`.slice(0, 12);
}

export function hostSideOf(piece: PieceName, link: HostSide['link'], changed: Partial<Wiring> = {}): HostSide {
  const wiring = wiringOf(piece, changed);
  return {
    sandbox: sandboxOf(piece),
    wiring,
    net1: { device: `net1-${piece}` },
    eth0: {
      device: `eth0-${piece}`,
      mac: eth0Mac(sites[piece].mac),
      podIPs: sites[piece].podIPs,
      nodeIPs: localOf(piece).nodeIPs,
    },
    peerDevices: Object.fromEntries(wiring.peers.map(({ name }) => [name, `net1-${name}`])),
    link,
  };
}

/** A node with its Pods, as the CNI plugins would make them: eth0s on a routed bridge, net1s on the peer bridge. */
export class Lab {
  readonly node = new Namespace('node');
  readonly other = new Namespace('other');
  readonly outside = new Namespace('outside');
  readonly web = new Namespace('web');
  readonly cache = new Namespace('cache');
  readonly statsd = new Namespace('statsd');
  /** The same Pod unsplit: what its programs see is what they shall see in pieces. */
  readonly whole = new Namespace('whole');

  static start(): Lab {
    heal();
    return new Lab();
  }

  private constructor() {
    this.#makeNode();
    this.#attachEth0(this.whole, '0a:00:00:00:00:08', [whole.ipv4, whole.ipv6]);
    this.#attachEth0(this.other, '0a:00:00:00:00:09', [otherPod.ipv4, otherPod.ipv6]);
    for (const piece of this.pieces()) {
      const { podIPs, mac } = sites[piece];
      this.#attachEth0(this[piece], eth0Mac(mac), podIPs);
      this.attach(piece);
    }
  }

  pieces(): readonly PieceName[] {
    return ['web', 'cache', 'statsd'];
  }

  /** net1 as the plugins `bridge` and `tuning` make it. */
  attach(piece: PieceName): void {
    const pod = this[piece];
    const { mac, ipv4, ipv6 } = sites[piece];
    this.#veth(pod, 'net1', 'ps-peers', mac, 65535);
    for (const address of [`${ipv4}/15`, `${ipv6}/64`]) pod.run(addressAdd(address, 'net1'));
    pod.run(['ip', 'link', 'set', 'net1', 'up']);
    // Many nodes have strict reverse path filtering on "all", and new namespaces take it over.
    pod.run(['sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=1']);
    const settings = Object.entries(requiredSysctls).map(([key, value]) => `${key.replace('IFNAME', 'net1')}=${value}`);
    pod.run(['sysctl', '-qw', ...settings]);
  }

  /** As before the first of them. */
  detach(piece: PieceName): void {
    this[piece].run(['sh', '-c', '[ ! -e /sys/class/net/net1 ] || ip link delete net1']);
  }

  /** What `podsplit init` does, without its waiting. */
  wire(piece: PieceName, changed: Partial<Wiring> = {}): void {
    const wiring = parseWiring(formatWiring(wiringOf(piece, changed)));
    const local = localOf(piece);
    this[piece].run(['nft', '-f', '-'], compile(wiring, local));
    this.link(piece, changed);
  }

  link(piece: PieceName, changed: Partial<Wiring> = {}): void {
    const batches = links(wiringOf(piece, changed), localOf(piece));
    this[piece].run(['ip', '-4', '-batch', '-'], `${batches.ipv4.join('\n')}\n`);
    this[piece].run(['ip', '-6', '-batch', '-'], `${batches.ipv6.join('\n')}\n`);
    for (const family of batches.once.length === 0 ? [] : ['-4', '-6']) {
      this[piece].run(['sh', '-c', `ip ${family} ${batches.once.join(' ')} 2>/dev/null || true`]);
    }
  }

  /** What the node agent does to a wired piece: from one wiring to another by elements. */
  change(piece: PieceName, before: Partial<Wiring>, after: Partial<Wiring>): void {
    const [loaded, wanted] = [before, after].map((changed) => compileTable(wiringOf(piece, changed), localOf(piece)));
    this[piece].run(['nft', '-f', '-'], changes(loaded!, wanted!) ?? 'another skeleton');
  }

  /** The node's side of a piece, as the node agent would load it. */
  guard(piece: PieceName, link: HostSide['link'], changed: Partial<Wiring> = {}): void {
    const side = hostSideOf(piece, link, changed);
    this.node.run(['nft', '-f', '-'], compileHost(side));
    this.node.run(['bridge', '-batch', '-'], `${hostLinks(side).join('\n')}\n`);
  }

  guardAll(link: HostSide['link'], changed: Partial<Wiring> = {}): void {
    for (const piece of this.pieces()) this.guard(piece, link, changed);
  }

  unguardAll(): void {
    this.node.run(['nft', 'flush', 'ruleset']);
    for (const piece of this.pieces()) {
      const port = `net1-${piece}`;
      this.node.run([
        'bridge',
        'link',
        'set',
        'dev',
        port,
        'flood',
        'on',
        'mcast_flood',
        'on',
        'bcast_flood',
        'on',
        'learning',
        'on',
      ]);
      this.node.run(['bridge', 'fdb', 'del', sites[piece].mac, 'dev', port, 'master', 'static']);
    }
  }

  /** From one side to another by elements. */
  changeHost(before: HostSide, after: HostSide): void {
    this.node.run(['nft', '-f', '-'], changes(hostTable(before), hostTable(after)) ?? 'another skeleton');
  }

  /** Packets that a counter of the piece's table on the node has seen. */
  hostCounter(piece: PieceName, name: string): number {
    const table = hostTableName(sandboxOf(piece));
    return Number(/packets (\d+)/.exec(this.node.run(['nft', 'list', 'counter', 'netdev', table, name]))?.[1]);
  }

  wireAll(): void {
    for (const piece of this.pieces()) this.wire(piece);
  }

  unwireAll(): void {
    for (const piece of this.pieces()) this[piece].run(['nft', 'flush', 'ruleset']);
  }

  /** Packets that a counter of the piece's table has seen. */
  counter(piece: PieceName, name: string): number {
    const listed = this[piece].run(['nft', 'list', 'counter', 'inet', 'podsplit', name]);
    return Number(/packets (\d+)/.exec(listed)?.[1]);
  }

  /** What the piece's table recorded as denied. */
  tried(piece: PieceName, family: 4 | 6): string {
    return this[piece].run(['nft', 'list', 'set', 'inet', 'podsplit', `tried${family}`]);
  }

  end(): void {
    for (const each of [this.web, this.cache, this.statsd, this.whole, this.other, this.outside, this.node]) each.end();
  }

  #makeNode(): void {
    for (const [bridge, mtu] of [
      ['cni0', 1500],
      ['ps-peers', 65535],
    ]) {
      this.node.run(['ip', 'link', 'add', String(bridge), 'type', 'bridge']);
      this.node.run(['ip', 'link', 'set', String(bridge), 'mtu', String(mtu), 'up']);
    }
    this.node.run([
      'sysctl',
      '-qw',
      'net.ipv4.ip_forward=1',
      'net.ipv6.conf.all.forwarding=1',
      'net.ipv4.conf.all.rp_filter=0',
    ]);
    this.node.run(['ip', 'address', 'add', `${node.ipv4}/24`, 'dev', 'cni0']);
    this.node.run(['ip', 'address', 'add', `${node.ipv6}/64`, 'dev', 'cni0', 'nodad']);
    run([
      'ip',
      'link',
      'add',
      'up0',
      'netns',
      this.node.name,
      'type',
      'veth',
      'peer',
      'eth0',
      'netns',
      this.outside.name,
    ]);
    const link = { node: ['192.0.2.1/24', '2001:db8::1/64'], outside: [`${outside.ipv4}/24`, `${outside.ipv6}/64`] };
    for (const [where, device, addresses] of [
      [this.node, 'up0', link.node],
      [this.outside, 'eth0', link.outside],
    ] as const) {
      for (const address of addresses) where.run(addressAdd(address, device));
      where.run(['ip', 'link', 'set', device, 'up']);
    }
    this.outside.run(['ip', 'route', 'add', 'default', 'via', '192.0.2.1']);
    this.outside.run(['ip', '-6', 'route', 'add', 'default', 'via', '2001:db8::1']);
  }

  #veth(pod: Namespace, device: string, bridge: string, mac: string, mtu: number): void {
    const port = `${device}-${pod.label}`;
    run(['ip', 'link', 'add', port, 'netns', this.node.name, 'type', 'veth', 'peer', device, 'netns', pod.name]);
    pod.run(['ip', 'link', 'set', device, 'address', mac, 'mtu', String(mtu)]);
    this.node.run(['ip', 'link', 'set', port, 'mtu', String(mtu), 'master', bridge, 'up']);
  }

  #attachEth0(pod: Namespace, mac: string, [ipv4, ipv6]: readonly [string, string]): void {
    this.#veth(pod, 'eth0', 'cni0', mac, 1500);
    pod.run(addressAdd(`${ipv4}/24`, 'eth0'));
    pod.run(addressAdd(`${ipv6}/64`, 'eth0'));
    pod.run(['ip', 'link', 'set', 'eth0', 'up']);
    pod.run(['ip', 'route', 'add', 'default', 'via', node.ipv4]);
    pod.run(['ip', '-6', 'route', 'add', 'default', 'via', node.ipv6]);
  }
}

function addressAdd(address: string, device: string): readonly string[] {
  return ['ip', 'address', 'add', address, 'dev', device, ...(address.includes(':') ? ['nodad'] : [])];
}
