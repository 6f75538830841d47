// What a compromised container tries, in real Pods: root, with CAP_NET_RAW. Each attack is tried first between plain Pods on
// a plain bridge (or, where it is about loopback, in one Pod), where it succeeds, and then from a piece of a split Pod.
//
// The rows of the list of known attacks that are not tried here:
//
// | attack | why not |
// | --- | --- |
// | AF_XDP | needs a program that loads BPF, which CAP_NET_RAW alone may not do here; it sends below the piece's table as |
// |        | PACKET_QDISC_BYPASS does, and meets the same filter on the node |
// | a reply's direction used for requests, within a UDP flow | stays open: docs/security.md says so |
// | eth0: to a peer's address on net1 | on a routed link the node sends it to its own default route, split or not; |
// |        | e2e/netns tries it on a bridge |
// | a race at the start | 50-race.test.ts |

import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'chai';
import { networksAnnotation } from '../controller/api/names.ts';
import type { Answer } from './attack/agent.ts';
import { frameAttacks, ip4, serviceAttack, type Ear, type FrameAttack } from './attack/frame-attacks.ts';
import { arpReply, portUnreachable4, routerAdvertisement, tcpSyn4, udp4 } from './attack/frames.ts';
import { barePod, splitMode } from './support/agents.ts';
import {
  agentInPod,
  arena,
  arenaContainer,
  arenaSpec,
  listenInArena,
  parties,
  surroundings,
  type Arena,
  type PartyName,
  type Surroundings,
} from './support/arena.ts';
import { eventually } from './support/eventually.ts';
import { listAll, TestNamespace } from './support/namespace.ts';
import { denials, inNetns, onNode } from './support/node.ts';
import type { Pod } from './support/objects.ts';
import { readySplitPods } from './support/pieces.ts';

const bare = `e2e${randomBytes(4).toString('hex')}`;
/** web's 9000 is in no flow, 9102 is statsd's to call, 9105 cache's; cache's 6301 is web's. */
const flows = [
  'statsd->web:9102',
  'statsd->web:9102/udp',
  'cache->web:9105/udp',
  'web->cache:6301',
  'web->cache:6301/udp',
];
const protocols = ['tcp', 'udp'] as const;

/** Nobody but their peers shall call them: Services of a port that no container declares. */
function service(name: string, app: string, port: number, targetPort: number) {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: {
      selector: { app },
      ports: protocols.map((name) => ({ name, protocol: name.toUpperCase(), port, targetPort })),
    },
  };
}

/** The plugins that podsplit's own networks are made of, and nothing of podsplit. */
const bareNetwork = {
  apiVersion: 'k8s.cni.cncf.io/v1',
  kind: 'NetworkAttachmentDefinition',
  metadata: { name: 'bare' },
  spec: {
    config: JSON.stringify({
      cniVersion: '1.0.0',
      name: 'bare',
      type: 'bridge',
      bridge: bare,
      capabilities: { ips: true },
      ipam: { type: 'static' },
    }),
  },
};

function plainPod(name: PartyName, index: number, node: string) {
  const networks = [{ name: 'bare', ips: [`10.99.7.${index + 2}/24`, `fd99:7::${index + 2}/64`] }];
  const annotations = { [networksAnnotation]: JSON.stringify(networks) };
  return barePod(`plain-${name}`, arenaSpec(node, [arenaContainer(name)]), annotations);
}

const declared = {
  web: [{ containerPort: 9102 }, { containerPort: 9102, protocol: 'UDP' }, { containerPort: 9105, protocol: 'UDP' }],
  cache: [{ containerPort: 6301 }, { containerPort: 6301, protocol: 'UDP' }],
  statsd: [],
};

/** Whether it got through. */
interface Attack {
  readonly name: string;
  readonly run: (arena: Arena, patience: number) => Promise<boolean>;
}

/** All at once: most of them are waited for in vain. */
const calls: readonly Attack[] = protocols.flatMap((proto) =>
  (
    [
      ["web's address on net1", ({ world }) => world.web.ipv4],
      ["web's address on net1, IPv6", ({ world }) => world.web.ipv6],
      ["web's address on net1, mapped into IPv6", ({ world }) => `::ffff:${world.web.ipv4}`],
      ["web's Pod IP", ({ world }) => world.web.podIPs[0]],
      ["web's Pod IP, IPv6", ({ world }) => world.web.podIPs[1]],
      ["a Service's IP, of web", ({ webServiceIP }) => webServiceIP],
    ] as readonly (readonly [string, (arena: AttackedArena) => string])[]
  ).map(([where, host]) => ({
    name: `statsd calls ${where}, ${proto}`,
    run: (arena, timeout) =>
      reaches(arena.statsd.call({ proto, host: host(arena as AttackedArena), port: 9000, timeout })),
  })),
);

const ownAddresses = ['127.0.0.1', '127.0.0.2', '0.0.0.0', '::1', '::ffff:127.0.0.1', "the own Pod's IP"] as const;

const routed: FrameAttack = {
  name: 'a peer as router to another workload, with forwarding on',
  by: { device: 'net1' },
  heard: 'other eth0',
  frame: (token, { statsd, web, other }) =>
    ip4({ from: statsd.mac, to: web.mac }, { from: statsd.ipv4, to: other.ipv4 }, token),
};

const frames: readonly FrameAttack[] = [
  ...frameAttacks.filter(({ name }) => name !== "eth0: to a peer's address on net1"),
  serviceAttack,
  routed,
];

const effects: readonly Attack[] = [
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

/** Any ruleset makes the kernel track connections; this one accepts everything. */
const tracking =
  'table inet first { chain input { type filter hook input priority 0; ct state established accept; }; }';

describe('attacks by a piece, in real Pods', () => {
  let namespace: TestNamespace;
  let around: Surroundings;
  let plain: AttackedArena;
  let split: AttackedArena;
  const arrived = { plain: new Set<string>(), split: new Set<string>() };

  before(async () => {
    namespace = await TestNamespace.create('attacks');
    const node = (await listAll<Pod>(['nodes']))[0]!.metadata.name;
    await namespace.apply(
      bareNetwork,
      service('other', 'other', 53, 9500),
      service('plain', 'plain-web', 9000, 9000),
      service('split', 'split', 9000, 9000),
      barePod('other', arenaSpec(node, [arenaContainer('other')])),
      barePod('whole', arenaSpec(node, [arenaContainer('web'), arenaContainer('statsd')])),
      ...parties.map((name, index) => plainPod(name, index, node)),
      barePod(
        'split',
        arenaSpec(
          node,
          parties.map((name) => arenaContainer(name, declared[name])),
        ),
        {
          ...splitMode,
          'podsplit.io/flows': flows.join(', '),
        },
      ),
    );
    const unsplit = ['other', 'whole', ...parties.map((name) => `plain-${name}`)].map((name) => `pod/${name}`);
    await namespace.kubectl(['wait', '--for=condition=Ready', '--timeout=120s', ...unsplit]);
    around = await surroundings(namespace, node, 'other');
    plain = await attacked('plain', await plainPods());
    const [found] = await readySplitPods(namespace, 'split', 1, parties);
    split = await attacked('split', Object.fromEntries(found!.pieces) as unknown as Record<PartyName, Pod>);
    await inNetns(plain.pods.web, ['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
    await inNetns(plain.pods.web, ['nft', tracking]);
  });

  after(async () => {
    for (const each of [plain, split]) for (const name of parties) each[name].end();
    for (const each of [around.node, around.outside, around.other]) each.end();
    await TestNamespace.deleteAll();
    // The bridge plugin makes it, and never takes it away.
    await onNode(around.nodeName, ['ip', 'link', 'delete', bare]);
  });

  async function plainPods(): Promise<Record<PartyName, Pod>> {
    const pods = parties.map(async (name) => [name, await namespace.get<Pod>('pod', `plain-${name}`)] as const);
    return Object.fromEntries(await Promise.all(pods)) as Record<PartyName, Pod>;
  }

  async function attacked(app: string, pods: Readonly<Record<PartyName, Pod>>): Promise<AttackedArena> {
    const { spec } = await namespace.get<{ spec: { clusterIP: string } }>('service', app);
    const made = await arena(around, pods);
    await listenInArena(made);
    for (const proto of protocols) {
      for (const port of [9000, 9102, 9105]) await made.web.listen(proto, '::', port, true);
      await made.cache.listen(proto, '::', 6301, true);
    }
    return { ...made, webServiceIP: spec.clusterIP };
  }

  describe('by an address of its own', () => {
    it('in one Pod reaches the other container', async () => {
      const [web, statsd] = ['web', 'statsd'].map((name) => agentInPod(namespace, 'whole', name));
      await web!.listen('tcp', '::', 9000, true);
      const pod = await namespace.get<Pod>('pod', 'whole');
      for (const host of hostsOf(pod)) {
        expect(await statsd!.call({ proto: 'tcp', host, port: 9000 }), host).to.have.property('server', 'web');
      }
      web!.end();
      statsd!.end();
    });

    it('a piece reaches nobody, and is told so at once', async () => {
      for (const host of [...hostsOf(split.pods.statsd), split.world.statsd.ipv4, split.world.statsd.ipv6]) {
        for (const proto of protocols) {
          expect(await split.statsd.call({ proto, host, port: 9000 }), host).to.deep.equal({ error: 'ECONNREFUSED' });
        }
      }
    });

    function hostsOf(pod: Pod): readonly string[] {
      return ownAddresses.flatMap((host) =>
        host === "the own Pod's IP" ? (pod.status.podIPs ?? []).map(({ ip }) => ip) : [host],
      );
    }
  });

  describe('by calls', () => {
    const open = { plain: new Set<string>(), split: new Set<string>() };

    before(async () => {
      for (const [where, at, patience] of [
        ['plain', plain, 5],
        ['split', split, 1],
      ] as const) {
        await Promise.all(
          calls.map(async ({ name, run }) => {
            if (await run(at, patience)) open[where].add(name);
          }),
        );
      }
    });

    for (const { name } of calls) {
      it(name, () => {
        expect(open.plain.has(name), 'between plain Pods').to.equal(true);
        expect(open.split.has(name), 'from a piece').to.equal(false);
      });
    }
  });

  describe('by forged frames', () => {
    before(async () => {
      await shoot(plain, arrived.plain, 5);
      await shoot(split, arrived.split, 0);
    });

    for (const { name } of frames) {
      it(name, () => {
        expect(arrived.plain.has(name), 'between plain Pods').to.equal(true);
        expect(arrived.split.has(name), 'from a piece').to.equal(false);
      });
    }

    /** One after the other, then everybody is asked what was heard. */
    async function shoot(at: AttackedArena, into: Set<string>, patience: number): Promise<void> {
      const shots = frames.map((attack, index) => {
        const token = (
          0x7e57_0000_0000_0000n +
          BigInt(index) +
          BigInt(randomBytes(4).readUInt32BE()) * 65_536n
        ).toString(16);
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
    }

    async function controls({ statsd, world, ears, ...at }: AttackedArena): Promise<void> {
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
  });

  describe('by what they bring about', () => {
    for (const { name, run } of effects) {
      it(name, async () => {
        expect(await run(plain, 8), 'between plain Pods').to.equal(true);
        expect(await run(split, 0.3), 'from a piece').to.equal(false);
      });
    }
  });

  describe('afterwards', () => {
    it('what is recorded of it stays bounded', async () => {
      const mac = { from: split.world.statsd.mac, to: split.world.web.mac };
      const asSelf = { from: split.world.statsd.ipv4, to: split.world.web.ipv4 };
      for (let round = 0; round < 12; round++) {
        await send(
          split.statsd,
          range(10_000 + 500 * round, 500).map((port) => udp4(mac, asSelf, port)),
        );
        await pause(500);
      }
      // A set for each family, of 256 entries; what an attacker adds later than others is not kept.
      const recorded = (await denials(split.pods.web)).filter(({ to }) => to.includes('.'));
      expect(recorded.length).to.be.within(200, 256);
    });

    it('flows work as before', async () => {
      for (const host of ['127.0.0.1', '::1']) {
        for (const proto of protocols) {
          expect(await split.web.call({ proto, host, port: 6301 })).to.have.property('server', 'cache');
        }
        expect(await split.cache.call({ proto: 'udp', host, port: 9105 })).to.have.property('server', 'web');
        // Who filled its own share of the connection table waits until it is empty again; nobody else does.
        await eventually("statsd's flow", async () => {
          for (const proto of protocols) {
            const answer = await split.statsd.call({ proto, host, port: 9102, timeout: 1 });
            expect(answer).to.have.property('server', 'web');
          }
        });
      }
    });
  });
});

interface AttackedArena extends Arena {
  /** Of the Service that selects web. */
  readonly webServiceIP: string;
}

async function reaches(answer: Promise<Answer>): Promise<boolean> {
  return 'server' in (await answer);
}

function send(agent: Arena['statsd'], data: readonly string[]): Promise<unknown> {
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

function range(first: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, index) => first + index);
}

function hex4(address: string): string {
  return Buffer.from(address.split('.').map(Number)).toString('hex');
}
