import { expect } from 'chai';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rewire } from '../../controller/agent/rewire.ts';
import type { Flow } from '../../controller/api/flow.ts';
import { silentLogger } from '../../controller/observability/log.ts';
import { idOf, patience, pieces, podOf, wiringText } from './agent-pods.ts';
import { inAgentRoom, type AgentRoom } from './agent-room.ts';
import { flows, sites, type Lab } from './lab.ts';
import type { LabAgent } from './lab-agent.ts';

describe('the node agent in network namespaces: flows that change', function () {
  this.timeout(300_000);
  let room: AgentRoom;
  let lab: Lab;
  let agent: LabAgent;

  inAgentRoom((entered) => {
    room = entered;
    ({ lab, agent } = entered);
  });

  const added: Flow = { from: 'web', to: 'cache', port: 6305, protocol: 'tcp' };
  const addedUdp: Flow = { ...added, protocol: 'udp' };
  const changed = [...flows.filter(({ port }) => port !== 6302), added, addedUdp];

  it('are followed by elements, and connections of other flows stay', async () => {
    await agent.addAll();
    expect(await lab.web.open('kept', { proto: 'tcp', host: '127.0.0.1', port: 6301 })).to.have.property('server');
    const before = pieces.map((piece) => room.handles(piece));
    await Promise.all(pieces.map((piece) => agent.rewire(piece, changed)));
    expect(await room.loopback(6305)).to.have.property('server', 'cache');
    expect(await room.loopback(6305, 'udp')).to.have.property('server', 'cache');
    expect(await lab.web.again('kept', patience)).to.have.property('server', 'cache');
    expect(pieces.map((piece) => room.handles(piece))).to.deep.equal(before);
    expect(await agent.rewire('web', changed)).to.equal(false);
  });

  it('are cut where they are taken', async () => {
    await agent.addAll();
    const target = { proto: 'tcp', host: '127.0.0.1', port: 6301 } as const;
    expect(await lab.web.open('taken', target)).to.have.property('server', 'cache');
    const without = flows.filter(({ port }) => port !== 6301);
    await Promise.all(pieces.map((piece) => agent.rewire(piece, without)));
    expect(await lab.web.again('taken', patience)).to.have.property('error');
    expect(await room.loopback(6301)).to.have.property('error');
  });

  it('and change back at once end as they were', async () => {
    await agent.addAll();
    const before = room.ruleset('web');
    await Promise.all([agent.rewire('web', changed), agent.rewire('web', flows)]);
    expect(agent.registry.ofPod('uid-web')?.wiring).to.equal(wiringText('web'));
    expect(room.ruleset('web')).to.equal(before);
  });

  it('are not taken where they bring other addresses', async () => {
    await agent.addAll();
    const before = room.ruleset('web');
    const text = wiringText('web').replaceAll(sites.cache.mac, '0a:58:c6:12:00:0f');
    const { registry, attachments } = agent;
    const events = { event: (_: unknown, __: unknown, reason: string) => agent.events.push(reason) };
    const deps = { registry, attachments, events, log: silentLogger, applied: () => undefined };
    expect(await rewire(podOf('web', text), deps)).to.equal(false);
    expect(agent.events).to.deep.equal(['WiringRefused']);
    expect(room.ruleset('web')).to.equal(before);
  });

  it('while no agent ran are no drift: the next one follows them and blames nobody', async () => {
    await agent.addAll();
    const before = room.ruleset('web');
    const next = await room.restarted();
    await next.auditor.audit();
    expect(room.ruleset('web')).to.equal(before);
    await Promise.all(pieces.map((piece) => next.rewire(piece, changed)));
    expect(await room.loopback(6305)).to.have.property('server', 'cache');

    // It was killed after it had written down what it wanted, and before it did it.
    const path = join(room.folder, `${idOf('web')}.json`);
    const sandbox = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...sandbox, wiring: wiringText('web') }));
    room.agent = agent = await room.restarted();
    await agent.auditor.audit();
    expect(await room.loopback(6305)).to.have.property('error');
    expect(agent.events).to.deep.equal([]);
  });
});
