import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { idOf, pieces } from './agent-pods.ts';
import { inAgentRoom, type AgentRoom } from './agent-room.ts';
import { sites, type Lab } from './lab.ts';
import type { LabAgent } from './lab-agent.ts';
import { namePrefix } from './namespace.ts';

describe('the node agent in network namespaces: an audit', function () {
  this.timeout(300_000);
  let room: AgentRoom;
  let lab: Lab;
  let agent: LabAgent;

  inAgentRoom((entered) => {
    room = entered;
    ({ lab, agent } = entered);
  });

  const inside = (...command: readonly string[]) => lab.web.run(['nft', ...command]);
  const outside = (...command: readonly string[]) => lab.node.run(['nft', ...command]);
  const drifts: readonly (readonly [string, () => void, string])[] = [
    ["the piece's table is deleted", () => inside('delete', 'table', 'inet', 'podsplit'), "piece's table is not there"],
    ['an element is added', () => inside('add', 'element', 'inet', 'podsplit', 'out4', element()), 'has'],
    [
      "the node's table is deleted",
      () => outside('delete', 'table', 'netdev', room.tableOf('web')),
      "host's table is not",
    ],
    [
      "the node's pairs are flushed",
      () => outside('flush', 'set', 'netdev', room.tableOf('web'), 'pair4'),
      'pair4 lacks',
    ],
    [
      'a rule is replaced by another one',
      () => {
        const listed = inside('-a', 'list', 'chain', 'inet', 'podsplit', 'spoof');
        const handle = /counter name .* drop # handle (\d+)/.exec(listed)?.[1];
        inside('replace', 'rule', 'inet', 'podsplit', 'spoof', 'handle', handle!, 'accept');
      },
      'were edited',
    ],
    ['a rule is put before the others', () => inside('insert', 'rule', 'inet', 'podsplit', 'spoof', 'accept'), 'rules'],
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
      const whole = room.ruleset('web');
      const others = [room.handles('cache'), room.handles('statsd')];
      change();
      await agent.auditor.audit();
      expect(agent.events.join())
        .to.match(/^RulesRepaired: /)
        .and.contain(said);
      expect(room.ruleset('web')).to.equal(whole);
      expect(await room.loopback(6301)).to.have.property('server', 'cache');
      await agent.auditor.audit();
      expect(agent.events).to.have.length(1);
      expect([room.handles('cache'), room.handles('statsd')]).to.deep.equal(others);
    });
  }

  const edits: readonly (readonly [string, readonly string[], string])[] = [
    ['a neighbour is deleted', ['ip', 'neighbour', 'delete', sites.cache.ipv4, 'dev', 'net1'], sites.cache.ipv4],
    [
      'a neighbour has another MAC',
      [
        'ip',
        'neighbour',
        'replace',
        sites.cache.ipv6,
        'lladdr',
        '0a:58:c6:12:00:0f',
        'dev',
        'net1',
        'nud',
        'permanent',
      ],
      sites.cache.ipv6,
    ],
    ['net1 does ARP', ['ip', 'link', 'set', 'dev', 'net1', 'arp', 'on'], 'NOARP'],
    ['a rule is deleted', ['ip', '-6', 'rule', 'delete', 'iif', 'net1', 'to', '::1'], 'rule'],
    ['a route is deleted', ['ip', '-6', 'route', 'delete', 'local', '::1', 'table', '7074'], 'route'],
  ];

  for (const [how, command, said] of edits) {
    it(`finds that ${how}, mends it and leaves the tables alone`, async () => {
      await agent.addAll();
      await agent.auditor.audit();
      const before = pieces.map((piece) => room.handles(piece));
      lab.web.run(command);
      await agent.auditor.audit();
      expect(agent.events).to.have.length(1);
      expect(agent.events[0])
        .to.match(/^RulesRepaired: /)
        .and.contain(said);
      expect(await room.loopback(6301)).to.have.property('server', 'cache');
      await agent.auditor.audit();
      expect(agent.events).to.have.length(1);
      expect(pieces.map((piece) => room.handles(piece))).to.deep.equal(before);
    });
  }

  it("finds the node's end of eth0 where an earlier version missed it, and blames nobody", async () => {
    await agent.addAll();
    const whole = room.ruleset('web');
    const { host, ...sandbox } = agent.registry.get(idOf('web'))!;
    expect(host.eth0?.device).to.equal('eth0-web');
    await agent.registry.put({ ...sandbox, host: { net1: host.net1 } });
    await agent.attachments.renew(sandbox.split);
    const filtersEth0 = () => room.ruleset('web').includes('eth0-web');
    expect(filtersEth0()).to.equal(false);
    room.agent = agent = await room.restarted();
    await agent.auditor.audit();
    expect(filtersEth0()).to.equal(true);
    expect(room.ruleset('web')).to.equal(whole);
    expect(agent.registry.get(idOf('web'))?.host).to.deep.equal(host);
    expect(agent.events).to.deep.equal([]);
  });

  it("leaves the piece's table alone when the node's is gone, and the other way round", async () => {
    await agent.addAll();
    const before = room.handles('web');
    outside('delete', 'table', 'netdev', room.tableOf('web'));
    await agent.auditor.audit();
    expect(room.handles('web')).to.equal(before);
  });

  it('changes nothing where all is well, whichever agent makes it', async () => {
    await agent.addAll();
    const before = pieces.map((piece) => room.handles(piece) + room.ruleset(piece));
    await agent.auditor.audit();
    const next = await room.restarted();
    await next.auditor.audit();
    await next.auditor.audit();
    expect(pieces.map((piece) => room.handles(piece) + room.ruleset(piece))).to.deep.equal(before);
    expect([...agent.events, ...next.events]).to.deep.equal([]);
  });

  it('mends the others where one piece cannot be mended, and wants another one soon', async () => {
    await agent.addAll();
    outside('flush', 'ruleset');
    agent.running = (command) => {
      if (command.includes(`--net=/run/netns/${namePrefix}cache`)) throw new Error('it broke');
    };
    await agent.auditor.audit();
    expect(room.tables()).to.deep.equal([room.tableOf('statsd'), room.tableOf('web')].sort());
    expect(agent.behind).to.equal(1);
    agent.running = () => undefined;
    await agent.auditor.audit();
    expect(room.tables()).to.have.length(3);
  });

  it('removes what is left of a sandbox that ended while no agent ran', async () => {
    await agent.addAll();
    const { registry } = agent;
    await registry.put({ ...registry.list()[0]!, id: 'gone', netns: `/run/netns/${namePrefix}gone` });
    outside('add', 'table', 'netdev', 'podsplit-gone');
    const next = await room.restarted();
    await next.auditor.audit();
    expect(next.registry.get('gone')).to.equal(undefined);
    expect(room.tables()).to.have.length(3).and.not.include('podsplit-gone');
    expect(room.files()).to.have.length(3);
    await registry.remove('gone');
  });

  it('keeps the rules of a sandbox whose file it cannot read', async () => {
    await agent.addAll();
    const before = room.ruleset('web');
    writeFileSync(join(room.folder, `${idOf('web')}.json`), 'broken');
    room.agent = agent = await room.restarted();
    for (let i = 0; i < 3; i++) await agent.auditor.audit();
    expect(room.ruleset('web')).to.equal(before);
    await agent.call('DEL', 'web');
    expect(room.tables()).to.deep.equal([room.tableOf('cache'), room.tableOf('statsd')].sort());
    expect(room.files()).to.have.length(2);
  });

  it('collects a table of nobody and an idle bridge, but not at first sight', async () => {
    await agent.addAll();
    lab.node.run(['ip', 'link', 'add', 'ps-idle', 'type', 'bridge']);
    lab.node.run(['ip', 'link', 'add', 'ps-used', 'type', 'bridge']);
    agent.bridgesInUse.add('ps-used');
    outside('add', 'table', 'netdev', 'podsplit-nobody');
    outside('add', 'chain', 'netdev', 'podsplit-nobody', 'net1');
    outside('add', 'table', 'netdev', 'somebody-else');
    const there = () => ({
      table: room.tables().includes('podsplit-nobody'),
      bridge: lab.node.run(['ip', '-o', 'link', 'show', 'type', 'bridge']).includes('ps-idle'),
    });
    await agent.auditor.audit();
    expect(there()).to.deep.equal({ table: true, bridge: true });
    await agent.auditor.audit();
    expect(there()).to.deep.equal({ table: false, bridge: false });
    expect(room.tables()).to.include('somebody-else').and.have.length(4);
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
    const adding = agent.add('web');
    await loaded;
    await agent.auditor.audit();
    await agent.auditor.audit();
    expect(room.tables()).to.deep.equal([room.tableOf('web')]);
    resolve(undefined);
    await adding;
    expect(room.tables()).to.deep.equal([room.tableOf('web')]);
  });
});
