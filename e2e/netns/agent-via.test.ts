import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Via } from '../../controller/rules/wiring.ts';
import { idOf, patience, pieces } from './agent-pods.ts';
import { inAgentRoom, type AgentRoom } from './agent-room.ts';
import { appears } from './attacks.ts';
import { flows, outside, type Lab } from './lab.ts';
import type { LabAgent } from './lab-agent.ts';
import { gets, keptFrames, type Way } from './via-frames.ts';

/** An address of the outside that has sent nothing: nobody who sent something to a piece counts for what it could not do. */
const silent = { ipv4: '192.0.2.10', ipv6: '2001:db8::10' } as const;
const proxyPort = 15001;

describe('the node agent in network namespaces: a way out that changes while the pieces run', function () {
  this.timeout(300_000);
  let room: AgentRoom;
  let lab: Lab;
  let agent: LabAgent;

  inAgentRoom((entered) => {
    room = entered;
    ({ lab, agent } = entered);
  }, prepare);

  const carried: readonly Via[] = [{ from: 'web', to: 'cache', port: proxyPort, dns: 'none', resolvers: [] }];
  const closed: readonly Via[] = [{ from: 'web', dns: 'none', resolvers: [] }];

  async function tell(via: readonly Via[] | undefined): Promise<void> {
    await Promise.all(pieces.map((piece) => agent.rewire(piece, flows, via === undefined ? {} : { via })));
  }

  function call(proto: 'tcp' | 'udp' = 'tcp'): Promise<unknown> {
    return lab.web.call({ proto, host: outside.ipv4, port: 80, timeout: patience });
  }

  it('comes, turns into none, and goes, on the node too, and the table of the piece is changed by elements', async () => {
    await agent.addAll();
    expect(await call()).to.have.property('server', 'outside');
    expect(await lab.web.open('direct', { proto: 'tcp', host: outside.ipv4, port: 80 })).to.have.property('server');
    const [handles, before] = [room.handles('web'), room.ruleset('web')];
    expect(before).not.to.contain('eth0_to_piece');

    await tell(carried);
    expect(room.ruleset('web')).to.contain('eth0_to_piece');
    expect(await call()).to.have.property('server', 'cache');
    expect(await call('udp')).to.have.property('error');
    expect(await lab.web.again('direct', patience)).to.have.property('error');

    await tell(closed);
    expect(await call()).to.have.property('error');
    expect(room.ruleset('web')).to.contain('eth0_to_piece');

    await tell(undefined);
    expect(await call()).to.have.property('server', 'outside');
    expect(room.handles('web')).to.equal(handles);
    expect(room.ruleset('web')).to.equal(before);
    expect(agent.events).to.deep.equal([]);
  });

  for (const frame of keptFrames) {
    it(`ends at the node what a packet socket sends: ${frame.name}`, async () => {
      await agent.addAll();
      const heard = (to: Way['to'], seconds: number): Promise<boolean> =>
        gets(lab, frame, { from: 'web', to }, (check) => appears(seconds, check));
      expect(await heard(outside, 3), 'not kept').to.equal(true);
      await tell(closed);
      expect(await heard(silent, 0.1), 'kept').to.equal(false);
      await tell(undefined);
      expect(await heard(outside, 3), 'not kept any more').to.equal(true);
    });
  }

  it('is followed by an agent that has just started', async () => {
    await agent.addAll();
    const next = await room.restarted();
    await Promise.all(pieces.map((piece) => next.rewire(piece, flows, { via: carried })));
    expect(await call()).to.have.property('server', 'cache');
    await next.auditor.audit();
    expect(next.events).to.deep.equal([]);
    expect(await call()).to.have.property('server', 'cache');
  });

  it('is said to be open where the node has no end of eth0, once, and the piece keeps itself', async () => {
    await agent.addAll();
    const path = join(room.folder, `${idOf('web')}.json`);
    const { host, ...sandbox } = JSON.parse(readFileSync(path, 'utf8')) as { readonly host: { readonly net1: string } };
    writeFileSync(path, JSON.stringify({ ...sandbox, host: { net1: host.net1 } }));
    agent = await room.restarted();
    await tell(carried);
    expect(agent.events).to.deep.equal(['EgressOpen']);
    expect(await call()).to.have.property('server', 'cache');
    await tell(closed);
    expect(agent.events).to.deep.equal(['EgressOpen']);
  });
});

async function prepare(lab: Lab): Promise<void> {
  for (const proto of ['tcp', 'udp'] as const) await lab.outside.listen(proto, '::', 80, true);
  for (const host of ['127.0.0.1', '::1']) await lab.cache.listen('tcp', host, proxyPort);
  for (const each of [lab.outside, lab.other]) await each.must('sniff', { interface: 'eth0' });
  lab.outside.run(['ip', 'address', 'add', `${silent.ipv4}/24`, 'dev', 'eth0']);
  lab.outside.run(['ip', 'address', 'add', `${silent.ipv6}/64`, 'dev', 'eth0', 'nodad']);
}
