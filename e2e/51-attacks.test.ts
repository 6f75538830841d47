// What a compromised container tries, in real Pods: root, with CAP_NET_RAW. Each attack is tried first between plain Pods on
// a plain bridge (or, where it is about loopback, in one Pod), where it succeeds, and then from a piece of a split Pod, once
// where the attacker is a sibling and once where it is the primary. The attacker is statsd, and web its victim.
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
import { udp4 } from './attack/frames.ts';
import { listAll } from './support/api.ts';
import { barePod, splitMode } from './support/agents.ts';
import { calls, effects, frames, protocols, range, send, shoot } from './support/arena-attacks.ts';
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
import { eventually, patience } from './support/eventually.ts';
import { TestNamespace } from './support/namespace.ts';
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

function service(name: string, selector: Readonly<Record<string, string>>, port: number, targetPort: number) {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: {
      selector,
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

/** Each with the labels that lead to web, and what is not an attack there. */
const arrangements = [
  { attacker: 'sibling', primary: 'web', web: { app: 'primary-web' }, allowed: [] },
  {
    attacker: 'primary',
    primary: 'statsd',
    // A user who reads the labels of pieces can make such a Service.
    web: { 'label.podsplit.io/app': 'primary-statsd', 'podsplit.io/container': 'web' },
    // It forwards the clients of the Pod IP to the siblings, with their own addresses.
    allowed: ["a facade client's address"],
  },
] as const;

function splitPod(primary: string, node: string) {
  const containers = parties.map((name) => arenaContainer(name, declared[name]));
  const annotations = { ...splitMode, 'podsplit.io/primary': primary, 'podsplit.io/flows': flows.join(', ') };
  return barePod(`primary-${primary}`, arenaSpec(node, containers), annotations);
}

function plainPod(name: PartyName, index: number, node: string) {
  const networks = [{ name: 'bare', ips: [`10.99.7.${index + 2}/24`, `fd99:7::${index + 2}/64`] }];
  const annotations = { [networksAnnotation]: JSON.stringify(networks) };
  return barePod(`plain-${name}`, arenaSpec(node, [arenaContainer(name)]), annotations);
}

const declared = {
  web: [{ containerPort: 9102 }, { containerPort: 9102, protocol: 'UDP' }, { containerPort: 9105, protocol: 'UDP' }],
  cache: [{ containerPort: 6301 }, { containerPort: 6301, protocol: 'UDP' }],
  statsd: [{ containerPort: 8125, protocol: 'UDP' }],
};

/** Any ruleset makes the kernel track connections; this one accepts everything. */
const tracking =
  'table inet first { chain input { type filter hook input priority 0; ct state established accept; }; }';

describe('attacks by a piece, in real Pods', () => {
  let namespace: TestNamespace;
  let nodeName: string;
  let around: Surroundings;
  let plain: Arena;
  const opened: Arena[] = [];

  before(async () => {
    namespace = await TestNamespace.create('attacks');
    nodeName = (await listAll<Pod>('nodes'))[0]!.metadata.name;
    await namespace.apply(
      bareNetwork,
      service('other', { app: 'other' }, 53, 9500),
      service('web-plain', { app: 'plain-web' }, 9000, 9000),
      barePod('other', arenaSpec(nodeName, [arenaContainer('other')])),
      barePod('whole', arenaSpec(nodeName, [arenaContainer('web'), arenaContainer('statsd')])),
      ...parties.map((name, index) => plainPod(name, index, nodeName)),
      ...arrangements.flatMap(({ primary, web }) => [
        service(`web-${primary}`, web, 9000, 9000),
        splitPod(primary, nodeName),
      ]),
    );
    const unsplit = ['other', 'whole', ...parties.map((name) => `plain-${name}`)].map((name) => `pod/${name}`);
    await namespace.kubectl(['wait', '--for=condition=Ready', patience, ...unsplit]);
    around = await surroundings(namespace, nodeName, 'other');
    const pods = parties.map(async (name) => [name, await namespace.get<Pod>('pods', `plain-${name}`)] as const);
    plain = await open(Object.fromEntries(await Promise.all(pods)), 'web-plain');
    await inNetns(plain.pods.web, ['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
    await inNetns(plain.pods.web, ['nft', tracking]);
  });

  after(async () => {
    for (const each of opened) for (const name of parties) each[name].end();
    for (const each of [around.node, around.outside, around.other]) each.end();
    await TestNamespace.deleteAll();
    // The bridge plugin makes it, and never takes it away.
    await onNode(nodeName, ['ip', 'link', 'delete', bare]);
  });

  async function open(pods: Readonly<Record<string, Pod>>, webService: string): Promise<Arena> {
    const made = await arena(around, pods, webService);
    opened.push(made);
    await listenInArena(made);
    for (const proto of protocols) {
      for (const port of [9000, 9102, 9105]) await made.web.listen(proto, '::', port, true);
      await made.cache.listen(proto, '::', 6301, true);
    }
    return made;
  }

  describe('without podsplit, gets through:', () => {
    let reached: ReadonlySet<string>;
    let heard: ReadonlySet<string>;

    before(async () => {
      reached = await callAll(plain, 5);
      heard = await shoot(plain, 5);
    });

    it("a call of another container's port in the same Pod, by any address of its own", async () => {
      const [web, statsd] = ['web', 'statsd'].map((name) => agentInPod(namespace, 'whole', name));
      await web!.listen('tcp', '::', 9000, true);
      for (const host of ownAddresses(await namespace.get<Pod>('pods', 'whole'))) {
        expect(await statsd!.call({ proto: 'tcp', host, port: 9000 }), host).to.have.property('server', 'web');
      }
      web!.end();
      statsd!.end();
    });

    for (const { name } of calls) {
      it(name, () => {
        expect(reached.has(name)).to.equal(true);
      });
    }

    for (const { name } of frames) {
      it(name, () => {
        expect(heard.has(name)).to.equal(true);
      });
    }

    for (const { name, run } of effects) {
      it(name, async () => {
        expect(await run(plain, 8)).to.equal(true);
      });
    }
  });

  for (const { attacker, primary, allowed } of arrangements) {
    describe(`by a ${attacker}, does not:`, () => {
      let split: Arena;
      let reached: ReadonlySet<string>;
      let heard: ReadonlySet<string>;

      before(async () => {
        const [found] = await readySplitPods(namespace, `primary-${primary}`, 1, parties);
        split = await open(Object.fromEntries(found!.pieces), `web-${primary}`);
        reached = await callAll(split, 1);
        heard = await shoot(split, 0.2);
      });

      it("a call of another container's port, by any address of its own: it is told so at once", async () => {
        const { ipv4, ipv6 } = split.world.statsd;
        for (const host of [...ownAddresses(split.pods.statsd), ipv4, ipv6]) {
          for (const proto of protocols) {
            expect(await split.statsd.call({ proto, host, port: 9000 }), host).to.deep.equal({ error: 'ECONNREFUSED' });
          }
        }
      });

      for (const { name } of calls) {
        it(name, () => {
          expect(reached.has(name)).to.equal(false);
        });
      }

      for (const { name } of frames) {
        const may = (allowed as readonly string[]).includes(name);
        it(may ? `${name}: it may` : name, () => {
          expect(heard.has(name)).to.equal(may);
        });
      }

      for (const { name, run } of effects) {
        it(name, async () => {
          expect(await run(split, 0.3)).to.equal(false);
        });
      }

      it('what is recorded of it stays bounded', async () => {
        const mac = { from: split.world.statsd.mac, to: split.world.web.mac };
        const asSelf = { from: split.world.statsd.ipv4, to: split.world.web.ipv4 };
        // A set for each family, of 256 entries; what an attacker adds later than others is not kept. The agent empties a
        // full set once it has read it, at any moment, so that one look alone may find nothing.
        const recorded: number[] = [];
        for (let round = 0; round < 12; round++) {
          const ports = range(10_000 + 500 * round, 500);
          await send(
            split.statsd,
            ports.map((port) => udp4(mac, asSelf, port)),
          );
          await pause(500);
          recorded.push((await denials(split.pods.web)).filter(({ to }) => to.includes('.')).length);
        }
        expect(Math.max(...recorded), recorded.join(', ')).to.be.within(200, 256);
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
  }
});

/** Of the own Pod. A server on :: answers datagrams to 127.0.0.2 from 127.0.0.1, in one Pod too. */
function ownAddresses(pod: Pod): readonly string[] {
  const podIPs = (pod.status.podIPs ?? []).map(({ ip }) => ip);
  return ['127.0.0.1', '127.0.0.2', '0.0.0.0', '::1', '::ffff:127.0.0.1', ...podIPs];
}

async function callAll(at: Arena, patience: number): Promise<ReadonlySet<string>> {
  const answered = await Promise.all(calls.map(async (call) => ({ ...call, reached: await call.run(at, patience) })));
  return new Set(answered.filter(({ reached }) => reached).map(({ name }) => name));
}
