// What is tried in an arena: see 51-attacks.test.ts.

import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { frameAttacks, ip4, serviceAttack, type Ear, type FrameAttack } from '../attack/frame-attacks.ts';
import { arpReply, portUnreachable4, routerAdvertisement, tcpSyn4, udp4 } from '../attack/frames.ts';
import type { Arena } from './arena.ts';
import { eventually } from './eventually.ts';
import { inNetns, onNode } from './node.ts';
import type { Pod } from './objects.ts';

export const protocols = ['tcp', 'udp'] as const;

/** Whether it got through. */
export interface Attack {
  readonly name: string;
  readonly run: (arena: Arena, patience: number) => Promise<boolean>;
}

/** All at once: most of them are waited for in vain. */
export const calls: readonly Attack[] = protocols.flatMap((proto) =>
  (
    [
      ["web's address on net1", ({ world }) => world.web.ipv4],
      ["web's address on net1, IPv6", ({ world }) => world.web.ipv6],
      ["web's address on net1, mapped into IPv6", ({ world }) => `::ffff:${world.web.ipv4}`],
      ["web's Pod IP", ({ world }) => world.web.podIPs[0]],
      ["web's Pod IP, IPv6", ({ world }) => world.web.podIPs[1]],
      ["a Service's IP, of web", ({ webServiceIP }) => webServiceIP],
    ] as readonly (readonly [string, (arena: Arena) => string])[]
  ).map(([where, host]) => ({
    name: `statsd calls ${where}, ${proto}`,
    run: async (arena, timeout) =>
      'server' in (await arena.statsd.call({ proto, host: host(arena), port: 9000, timeout })),
  })),
);

/** Needs that the peer forwards, as the primary does for clients of the Pod IP. */
const routed: FrameAttack = {
  name: 'another workload, with a peer as router',
  by: { device: 'net1' },
  heard: 'other eth0',
  frame: (token, { statsd, web, other }) =>
    ip4({ from: statsd.mac, to: web.mac }, { from: statsd.ipv4, to: other.ipv4 }, token),
};

export const frames: readonly FrameAttack[] = [
  ...frameAttacks.filter(({ name }) => name !== "eth0: to a peer's address on net1"),
  serviceAttack,
  routed,
];

/** Each by itself, in this order: what comes late would disturb what comes early. */
export const effects: readonly Attack[] = [
  ...(
    [
      { name: 'IP_TRANSPARENT', family: 'ipv4', option: { transparent: true } },
      { name: 'IPV6_FREEBIND, which needs no privilege', family: 'ipv6', option: { freebind: true } },
    ] as const
  ).map(({ name, family, option }) => ({
    name: `statsd sends as cache, by ${name}`,
    run: async ({ web, statsd, world }: Arena, patience: number) => {
      const source = world.cache[family];
      await statsd.call({ proto: 'udp', host: world.web[family], port: 9105, source, timeout: 0.1, ...option });
      return becomes(patience, async () => (await web.seen(9105)).some(([from]) => from.endsWith(source)));
    },
  })),
  {
    name: 'statsd tells web that cache is unreachable (a forged RELATED)',
    run: async ({ web, statsd, world }, patience) => {
      const host = world.cache.ipv4;
      expect(await web.open('related', { proto: 'udp', host, port: 6301, sport: 5000 })).to.have.property('server');
      const quoted = { from: world.web.ipv4, to: host };
      const mac = { from: world.statsd.mac, to: world.web.mac };
      const lie = portUnreachable4(mac, { from: world.statsd.ipv4, to: world.web.ipv4 }, quoted, 6301, 5000);
      await send(statsd, [lie]);
      const broken = await becomes(patience, async () => 'error' in (await web.again('related', 1)));
      await web.must('close', { key: 'related' });
      return broken;
    },
  },
  {
    name: 'statsd hears what web says to cache, when the bridge has forgotten them',
    run: async ({ web, statsd, world, devices, nodeName }, patience) => {
      const ageing = (time: number) =>
        onNode(nodeName, ['ip', 'link', 'set', devices.bridge, 'type', 'bridge', 'ageing_time', String(time)]);
      await statsd.must('sniff', { interface: 'net1' });
      await ageing(0);
      const said = await web.call({ proto: 'udp', host: world.cache.ipv4, port: 6301 });
      expect(said).to.have.property('server', 'cache');
      const pair = [world.web.ipv4, world.cache.ipv4].map((address) => hex4(address)).join('');
      const heard = await becomes(patience, () => statsd.must('heard', { interface: 'net1', token: pair }));
      await ageing(30_000);
      return heard;
    },
  },
  {
    name: 'ARP: statsd says that cache is at its MAC, and web believes it',
    run: async ({ web, statsd, world, pods }, patience) => {
      await web.call({ proto: 'tcp', host: world.cache.ipv4, port: 6301 });
      return becomes(patience, async () => {
        const mac = { from: world.statsd.mac, to: world.web.mac };
        await send(statsd, [arpReply(mac, { from: world.cache.ipv4, to: world.web.ipv4 })]);
        return (await inNetns(pods.web, ['ip', 'neighbour', 'show', world.cache.ipv4])).includes(world.statsd.mac);
      });
    },
  },
  {
    name: "spoofed SYNs fill web's connection table",
    run: async ({ statsd, world, pods }, patience) => {
      const before = await connections(pods.web);
      const mac = { from: world.statsd.mac, to: world.web.mac };
      const asCache = { from: world.cache.ipv4, to: world.web.ipv4 };
      await send(
        statsd,
        range(1025, 500).map((sport) => tcpSyn4(mac, asCache, 9000, sport)),
      );
      return becomes(patience, async () => (await connections(pods.web)) >= before + 400);
    },
  },
  {
    name: "an allowed flow fills web's connection table",
    run: async ({ statsd, world, pods }, patience) => {
      const before = await connections(pods.web);
      const mac = { from: world.statsd.mac, to: world.web.mac };
      const asSelf = { from: world.statsd.ipv4, to: world.web.ipv4 };
      await send(
        statsd,
        range(20_000, 25_000).map((sport) => udp4(mac, asSelf, 9102, sport)),
      );
      return becomes(patience, async () => (await connections(pods.web)) >= before + 20_000);
    },
  },
  {
    name: "frames between pieces fill the node's connection table (br_netfilter)",
    run: async ({ statsd, world, nodeName }, patience) => {
      const mac = { from: world.statsd.mac, to: world.web.mac };
      const asSelf = { from: world.statsd.ipv4, to: world.web.ipv4 };
      await send(
        statsd,
        range(1025, 500).map((sport) => udp4(mac, asSelf, 9102, sport)),
      );
      return becomes(patience, async () => {
        const known = await onNode(nodeName, ['conntrack', '-L', '-p', 'udp', '-d', world.web.ipv4]);
        return known.trim().split('\n').length >= 400;
      });
    },
  },
  {
    name: 'a router advertisement gives web an address and a way out',
    run: async ({ statsd, world, pods }, patience) => {
      await send(statsd, [routerAdvertisement(world.statsd.mac)]);
      return becomes(patience, async () =>
        (await inNetns(pods.web, ['ip', '-6', 'route', 'show', 'dev', 'net1'])).includes('fdba:d:'),
      );
    },
  },
];

/** Sends one frame after the other, then asks everybody. Returns the names of what was heard where it was meant to. */
export async function shoot(at: Arena, patience: number): Promise<ReadonlySet<string>> {
  const into = new Set<string>();
  const shots = frames.map((attack, index) => {
    const token = (0x7e57_0000_0000_0000n + BigInt(index) + BigInt(randomBytes(4).readUInt32BE()) * 65_536n).toString(
      16,
    );
    return { attack, token, data: attack.frame(token, at.world) };
  });
  for (const { attack, data } of shots) {
    const { device, bypass = false } = attack.by;
    await at.statsd.must('frames', { interface: device, data: [data].flat(), bypass });
  }
  // What is allowed went the same way behind them, and everybody has ears.
  await controls(at);
  await becomes(patience, async () => {
    for (const ear of Object.keys(at.ears) as readonly Ear[]) {
      const expected = shots.filter(({ attack }) => attack.heard === ear);
      const { who, device } = at.ears[ear];
      const tokens = expected.map(({ token }) => token);
      const heard = (await at[who].must('heardOf', { interface: device, tokens })) as readonly string[];
      for (const { attack } of expected.filter(({ token }) => heard.includes(token))) into.add(attack.name);
    }
    return into.size === shots.length;
  });
  return into;
}

/** Statsd may do this: where it is heard there are ears, and what was sent before has been there. */
async function controls({ statsd, world, ears, ...at }: Arena): Promise<void> {
  const token = randomBytes(8).toString('hex');
  const own = [
    ['net1', ip4({ from: world.statsd.mac, to: world.web.mac }, pairTo(world.web.ipv4), token, 9102)],
    ['eth0', ip4(eth0(world.nextHop.other), pairTo(world.other.ipv4, true), token)],
    ['eth0', ip4(eth0(world.nextHop.node), pairTo(world.outside.ipv4, true), token)],
  ] as const;
  for (const [device, data] of own) await statsd.must('frames', { interface: device, data: [data] });
  for (const ear of ['web net1', 'pod link', 'other eth0', 'outside eth0'] as const) {
    await eventually(
      `what is allowed is heard: ${ear}`,
      async () => {
        const { who, device } = ears[ear];
        const agents = { ...at, statsd };
        expect(await agents[who].must('heard', { interface: device, token })).to.equal(true);
      },
      10_000,
    );
  }

  function eth0(to: string) {
    return { from: world.statsd.eth0Mac, to };
  }
  function pairTo(to: string, byPodIP = false) {
    return { from: byPodIP ? world.statsd.podIPs[0] : world.statsd.ipv4, to };
  }
}
export function send(agent: Arena['statsd'], data: readonly string[]): Promise<unknown> {
  return agent.must('frames', { interface: 'net1', data });
}

async function connections(pod: Pod): Promise<number> {
  return Number((await inNetns(pod, ['conntrack', '-C'])).trim());
}

/** Whether it does within so many seconds. */
async function becomes(patience: number, condition: () => Promise<unknown>): Promise<boolean> {
  const end = performance.now() + 1000 * patience;
  do {
    if ((await condition()) === true) return true;
    await pause(50);
  } while (performance.now() < end);
  return false;
}

export function range(first: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}

function hex4(address: string): string {
  return Buffer.from(address.split('.').map(Number)).toString('hex');
}
