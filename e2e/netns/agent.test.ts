// The node agent's parts on a node made of network namespaces: real tables, real traffic; only the API server is not there.

import { expect } from 'chai';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Flow } from '../../controller/api/flow.ts';
import { splitId } from '../../controller/api/identity.ts';
import { ownAnnotations, ownLabels, readinessGate } from '../../controller/api/names.ts';
import { Attachments } from '../../controller/agent/attachments.ts';
import { Auditor } from '../../controller/agent/auditor.ts';
import type { CniRequest } from '../../controller/agent/cni-request.ts';
import { Enforcer } from '../../controller/agent/enforcer.ts';
import { Registry } from '../../controller/agent/registry.ts';
import { rewire } from '../../controller/agent/rewire.ts';
import { SandboxFiles } from '../../controller/agent/sandbox-files.ts';
import type { Pod } from '../../controller/kube/resources.ts';
import { host, type Host } from '../../controller/netns/host.ts';
import { silentLogger } from '../../controller/observability/log.ts';
import { readPod } from '../../controller/reconcile/piece-pod.ts';
import { hostTableName } from '../../controller/rules/host.ts';
import { formatWiring, parseWiring } from '../../controller/rules/wiring-json.ts';
import { flows, Lab, localOf, node, sites, wiringOf, type PieceName } from './lab.ts';

const denied = { error: 'ETIMEDOUT' };
const primaryUid = 'uid-web';
const pieces = ['web', 'cache', 'statsd'] as const;
const network = 'podsplit-shop-0a1b2c3d4e5f-node';
const patience = 0.3;

/** As the controller writes it in install mode `node`: without Pod IPs. */
function wiringText(piece: PieceName, wanted: readonly Flow[] = flows): string {
  const withoutPodIPs = <T extends { readonly podIPs?: unknown }>({ podIPs: _, ...rest }: T) => rest;
  const { self, peers, ...rest } = wiringOf(piece, { split: splitId(primaryUid), flows: wanted });
  const plainPeers = peers.map(({ name, role, mac, ipv4, ipv6 }) => ({
    name,
    role,
    mac,
    ...(ipv4 && { ipv4 }),
    ...(ipv6 && { ipv6 }),
  }));
  return formatWiring({ ...rest, self: withoutPodIPs(self), peers: plainPeers });
}

function podOf(piece: PieceName, wiring = wiringText(piece)): Pod {
  const isPrimary = piece === 'web';
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      namespace: 'shop',
      name: piece,
      uid: `uid-${piece}`,
      labels: {
        [ownLabels.role]: isPrimary ? 'primary' : 'sibling',
        [ownLabels.split]: splitId(primaryUid),
        [ownLabels.container]: piece,
      },
      annotations: { [ownAnnotations.wiring]: wiring },
      ...(isPrimary
        ? {}
        : { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'web', uid: primaryUid, controller: true }] }),
    },
    spec: { containers: [{ name: piece }], readinessGates: [{ conditionType: readinessGate }] },
  };
}

interface CallOptions {
  readonly id?: string;
  readonly phase?: 'close' | 'wire';
  readonly signal?: AbortSignal;
}

/** An agent of this node; another one on the same folder is the one that runs after a restart. */
class Agent {
  readonly registry: Registry;
  readonly attachments: Attachments;
  readonly auditor: Auditor;
  readonly events: string[] = [];
  readonly pods = new Map<PieceName, Pod>(pieces.map((piece) => [piece, podOf(piece)]));
  /** Wirings as the watch tells them. */
  readonly watched = new Map<string, string>();
  readonly bridgesInUse = new Set<string>();
  behind = 0;
  /** Before the verification gives its answer. */
  verifying: () => Promise<void> = () => Promise.resolve();
  /** Before a program runs. */
  running: (command: readonly string[]) => Promise<void> | void = () => undefined;

  private constructor(lab: Lab, folder: string) {
    const inNode: Host = {
      ...host,
      run: async (command, input) => {
        await this.running(command);
        return host.run(['ip', 'netns', 'exec', lab.node.name, ...command], input);
      },
    };
    this.registry = new Registry(new SandboxFiles(folder, silentLogger));
    const { registry } = this;
    const enforcer = new Enforcer(inNode);
    const common = { host: inNode, registry, enforcer, log: silentLogger, behind: () => this.behind++ };
    this.attachments = new Attachments({
      ...common,
      verify: async ({ pod: { name } }) => {
        const pod = readPod(this.pods.get(name as PieceName)!)!;
        await this.verifying();
        return { pod, wiring: parseWiring(pod.raw.metadata!.annotations![ownAnnotations.wiring]!) };
      },
      watchedWiring: ({ name }) => this.watched.get(name),
      hostIPs: [node.ipv4, node.ipv6],
      notReady: () => undefined,
    });
    const { attachments } = this;
    this.auditor = new Auditor({
      ...common,
      attachments,
      bridgesInUse: () => this.bridgesInUse,
      events: { event: (_target, _type, reason, message) => this.events.push(`${reason}: ${message}`) },
      repaired: () => undefined,
    });
  }

  static async start(lab: Lab, folder: string): Promise<Agent> {
    const agent = new Agent(lab, folder);
    await agent.registry.load();
    return agent;
  }

  call(
    command: CniRequest['command'],
    piece: PieceName,
    { id = idOf(piece), phase = 'wire', signal = new AbortController().signal }: CallOptions = {},
  ): Promise<object | undefined> {
    return this.attachments.handle(requestOf(command, piece, id, phase), signal);
  }

  async addAll(): Promise<void> {
    await Promise.all(pieces.map((piece) => this.call('ADD', piece)));
  }

  /** As the watch tells that the controller has written other flows. */
  rewire(piece: PieceName, wanted: readonly Flow[]): Promise<boolean> {
    const { registry, attachments } = this;
    const events = { event: (_: unknown, __: unknown, reason: string) => this.events.push(reason) };
    const pod = podOf(piece, wiringText(piece, wanted));
    return rewire(pod, { registry, attachments, events, log: silentLogger, applied: () => undefined });
  }
}

function idOf(piece: PieceName): string {
  return `${piece.padEnd(12, '0')}-the-rest-of-the-id`;
}

function requestOf(command: CniRequest['command'], piece: PieceName, id: string, phase: 'close' | 'wire'): CniRequest {
  const netns = `/var/run/netns/pst-${piece}`;
  const { mac, ipv4, ipv6 } = sites[piece];
  return {
    command,
    containerID: id,
    netns,
    ifname: 'net1',
    pod: { namespace: 'shop', name: piece, uid: `uid-${piece}` },
    config: {
      cniVersion: '1.0.0',
      name: network,
      phase,
      prevResult: {
        cniVersion: '1.0.0',
        interfaces: [{ name: 'ps-peers' }, { name: `net1-${piece}` }, { name: 'net1', mac, sandbox: netns }],
        ips: [`${ipv4}/15`, `${ipv6}/64`].map((address) => ({ interface: 2, address })),
      },
      validAttachments: [],
    },
  };
}

/** The code of the refusal. */
async function refusal(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return (error as { code?: string }).code ?? error;
  }
  return 'none';
}

describe('the node agent in network namespaces', function () {
  this.timeout(30_000);
  let lab: Lab;
  let folder: string;
  let agent: Agent;

  before(async () => {
    lab = Lab.start();
    for (const port of [6301, 6305, 7001]) {
      await lab.cache.listen('tcp', '::', port, true);
      await lab.cache.listen('udp', '::', port, true);
    }
    await lab.statsd.listen('udp', '::', 8125, true);
    await lab.web.listen('tcp', '::', 9200, true);
  });

  after(() => {
    lab.end();
  });

  beforeEach(async () => {
    folder = join(mkdtempSync(join(tmpdir(), 'podsplit-agent-')), 'sandboxes');
    agent = await Agent.start(lab, folder);
  });

  afterEach(async () => {
    agent.running = () => undefined;
    for (const id of agent.registry.ids()) await agent.attachments.detach(id);
    for (const each of [lab.node, ...pieces.map((piece) => lab[piece])]) each.run(['nft', 'flush', 'ruleset']);
    rmSync(join(folder, '..'), { recursive: true });
  });

  function loopback(port: number, proto: 'tcp' | 'udp' = 'tcp') {
    return lab.web.call({ proto, host: '127.0.0.1', port, timeout: patience });
  }

  function tables(): readonly string[] {
    const listed = lab.node.run(['nft', 'list', 'tables', 'netdev']);
    return [...listed.matchAll(/table netdev (\S+)/g)].map(([, name]) => name!).sort();
  }

  function files(): readonly string[] {
    return existsSync(folder) ? readdirSync(folder).sort() : [];
  }

  function tableOf(piece: PieceName): string {
    return hostTableName(idOf(piece).slice(0, 12));
  }

  /** Everything but what counts; elements in order, and the marker last, wherever an update has put them. */
  function ruleset(piece: PieceName): string {
    const inside = lab[piece].run(['nft', 'list', 'table', 'inet', 'podsplit']);
    const outside = lab.node.run(['nft', 'list', 'table', 'netdev', tableOf(piece)]);
    const marker = /counter wiring \{[^}]*\}/g;
    const plain = `${inside}${outside}`
      .replace(/packets \d+ bytes \d+/g, '')
      .replace(/set (tried|conns)\d \{[^]*?\n\t\}/g, '')
      .replace(/elements = \{([^}]*)\}/g, (_, some: string) =>
        some
          .split(',')
          .map((each) => each.trim())
          .sort()
          .join(),
      )
      .replace(/\s+/g, ' ');
    return `${plain.replace(marker, '')} ${(plain.match(marker) ?? []).join(' ')}`.replace(/\s+/g, ' ');
  }

  /** Chains keep their handles as long as nobody replaces the table. */
  function handles(piece: PieceName): string {
    const listed = lab[piece].run(['nft', '-a', 'list', 'table', 'inet', 'podsplit']);
    return (listed.match(/(table|chain) .*# handle \d+/g) ?? []).join();
  }

  function expectNothingLeft(): void {
    expect({ tables: tables(), files: files() }).to.deep.equal({ tables: [], files: [] });
  }

  describe('ADD', () => {
    it('closes a namespace before there is a net1, and opens what the flows say after', async () => {
      // Nobody's rules yet: in one network all is open, by the Pod IPs too.
      expect(await lab.web.call({ proto: 'tcp', host: sites.cache.ipv4, port: 7001 })).to.have.property('server');
      expect(await lab.statsd.call({ proto: 'tcp', host: sites.web.podIPs[0], port: 9200 })).to.have.property('server');
      for (const piece of pieces) await agent.call('ADD', piece, { phase: 'close' });
      const closed = await lab.web.call({ proto: 'tcp', host: sites.cache.ipv4, port: 7001, timeout: patience });
      expect(closed).to.deep.equal(denied);

      await agent.addAll();
      expect(await loopback(6301)).to.include({ server: 'cache', peer: '::ffff:127.0.0.1' });
      for (const host of [sites.cache.ipv4, sites.cache.podIPs[0], sites.cache.podIPs[1]]) {
        expect(await lab.web.call({ proto: 'tcp', host, port: 7001, timeout: patience })).to.deep.equal(denied);
      }
      const byEth0 = { proto: 'tcp', host: sites.web.podIPs[0], port: 9200, timeout: patience } as const;
      expect(await lab.statsd.call(byEth0)).to.deep.equal(denied);
      // It is the server that knows who calls, and not only the caller that may not.
      lab.statsd.run(['nft', 'flush', 'ruleset']);
      lab.node.run(['nft', 'flush', 'ruleset']);
      expect(await lab.statsd.call(byEth0)).to.deep.equal(denied);
    });

    it('gives back the result of the plugin before it', async () => {
      const result = await agent.call('ADD', 'web');
      expect(result).to.have.nested.property('interfaces[2].name', 'net1');
      const [sandbox] = agent.registry.list();
      expect(sandbox?.local).to.deep.equal(localOf('web'));
      expect(sandbox?.host.eth0?.device).to.equal('eth0-web');
    });

    it('takes the flows as they are when the lock is given, if they changed since the Pod was read', async () => {
      const less = flows.filter(({ port }) => port !== 6301);
      agent.verifying = () => {
        agent.verifying = () => Promise.resolve();
        agent.pods.set('web', podOf('web', wiringText('web', less)));
        agent.watched.set('web', wiringText('web', less));
        // Whoever hears of the change now finds no sandbox.
        return agent.rewire('web', less).then(() => undefined);
      };
      await agent.call('ADD', 'web');
      expect(agent.registry.ofPod('uid-web')?.wiring).to.equal(wiringText('web', less));
    });

    it('of a sandbox that was made anew retires the one before it', async () => {
      await agent.addAll();
      await agent.call('ADD', 'cache', { id: 'another-sandbox' });
      expect(files()).to.deep.equal(['another-sandbox.json', `${idOf('statsd')}.json`, `${idOf('web')}.json`]);
      expect(tables()).to.deep.equal(['podsplit-another-sand', tableOf('statsd'), tableOf('web')]);
      expect(await loopback(6301)).to.have.property('server', 'cache');
    });

    it('that is refused, or that fails halfway, leaves nothing', async () => {
      agent.verifying = () => Promise.reject(new Error('no'));
      expect(await refusal(agent.call('ADD', 'web'))).to.have.property('message', 'no');
      expectNothingLeft();
      agent.verifying = () => Promise.resolve();
      agent.running = (command) => {
        if (command[0] === 'bridge') throw new Error('it broke');
      };
      expect(await refusal(agent.call('ADD', 'web'))).to.have.property('message', 'it broke');
      expectNothingLeft();
    });

    it('is told by a peer that cannot be told to nobody but the audit', async () => {
      await agent.call('ADD', 'cache');
      agent.running = (command) => {
        if (command.includes(`--net=/run/netns/pst-cache`)) throw new Error('it broke');
      };
      await agent.call('ADD', 'web');
      expect(agent.behind).to.equal(1);
      agent.running = () => undefined;
      await agent.auditor.audit();
      expect(await loopback(6301)).to.have.property('server', 'cache');
      expect(agent.events).to.deep.equal([]);
    });

    it("is refused in the node's own network namespace, and outside the runtime's folder", async () => {
      const request = requestOf('ADD', 'web', 'x', 'close');
      for (const netns of ['/proc/self/ns/net', '/run/netns/../../proc/self/ns/net', '/run/netns/pst-nobody']) {
        const call = agent.attachments.handle({ ...request, netns }, new AbortController().signal);
        expect(await refusal(call), netns).to.equal('BadNetns');
      }
    });
  });

  describe('flows that change', () => {
    const added: Flow = { from: 'web', to: 'cache', port: 6305, protocol: 'tcp' };
    const addedUdp: Flow = { ...added, protocol: 'udp' };
    const changed = [...flows.filter(({ port }) => port !== 6302), added, addedUdp];

    it('are followed by elements, and connections of other flows stay', async () => {
      await agent.addAll();
      expect(await lab.web.open('kept', { proto: 'tcp', host: '127.0.0.1', port: 6301 })).to.have.property('server');
      const before = pieces.map(handles);
      await Promise.all(pieces.map((piece) => agent.rewire(piece, changed)));
      expect(await loopback(6305)).to.have.property('server', 'cache');
      expect(await loopback(6305, 'udp')).to.have.property('server', 'cache');
      expect(await lab.web.again('kept', patience)).to.have.property('server', 'cache');
      expect(pieces.map(handles)).to.deep.equal(before);
      expect(await agent.rewire('web', changed)).to.equal(false);
    });

    it('are cut where they are taken', async () => {
      await agent.addAll();
      const target = { proto: 'tcp', host: '127.0.0.1', port: 6301 } as const;
      expect(await lab.web.open('taken', target)).to.have.property('server', 'cache');
      const without = flows.filter(({ port }) => port !== 6301);
      await Promise.all(pieces.map((piece) => agent.rewire(piece, without)));
      expect(await lab.web.again('taken', patience)).to.have.property('error');
      expect(await loopback(6301)).to.have.property('error');
    });

    it('and change back at once end as they were', async () => {
      await agent.addAll();
      const before = ruleset('web');
      await Promise.all([agent.rewire('web', changed), agent.rewire('web', flows)]);
      expect(agent.registry.ofPod('uid-web')?.wiring).to.equal(wiringText('web'));
      expect(ruleset('web')).to.equal(before);
    });

    it('are not taken where they bring other addresses', async () => {
      await agent.addAll();
      const before = ruleset('web');
      const text = wiringText('web').replaceAll(sites.cache.mac, '0a:58:c6:12:00:0f');
      const { registry, attachments } = agent;
      const events = { event: (_: unknown, __: unknown, reason: string) => agent.events.push(reason) };
      const deps = { registry, attachments, events, log: silentLogger, applied: () => undefined };
      expect(await rewire(podOf('web', text), deps)).to.equal(false);
      expect(agent.events).to.deep.equal(['WiringRefused']);
      expect(ruleset('web')).to.equal(before);
    });

    it('while no agent ran are no drift: the next one follows them and blames nobody', async () => {
      await agent.addAll();
      const before = ruleset('web');
      const next = await Agent.start(lab, folder);
      await next.auditor.audit();
      expect(ruleset('web')).to.equal(before);
      await Promise.all(pieces.map((piece) => next.rewire(piece, changed)));
      expect(await loopback(6305)).to.have.property('server', 'cache');

      // It was killed after it had written down what it wanted, and before it did it.
      const path = join(folder, `${idOf('web')}.json`);
      const sandbox = JSON.parse(readFileSync(path, 'utf8')) as object;
      writeFileSync(path, JSON.stringify({ ...sandbox, wiring: wiringText('web') }));
      agent = await Agent.start(lab, folder);
      await agent.auditor.audit();
      expect(await loopback(6305)).to.have.property('error');
      expect(agent.events).to.deep.equal([]);
    });
  });

  describe('an audit', () => {
    const inside = (...command: readonly string[]) => lab.web.run(['nft', ...command]);
    const outside = (...command: readonly string[]) => lab.node.run(['nft', ...command]);
    const drifts: readonly (readonly [string, () => void, string])[] = [
      [
        "the piece's table is deleted",
        () => inside('delete', 'table', 'inet', 'podsplit'),
        "piece's table is not there",
      ],
      ['an element is added', () => inside('add', 'element', 'inet', 'podsplit', 'out4', element()), 'has'],
      [
        "the node's table is deleted",
        () => outside('delete', 'table', 'netdev', tableOf('web')),
        "host's table is not",
      ],
      ["the node's pairs are flushed", () => outside('flush', 'set', 'netdev', tableOf('web'), 'pair4'), 'pair4 lacks'],
      [
        'a rule is replaced by another one',
        () => {
          const listed = inside('-a', 'list', 'chain', 'inet', 'podsplit', 'spoof');
          const handle = /counter name .* drop # handle (\d+)/.exec(listed)?.[1];
          inside('replace', 'rule', 'inet', 'podsplit', 'spoof', 'handle', handle!, 'accept');
        },
        'were edited',
      ],
      [
        'a rule is put before the others',
        () => inside('insert', 'rule', 'inet', 'podsplit', 'spoof', 'accept'),
        'rules',
      ],
      ['a chain is added', () => inside('add', 'chain', 'inet', 'podsplit', 'mine'), 'chain mine is not ours'],
    ];

    /** Any key of that set, with another port. */
    function element(): string {
      const listed = inside('list', 'set', 'inet', 'podsplit', 'out4');
      const key = /elements = \{ ([^,}]+)/.exec(listed)?.[1];
      return `{ ${key!.trim().replace(/\d+$/, '1')} }`;
    }

    for (const [how, change, said] of drifts) {
      it(`finds that ${how}, mends it and says so once`, async () => {
        await agent.addAll();
        // The first look takes the fingerprints; on a node it comes two seconds after an ADD.
        await agent.auditor.audit();
        const whole = ruleset('web');
        const others = [handles('cache'), handles('statsd')];
        change();
        await agent.auditor.audit();
        expect(agent.events.join())
          .to.match(/^RulesRepaired: /)
          .and.contain(said);
        expect(ruleset('web')).to.equal(whole);
        expect(await loopback(6301)).to.have.property('server', 'cache');
        await agent.auditor.audit();
        expect(agent.events).to.have.length(1);
        expect([handles('cache'), handles('statsd')]).to.deep.equal(others);
      });
    }

    it("leaves the piece's table alone when the node's is gone, and the other way round", async () => {
      await agent.addAll();
      const before = handles('web');
      outside('delete', 'table', 'netdev', tableOf('web'));
      await agent.auditor.audit();
      expect(handles('web')).to.equal(before);
    });

    it('changes nothing where all is well, whichever agent makes it', async () => {
      await agent.addAll();
      const before = pieces.map((piece) => handles(piece) + ruleset(piece));
      await agent.auditor.audit();
      const next = await Agent.start(lab, folder);
      await next.auditor.audit();
      await next.auditor.audit();
      expect(pieces.map((piece) => handles(piece) + ruleset(piece))).to.deep.equal(before);
      expect([...agent.events, ...next.events]).to.deep.equal([]);
    });

    it('mends the others where one piece cannot be mended, and wants another one soon', async () => {
      await agent.addAll();
      outside('flush', 'ruleset');
      agent.running = (command) => {
        if (command.includes(`--net=/run/netns/pst-cache`)) throw new Error('it broke');
      };
      await agent.auditor.audit();
      expect(tables()).to.deep.equal([tableOf('statsd'), tableOf('web')].sort());
      expect(agent.behind).to.equal(1);
      agent.running = () => undefined;
      await agent.auditor.audit();
      expect(tables()).to.have.length(3);
    });

    it('removes what is left of a sandbox that ended while no agent ran', async () => {
      await agent.addAll();
      const { registry } = agent;
      await registry.put({ ...registry.list()[0]!, id: 'gone', netns: '/run/netns/pst-gone' });
      outside('add', 'table', 'netdev', 'podsplit-gone');
      const next = await Agent.start(lab, folder);
      await next.auditor.audit();
      expect(next.registry.get('gone')).to.equal(undefined);
      expect(tables()).to.have.length(3).and.not.include('podsplit-gone');
      expect(files()).to.have.length(3);
      await registry.remove('gone');
    });

    it('keeps the rules of a sandbox whose file it cannot read', async () => {
      await agent.addAll();
      const before = ruleset('web');
      writeFileSync(join(folder, `${idOf('web')}.json`), 'broken');
      agent = await Agent.start(lab, folder);
      for (let i = 0; i < 3; i++) await agent.auditor.audit();
      expect(ruleset('web')).to.equal(before);
      await agent.call('DEL', 'web');
      expect(tables()).to.deep.equal([tableOf('cache'), tableOf('statsd')].sort());
      expect(files()).to.have.length(2);
    });

    it('collects a table of nobody and an idle bridge, but not at first sight', async () => {
      await agent.addAll();
      lab.node.run(['ip', 'link', 'add', 'ps-idle', 'type', 'bridge']);
      lab.node.run(['ip', 'link', 'add', 'ps-used', 'type', 'bridge']);
      agent.bridgesInUse.add('ps-used');
      outside('add', 'table', 'netdev', 'podsplit-nobody');
      outside('add', 'table', 'netdev', 'somebody-else');
      const there = () => ({
        table: tables().includes('podsplit-nobody'),
        bridge: lab.node.run(['ip', '-o', 'link', 'show', 'type', 'bridge']).includes('ps-idle'),
      });
      await agent.auditor.audit();
      expect(there()).to.deep.equal({ table: true, bridge: true });
      await agent.auditor.audit();
      expect(there()).to.deep.equal({ table: false, bridge: false });
      expect(tables()).to.include('somebody-else').and.have.length(4);
      const bridges = lab.node.run(['ip', '-o', 'link', 'show', 'type', 'bridge']);
      expect(bridges).to.contain('ps-used').and.contain('ps-peers');
      lab.node.run(['ip', 'link', 'delete', 'ps-used']);
    });

    it('takes nothing from an ADD that is under way', async () => {
      const { promise, resolve } = Promise.withResolvers<undefined>();
      const { promise: loaded, resolve: isLoaded } = Promise.withResolvers<undefined>();
      agent.running = async (command) => {
        if (command[0] !== 'bridge') return;
        isLoaded(undefined);
        await promise;
      };
      const adding = agent.call('ADD', 'web');
      await loaded;
      await agent.auditor.audit();
      await agent.auditor.audit();
      expect(tables()).to.deep.equal([tableOf('web')]);
      resolve(undefined);
      await adding;
      expect(tables()).to.deep.equal([tableOf('web')]);
    });
  });

  describe('CHECK', () => {
    it('says whether the rules are in', async () => {
      await agent.addAll();
      expect(await refusal(agent.call('CHECK', 'web'))).to.equal('none');
      lab.web.run(['nft', 'flush', 'ruleset']);
      expect(await refusal(agent.call('CHECK', 'web'))).to.equal('RulesDiffer');
      expect(await refusal(agent.call('CHECK', 'web', { id: 'nobody' }))).to.equal('RulesDiffer');
    });
  });

  describe('DEL', () => {
    it('leaves nothing, tells the others, and may come again', async () => {
      await agent.addAll();
      expect(ruleset('web')).to.contain('net1-cache');
      await agent.call('DEL', 'cache');
      expect(tables()).to.deep.equal([tableOf('statsd'), tableOf('web')].sort());
      expect(files()).to.have.length(2);
      expect(ruleset('web')).not.to.contain('net1-cache');
      for (const id of [idOf('cache'), 'nobody']) {
        expect(await refusal(agent.call('DEL', 'cache', { id }))).to.equal('none');
      }
      await Promise.all(pieces.map((piece) => agent.call('DEL', piece)));
      expectNothingLeft();
    });

    it('before an ADD, or between its two calls, ends it', async () => {
      await agent.call('ADD', 'web', { phase: 'close' });
      await agent.call('DEL', 'web');
      expect(await refusal(agent.call('ADD', 'web'))).to.equal('Cancelled');
      expect(await refusal(agent.call('ADD', 'web', { phase: 'close' }))).to.equal('Cancelled');
      expectNothingLeft();
    });

    it('while the Pod is verified ends the ADD', async () => {
      agent.verifying = async () => {
        await agent.call('DEL', 'web');
      };
      expect(await refusal(agent.call('ADD', 'web'))).to.equal('Cancelled');
      expectNothingLeft();
    });

    /** Programs that an ADD runs once it has the lock, each with the Pod's peers there. */
    const moments = ['nft -f -', 'nft list counter', 'ip -4 -batch', 'bridge -batch', '--net=/run/netns/pst-cache'];
    for (const moment of moments) {
      it(`during an ADD that runs "${moment}" leaves nothing of it`, async () => {
        await agent.call('ADD', 'cache');
        const before = ruleset('cache');
        let deleted: Promise<unknown> | undefined;
        agent.running = (command) => {
          if (command.join(' ').includes(moment)) deleted ??= agent.call('DEL', 'web');
        };
        expect(await refusal(agent.call('ADD', 'web'))).to.equal('Cancelled');
        expect(deleted).to.not.equal(undefined);
        await deleted;
        expect({ tables: tables(), files: files() }).to.deep.equal({
          tables: [tableOf('cache')],
          files: [`${idOf('cache')}.json`],
        });
        expect(ruleset('cache')).to.equal(before);
        expect(agent.attachments.underWay()).to.deep.equal([]);
      });

      it(`and a plugin that goes away while it runs "${moment}" neither`, async () => {
        await agent.call('ADD', 'cache');
        const gone = new AbortController();
        agent.running = (command) => {
          if (command.join(' ').includes(moment)) gone.abort();
        };
        expect(await refusal(agent.call('ADD', 'web', { signal: gone.signal }))).to.equal('Cancelled');
        expect(tables()).to.deep.equal([tableOf('cache')]);
        // The sandbox has not ended for all that: its next try is another call.
        agent.running = () => undefined;
        expect(await refusal(agent.call('ADD', 'web'))).to.equal('none');
        expect(await loopback(6301)).to.have.property('server', 'cache');
      });
    }
  });

  describe('GC', () => {
    it('removes what of this network the runtime does not name', async () => {
      await agent.addAll();
      const { registry, attachments } = agent;
      const statsd = registry.get(idOf('statsd'))!;
      await registry.put({ ...statsd, network: 'another-network' });
      const request = requestOf('GC', 'web', '', 'wire');
      const validAttachments = [{ containerID: idOf('web'), ifname: 'net1' }];
      const config = { ...request.config, validAttachments };
      await attachments.handle({ ...request, config }, new AbortController().signal);
      expect(tables()).to.deep.equal([tableOf('statsd'), tableOf('web')].sort());
      expect(ruleset('web')).not.to.contain('net1-cache');
    });
  });

  it('serves many ADDs and DELs at once, and is left with what is there', async () => {
    await agent.addAll();
    const ids = Array.from({ length: 4 }, (_, i) => `round-${i}-of-many`);
    const calls = ids.flatMap((id) =>
      pieces.flatMap((piece) => {
        const own = `${piece}-${id}`;
        return [agent.call('ADD', piece, { id: own }), agent.call('DEL', piece, { id: own })];
      }),
    );
    const audits = [agent.auditor.audit(), agent.auditor.audit()];
    await Promise.allSettled([...calls, ...audits]);
    await Promise.all(pieces.flatMap((piece) => ids.map((id) => agent.call('DEL', piece, { id: `${piece}-${id}` }))));
    expect(agent.attachments.underWay()).to.deep.equal([]);
    await agent.addAll().catch(() => undefined);
    expect(tables()).to.deep.equal(
      agent.registry
        .ids()
        .map((id) => hostTableName(id.slice(0, 12)))
        .sort(),
    );
    expect(files()).to.deep.equal(
      agent.registry
        .ids()
        .map((id) => `${id}.json`)
        .sort(),
    );
    expect(await loopback(6301)).to.have.property('server', 'cache');
  });
});
