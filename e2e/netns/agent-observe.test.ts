import { expect } from 'chai';
import { Observer } from '../../controller/agent/observer.ts';
import { parseUsed, UseLedger, usesOf } from '../../controller/agent/use-ledger.ts';
import type { Flow } from '../../controller/api/flow.ts';
import type { ObservedUse } from '../../controller/api/resources.ts';
import { host, type Host } from '../../controller/netns/host.ts';
import { silentLogger } from '../../controller/observability/log.ts';
import { denied, idOf, patience, pieces, podOf, wiringText } from './agent-pods.ts';
import { AgentRoom } from './agent-room.ts';
import { otherPod, sites, type Lab, type PieceName } from './lab.ts';
import type { LabAgent } from './lab-agent.ts';

const declared: readonly Flow[] = [{ from: 'web', to: 'cache', port: 6301, protocol: 'tcp' }];
const refused = { error: 'ECONNREFUSED' };

describe('the node agent in network namespaces: a Pod that is observed', function () {
  this.timeout(300_000);
  let room: AgentRoom;
  let lab: Lab;
  let agent: LabAgent;

  before(async () => {
    room = await AgentRoom.open();
    ({ lab } = room);
    for (const piece of ['web', 'cache'] as const) await lab[piece].listen('tcp', '127.0.0.1', 7002);
    await lab.other.listen('tcp', '::', 80, true);
  });

  after(() => {
    room.close();
  });

  beforeEach(async () => {
    await room.enter();
    ({ agent } = room);
    for (const piece of pieces)
      agent.pods.set(piece, podOf(piece, wiringText(piece, declared, { observe: { from: pieces, to: pieces } })));
    await agent.addAll();
  });

  afterEach(() => room.leave());

  it('reaches what listens and nobody declared, once the agent has looked', async () => {
    expect(await room.loopback(7001)).to.deep.equal(refused);
    await look();
    for (const proto of ['tcp', 'udp'] as const) {
      expect(await room.loopback(7001, proto), proto).to.have.property('server', 'cache');
      const answer = await lab.statsd.call({ proto, host: '::1', port: 7001, timeout: patience });
      expect(answer, proto).to.have.property('server', 'cache');
    }
    expect(await call('cache', 9200)).to.have.property('server', 'web');
    expect(await call('web', 6301), 'declared').to.have.property('server', 'cache');
  });

  it('leaves a port with two listeners to each of them, and to nobody else', async () => {
    await look();
    expect(await call('web', 7002)).to.have.property('server', 'web');
    expect(await call('cache', 7002)).to.have.property('server', 'cache');
    expect(await call('statsd', 7002)).to.deep.equal(refused);
  });

  it('stays closed where nobody listens, and keeps who is who', async () => {
    await look();
    const { ipv4: net1, podIPs } = sites.cache;
    for (const at of [net1, podIPs[0]]) {
      expect(await lab.web.call({ proto: 'tcp', host: at, port: 7999, timeout: patience }), at).to.deep.equal(denied);
    }
    expect(lab.web.run(['nft', 'list', 'counter', 'inet', 'podsplit', 'spoofed'])).to.contain('packets 0');
  });

  it('records each connection that a piece opens, inside and out, and what would have been denied', async () => {
    await look();
    await call('web', 6301);
    await call('web', 7001);
    await call('web', 7001);
    await lab.web.call({ proto: 'udp', host: '::1', port: 7001, timeout: patience });
    await lab.web.call({ proto: 'tcp', host: otherPod.ipv6, port: 80, timeout: patience });
    expect(told('web')).to.have.deep.members([
      { from: 'web', to: 'cache', port: 6301, protocol: 'tcp', network: 'peer', connections: 1, wouldDeny: false },
      { from: 'web', to: 'cache', port: 7001, protocol: 'tcp', network: 'peer', connections: 2, wouldDeny: true },
      { from: 'web', to: 'cache', port: 7001, protocol: 'udp', network: 'peer', connections: 1, wouldDeny: true },
      { from: 'web', to: otherPod.ipv6, port: 80, protocol: 'tcp', network: 'pod', connections: 1, wouldDeny: false },
    ]);
    expect(told('cache'), 'who answers opens nothing').to.deep.equal([]);
  });

  it('follows new listeners by elements, keeps records, and is no drift for the next agent', async () => {
    await look();
    await call('web', 7001);
    const before = pieces.map((piece) => room.handles(piece));
    const port = 7100 + Math.floor(Math.random() * 800);
    await lab.statsd.listen('tcp', '127.0.0.1', port);
    expect(await call('web', port)).to.deep.equal(refused);
    await look();
    expect(await call('web', port)).to.have.property('server', 'statsd');
    expect(pieces.map((piece) => room.handles(piece))).to.deep.equal(before);
    expect(told('web').map((use) => use.port)).to.have.members([7001, port]);

    room.agent = agent = await room.restarted();
    await agent.auditor.audit();
    expect(agent.events).to.deep.equal([]);
    expect(await call('web', port)).to.have.property('server', 'statsd');
  });

  it('then enforced by what was seen works unchanged, and what was not seen fails', async () => {
    await look();
    const unseen = { proto: 'udp', host: '127.0.0.1', port: 7001, timeout: patience } as const;
    await call('web', 6301);
    await call('web', 7001);
    const seen = told('web').map(({ from, to, port, protocol }) => ({ from, to, port, protocol }));
    expect(await lab.statsd.call(unseen), 'while it is observed').to.have.property('server', 'cache');

    await Promise.all(pieces.map((piece) => agent.rewire(piece, seen)));
    expect(await call('web', 6301)).to.have.property('server', 'cache');
    expect(await call('web', 7001)).to.have.property('server', 'cache');
    expect(await lab.statsd.call(unseen)).to.have.property('error');
    const direct = { ...unseen, proto: 'tcp', host: sites.cache.ipv4 } as const;
    expect(await lab.statsd.call(direct)).to.deep.equal(denied);
    await look();
    expect(await lab.statsd.call(unseen), 'and stays so').to.have.property('error');
  });

  function look(): Promise<void> {
    const inNode: Host = {
      ...host,
      run: (command, input) => host.run(['ip', 'netns', 'exec', lab.node.name, ...command], input),
    };
    const { registry, attachments } = agent;
    return new Observer({ host: inNode, registry, attachments, log: silentLogger }).look();
  }

  function call(piece: PieceName, port: number): Promise<unknown> {
    return lab[piece].call({ proto: 'tcp', host: '127.0.0.1', port, timeout: patience });
  }

  function told(piece: PieceName): readonly Omit<ObservedUse, 'lastSeen'>[] {
    const ledger = new UseLedger();
    const listed = lab[piece].run(['nft', '-j', 'list', 'table', 'inet', 'podsplit']);
    ledger.take(parseUsed(JSON.parse(listed)).uses, Date.now());
    return usesOf(ledger, agent.registry.get(idOf(piece))!).map(({ lastSeen: _lastSeen, ...use }) => use);
  }
});
