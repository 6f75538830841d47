import { expect } from 'chai';
import { flows, localOf, sites, type Lab } from './lab.ts';
import { denied, idOf, patience, pieces, podOf, refusal, requestOf, wiringText } from './agent-pods.ts';
import { eventually } from '../support/eventually.ts';
import { inAgentRoom, type AgentRoom } from './agent-room.ts';
import type { LabAgent } from './lab-agent.ts';
import { namePrefix } from './namespace.ts';
import { hostTableName } from '../../controller/rules/host.ts';

describe('the node agent in network namespaces: calls of the plugin', function () {
  this.timeout(300_000);
  let room: AgentRoom;
  let lab: Lab;
  let agent: LabAgent;

  inAgentRoom((entered) => {
    room = entered;
    ({ lab, agent } = entered);
  });

  describe('ADD', () => {
    it('closes a namespace before there is a net1, and opens what the flows say after', async () => {
      for (const piece of pieces) {
        lab.detach(piece);
        lab.attach(piece);
      }
      // Nobody's rules yet: in one network all is open, by the Pod IPs too.
      expect(await lab.web.call({ proto: 'tcp', host: sites.cache.ipv4, port: 7001 })).to.have.property('server');
      expect(await lab.statsd.call({ proto: 'tcp', host: sites.web.podIPs[0], port: 9200 })).to.have.property('server');
      for (const piece of pieces) await agent.close(piece);
      const closed = await lab.web.call({ proto: 'tcp', host: sites.cache.ipv4, port: 7001, timeout: patience });
      expect(closed).to.deep.equal(denied);

      await Promise.all(pieces.map((piece) => agent.call('ADD', piece)));
      expect(await room.loopback(6301)).to.include({ server: 'cache', peer: '::ffff:127.0.0.1' });
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
      const result = await agent.add('web');
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
      await agent.add('web');
      expect(agent.registry.ofPod('uid-web')?.wiring).to.equal(wiringText('web', less));
    });

    it('of a sandbox that was made anew retires the one before it', async () => {
      await agent.addAll();
      await agent.add('cache', { id: 'another-sandbox' });
      expect(room.files()).to.deep.equal(['another-sandbox.json', `${idOf('statsd')}.json`, `${idOf('web')}.json`]);
      expect(room.tables()).to.deep.equal(['podsplit-another-sand', room.tableOf('statsd'), room.tableOf('web')]);
      expect(await room.loopback(6301)).to.have.property('server', 'cache');
    });

    it('that is refused, or that fails halfway, leaves nothing', async () => {
      agent.verifying = () => Promise.reject(new Error('no'));
      expect(await refusal(agent.add('web'))).to.have.property('message', 'no');
      room.expectNothingLeft();
      agent.verifying = () => Promise.resolve();
      agent.running = (command) => {
        if (command[0] === 'bridge') throw new Error('it broke');
      };
      expect(await refusal(agent.add('web'))).to.have.property('message', 'it broke');
      room.expectNothingLeft();
    });

    it('is told by a peer that cannot be told to nobody but the audit', async () => {
      await agent.add('cache');
      agent.running = (command) => {
        if (command.includes(`--net=/run/netns/${namePrefix}cache`)) throw new Error('it broke');
      };
      await agent.add('web');
      expect(agent.behind).to.equal(1);
      agent.running = () => undefined;
      await agent.auditor.audit();
      expect(await room.loopback(6301)).to.have.property('server', 'cache');
      expect(agent.events).to.deep.equal([]);
    });

    it("is refused in the node's own network namespace, and outside the runtime's folder", async () => {
      const request = requestOf('ADD', 'web', 'x', 'close');
      for (const netns of [
        '/proc/self/ns/net',
        '/run/netns/../../proc/self/ns/net',
        `/run/netns/${namePrefix}nobody`,
      ]) {
        const call = agent.attachments.handle({ ...request, netns }, new AbortController().signal);
        expect(await refusal(call), netns).to.equal('BadNetns');
      }
    });
  });

  it('says so where tc filters come before its own on eth0, once nobody waits', async () => {
    const tc = (...words: readonly string[]) => lab.node.run(['tc', ...words]);
    tc('qdisc', 'add', 'dev', 'eth0-web', 'clsact');
    tc('filter', 'add', 'dev', 'eth0-web', 'ingress', 'u32', 'match', 'u32', '0', '0', 'classid', '1:1');
    // Without filters the qdisc sees nothing.
    tc('qdisc', 'add', 'dev', 'eth0-cache', 'clsact');
    try {
      await agent.addAll();
      expect(agent.passedAround).to.deep.equal([]);
      await eventually('it is said', () => {
        expect(agent.passedAround).to.deep.equal(['web']);
      });
    } finally {
      for (const piece of ['web', 'cache']) tc('qdisc', 'delete', 'dev', `eth0-${piece}`, 'clsact');
    }
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
      expect(room.ruleset('web')).to.contain('net1-cache');
      await agent.call('DEL', 'cache');
      expect(room.tables()).to.deep.equal([room.tableOf('statsd'), room.tableOf('web')].sort());
      expect(room.files()).to.have.length(2);
      expect(room.ruleset('web')).not.to.contain('net1-cache');
      for (const id of [idOf('cache'), 'nobody']) {
        expect(await refusal(agent.call('DEL', 'cache', { id }))).to.equal('none');
      }
      await Promise.all(pieces.map((piece) => agent.call('DEL', piece)));
      room.expectNothingLeft();
    });

    it('before an ADD, or between its two calls, ends it', async () => {
      await agent.close('web');
      await agent.call('DEL', 'web');
      expect(await refusal(agent.call('ADD', 'web'))).to.equal('Cancelled');
      expect(await refusal(agent.close('web'))).to.equal('Cancelled');
      room.expectNothingLeft();
    });

    it('while the Pod is verified ends the ADD', async () => {
      agent.verifying = async () => {
        await agent.call('DEL', 'web');
      };
      expect(await refusal(agent.call('ADD', 'web'))).to.equal('Cancelled');
      room.expectNothingLeft();
    });

    /** Programs that an ADD runs once it has the lock, each with the Pod's peers there. */
    const moments = ['nft -f -', 'nft list counter', 'ip -4 -batch', 'bridge -batch', '-cache -- '];
    for (const moment of moments) {
      it(`during an ADD that runs "${moment}" leaves nothing of it`, async () => {
        await agent.add('cache');
        await agent.close('web');
        const before = room.ruleset('cache');
        let deleted: Promise<unknown> | undefined;
        agent.running = (command) => {
          if (command.join(' ').includes(moment)) deleted ??= agent.call('DEL', 'web');
        };
        expect(await refusal(agent.call('ADD', 'web'))).to.equal('Cancelled');
        expect(deleted).to.not.equal(undefined);
        await deleted;
        expect({ tables: room.tables(), files: room.files() }).to.deep.equal({
          tables: [room.tableOf('cache')],
          files: [`${idOf('cache')}.json`],
        });
        expect(room.ruleset('cache')).to.equal(before);
        expect(agent.attachments.underWay()).to.deep.equal([]);
      });

      it(`and a plugin that goes away while it runs "${moment}" neither`, async () => {
        await agent.add('cache');
        await agent.close('web');
        const gone = new AbortController();
        agent.running = (command) => {
          if (command.join(' ').includes(moment)) gone.abort();
        };
        expect(await refusal(agent.call('ADD', 'web', { signal: gone.signal }))).to.equal('Cancelled');
        expect(room.tables()).to.deep.equal([room.tableOf('cache')]);
        // The sandbox has not ended for all that: its next try is another call.
        agent.running = () => undefined;
        expect(await refusal(agent.add('web'))).to.equal('none');
        expect(await room.loopback(6301)).to.have.property('server', 'cache');
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
      expect(room.tables()).to.deep.equal([room.tableOf('statsd'), room.tableOf('web')].sort());
      expect(room.ruleset('web')).not.to.contain('net1-cache');
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
    await agent.addAll((piece) => `${piece}-last`);
    expect(room.tables()).to.deep.equal(
      agent.registry
        .ids()
        .map((id) => hostTableName(id.slice(0, 12)))
        .sort(),
    );
    expect(room.files()).to.deep.equal(
      agent.registry
        .ids()
        .map((id) => `${id}.json`)
        .sort(),
    );
    expect(await room.loopback(6301)).to.have.property('server', 'cache');
  });
});
