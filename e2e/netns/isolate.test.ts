import { expect } from 'chai';
import { markOf, outsider } from '../../controller/rules/isolate-model.ts';
import type { Agent, Answer, Target } from '../attack/agent.ts';
import { eventually } from '../support/eventually.ts';
import { inside, IsolateLab, node, other, pod, wiring } from './isolate-lab.ts';

const denied = { error: 'ETIMEDOUT' };
const refused = { error: 'ECONNREFUSED' };
/** sendto(2) of a datagram that its own rules drop. */
const forbidden = { error: 'EPERM' };
const patience = 0.2;

function tcp(host: string, port: number, more: Partial<Target> = {}): Target {
  return { proto: 'tcp', host, port, timeout: patience, ...more };
}

function udp(host: string, port: number, more: Partial<Target> = {}): Target {
  return { proto: 'udp', host, port, timeout: patience, ...more };
}

function servedBy(answer: Answer): string {
  return 'server' in answer ? answer.server : answer.error;
}

describe('an isolated Pod in a network namespace', function () {
  this.timeout(300_000);
  let lab: IsolateLab;

  before(async () => {
    lab = new IsolateLab();
    await Promise.all([
      lab.web.listen('tcp', '::', 8080, true),
      lab.web.listen('tcp', '::', 8081, true),
      // An admin port that nobody declares.
      lab.web.listen('tcp', '::', 9901, true),
      lab.web.listen('udp', '::', 9902, true),
      lab.cache.listen('tcp', '::', 6379, true),
      lab.cache.listen('udp', '::', 8125, true),
      lab.cache.listen('tcp', '::', 9910, true),
      lab.attacker.listen('tcp', '::', 7000, true),
      lab.attacker.listen('udp', '::', 7001, true),
      lab.other.listen('tcp', '::', 80, true),
      lab.other.listen('udp', '::', 53, true),
      lab.node.listen('tcp', '::', 80, true),
    ]);
  });

  after(() => {
    lab.end();
  });

  describe('without podsplit', () => {
    for (const host of inside) {
      it(`everybody reaches everything at ${host}`, async () => {
        await expectServed([
          [lab.attacker, tcp(host, 6379), 'cache'],
          [lab.attacker, tcp(host, 9901), 'web'],
          [lab.attacker, udp(host, 8125), 'cache'],
          [lab.attacker, udp(host, 9902), 'web'],
          [lab.stranger, tcp(host, 6379), 'cache'],
        ]);
      });
    }

    it('a datagram to a group on eth0 comes back to the Pod that sent it', async () => {
      await lab.web.must('listen', { proto: 'udp', host: '0.0.0.0', port: 9903, group: '239.1.2.3' });
      await lab.attacker.must('cast', { host: '239.1.2.3', port: 9903, via: pod.ipv4 });
      await eventually('the datagram came back', async () => {
        expect(await lab.web.seen(9903)).to.have.length(1);
      });
    });

    it('TCP Fast Open works', async () => {
      lab.pod.run(['sysctl', '-qw', 'net.ipv4.tcp_fastopen=0x207']);
      await lab.web.must('listen', { proto: 'tcp', host: '127.0.0.1', port: 9904, fastopen: true });
      expect(await lab.attacker.must('fastopen', { host: '127.0.0.1', port: 9904 })).to.include({ server: 'web' });
    });
  });

  describe('with its rules', () => {
    before(() => {
      lab.wire();
    });

    for (const host of inside) {
      it(`lets flows pass at ${host}, and what a container serves itself`, async () => {
        await expectServed([
          [lab.web, tcp(host, 6379), 'cache'],
          [lab.web, udp(host, 8125), 'cache'],
          [lab.web, tcp(host, 9901), 'web'],
          [lab.web, tcp(host, 8080), 'web'],
          [lab.cache, udp(host, 8125), 'cache'],
          [lab.attacker, tcp(host, 7000), 'attacker'],
        ]);
      });

      it(`lets nothing else pass at ${host}`, async () => {
        for (const [who, target, how] of [
          [lab.attacker, tcp(host, 6379), denied],
          [lab.attacker, tcp(host, 8080), denied],
          [lab.attacker, tcp(host, 9901), denied],
          [lab.attacker, tcp(host, 9910), denied],
          [lab.cache, tcp(host, 9901), denied],
          [lab.cache, tcp(host, 7000), denied],
          [lab.web, tcp(host, 9910), denied],
          [lab.attacker, udp(host, 8125), forbidden],
          [lab.attacker, udp(host, 9902), forbidden],
          [lab.cache, udp(host, 7001), forbidden],
          // An own port too, where it is not declared: nobody knows whose it is before it has the datagram.
          [lab.attacker, udp(host, 7001), forbidden],
          [lab.stranger, tcp(host, 6379), denied],
          [lab.stranger, udp(host, 8125), forbidden],
          [lab.pod, tcp(host, 6379), denied],
        ] as const) {
          const before = await seenByAll(target.port);
          expect(await who.call(target), `${who.name} ${target.proto}/${target.port}`).to.deep.equal(how);
          expect(await seenByAll(target.port), `${who.name} ${target.proto}/${target.port}`).to.equal(before);
        }
      });
    }

    it('says at once that nobody listens', async () => {
      expect(await lab.web.call(tcp('127.0.0.1', 4444))).to.deep.equal(refused);
      expect(await lab.web.call(tcp('::1', 4444))).to.deep.equal(refused);
      expect(await lab.other.call(tcp(pod.ipv4, 4444))).to.deep.equal(refused);
    });

    it('is not taken in by the ways around addresses and routes', async () => {
      expect(await lab.attacker.call(tcp('127.9.9.9', 6379))).to.deep.equal(denied);
      expect(await lab.attacker.call(tcp(pod.ipv4, 6379, { device: 'eth0' }))).to.deep.equal(denied);
      expect(servedBy(await lab.attacker.call(tcp('127.0.0.1', 6379, { device: 'eth0' })))).to.match(/^E/);
      const forged = tcp(pod.ipv6, 6379, { source: '2001:db8::9', freebind: true });
      expect(await lab.attacker.call(forged)).to.deep.equal(denied);
      const before = (await lab.web.seen(9903)).length;
      await lab.attacker.must('cast', { host: '239.1.2.3', port: 9903, via: pod.ipv4 });
      // Its successor by the same way is what proves that the datagram had its time.
      expect(servedBy(await lab.web.call(udp('127.0.0.1', 8125)))).to.equal('cache');
      expect(await lab.web.seen(9903)).to.have.length(before);
    });

    it('takes no data before it is known who answers', async () => {
      const before = (await lab.web.seen(9904)).length;
      const { error } = await lab.attacker.ask('fastopen', { host: '127.0.0.1', port: 9904, timeout: 0.5 });
      expect(error).to.equal('ETIMEDOUT');
      expect(await lab.web.seen(9904)).to.have.length(before);
    });

    it('knows the UID of sockets of multipath TCP', async () => {
      await lab.cache.must('listen', { proto: 'tcp', host: '127.0.0.1', port: 6380, mptcp: true });
      expect(servedBy(await lab.web.call(tcp('127.0.0.1', 6380)))).to.equal('cache');
      expect(servedBy(await lab.web.call(tcp('127.0.0.1', 6380, { mptcp: true })))).to.equal('cache');
      expect(await lab.attacker.call(tcp('127.0.0.1', 6380, { mptcp: true }))).to.deep.equal(denied);
      await lab.cache.must('unlisten', { port: 6380 });
    });

    it("gives a call to nobody who took the other's port", async () => {
      for (const host of ['127.0.0.1', '::1']) {
        await lab.attacker.listen('tcp', host, 6380);
        expect(await lab.web.call(tcp(host, 6380))).to.deep.equal(denied);
        expect(await lab.attacker.seen(6380)).to.deep.equal([]);
        await lab.attacker.must('unlisten', { port: 6380 });
        await lab.cache.listen('tcp', host, 6380);
        expect(servedBy(await lab.web.call(tcp(host, 6380)))).to.equal('cache');
        await lab.cache.must('unlisten', { port: 6380 });
      }
    });

    it("fills nobody's queue with connections that it denies", async () => {
      for (const host of ['127.0.0.1', '::1']) {
        for (const port of [9901, 8080]) {
          await lab.attacker.must('knock', { host, port, times: 300 });
          expect(servedBy(await lab.web.call(tcp(host, port)))).to.equal('web');
        }
      }
      // Else they go on for minutes, into tests that count.
      await lab.attacker.must('knock', { host: '::1', port: 8080, times: 0 });
    });

    it("lets nobody answer, or go on, with another's address and port", async () => {
      const open = await lab.web.open('dns', udp(other.ipv4, 53, { sport: 40_053 }));
      expect(servedBy(open)).to.equal('other');
      await lab.web.must('close', { key: 'dns' });
      // The connection is known for a minute and more; its socket is the attacker's now, who may call this by itself.
      expect(await lab.attacker.call(udp(other.ipv4, 53, { sport: 40_053 }))).to.deep.equal(forbidden);

      await lab.cache.must('unlisten', { port: 8125 });
      await lab.attacker.listen('udp', '127.0.0.1', 8125);
      // The datagram is delivered (docs/security.md says so), the answer is not.
      expect(await lab.web.call(udp('127.0.0.1', 8125))).to.deep.equal(denied);
      expect(await lab.attacker.seen(8125)).to.have.length(1);
      await lab.attacker.must('unlisten', { port: 8125 });
      await lab.cache.listen('udp', '::', 8125, true);
    });

    it('lets containers call the outside, and be called, as a Pod does', async () => {
      for (const host of [other.ipv4, other.ipv6]) {
        expect(servedBy(await lab.attacker.call(tcp(host, 80)))).to.equal('other');
        expect(servedBy(await lab.web.call(udp(host, 53)))).to.equal('other');
        expect(await lab.stranger.call(tcp(host, 80))).to.deep.equal(denied);
        expect(await lab.pod.call(tcp(host, 80))).to.deep.equal(denied);
      }
      for (const host of [pod.ipv4, pod.ipv6]) {
        for (const caller of [lab.other, lab.node]) {
          expect(servedBy(await caller.call(tcp(host, 8080)))).to.equal('web');
          expect(servedBy(await caller.call(tcp(host, 7000)))).to.equal('attacker');
          expect(servedBy(await caller.call(udp(host, 8125)))).to.equal('cache');
          expect(await caller.call(udp(host, 7001))).to.deep.equal(denied);
        }
      }
      for (const [who, host] of [
        [lab.other, pod.ipv4],
        [lab.other, pod.ipv6],
        [lab.web, other.ipv4],
        [lab.web, other.ipv6],
        [lab.web, '127.0.0.1'],
        [lab.web, '::1'],
      ] as const) {
        expect(await who.must('ping', { host, timeout: 1 }), `${who.name} ${host}`).to.equal('hello');
      }
      expect(await lab.stranger.ask('ping', { host: other.ipv4 })).to.include({ error: 'EPERM' });
    });

    it('carries much, in both directions', async () => {
      for (const host of ['127.0.0.1', '::1']) {
        for (const op of ['sendBytes', 'fetchBytes']) {
          const { theirs, ours } = (await lab.web.must(op, { host, port: 6379, size: 20_000_000 })) as Digests;
          expect(theirs).to.equal(ours);
        }
      }
      expect(await lab.web.must('fetchDatagram', { host: '127.0.0.1', port: 8125, size: 60_000 })).to.equal(true);
    });

    it('records who was denied what', async () => {
      lab.wire();
      await lab.attacker.call(tcp('127.0.0.1', 6379));
      await lab.attacker.call(tcp(pod.ipv6, 9901));
      await lab.stranger.call(udp('127.0.0.1', 8125));
      const elements = lab.tried(4) + lab.tried(6);
      expect(elements).to.match(/0x00000003 \. 127\.0\.0\.1 \. 127\.0\.0\.1 \. (tcp|6) \. 6379 /);
      expect(elements).to.match(/0x00000103 \. fd77::8 \. fd77::8 \. (tcp|6) \. 9901 /);
      expect(elements).to.match(/0x000000fe \. 127\.0\.0\.1 \. 127\.0\.0\.1 \. (udp|17) \. 8125 /);
      expect(lab.counter('denied_out')).to.be.above(0);
    });
  });

  describe('whose policies restrict a container', () => {
    const [web, cache, attacker] = wiring.containers;
    const restricted = {
      containers: [
        { ...web!, podNetwork: { ingress: { enforce: [] } } },
        cache!,
        {
          ...attacker!,
          podNetwork: {
            egress: {
              enforce: [
                { addresses: `${other.ipv4}-${other.ipv4}`, protocol: 'udp', ports: { first: 53, last: 53 } },
                { addresses: `${other.ipv6}-${other.ipv6}` },
              ],
            },
            ingress: { enforce: [{ addresses: `${other.ipv4}-${other.ipv4}`, protocol: 'tcp' }] },
          },
        },
      ],
    } as const;

    before(() => {
      lab.wire(restricted);
    });

    it('lets it call what is allowed, and the others everything', async () => {
      expect(servedBy(await lab.attacker.call(udp(other.ipv4, 53)))).to.equal('other');
      expect(servedBy(await lab.attacker.call(tcp(other.ipv6, 80)))).to.equal('other');
      expect(await lab.attacker.call(tcp(other.ipv4, 80))).to.deep.equal(denied);
      expect(await lab.attacker.call(tcp(node.ipv4, 80))).to.deep.equal(denied);
      expect(await lab.attacker.call(tcp(node.ipv6, 80))).to.deep.equal(denied);
      expect(servedBy(await lab.web.call(tcp(other.ipv4, 80)))).to.equal('other');
      expect(servedBy(await lab.web.call(tcp('127.0.0.1', 6379)))).to.equal('cache');
    });

    it('lets in who is allowed, and the kubelet where it probes', async () => {
      expect(servedBy(await lab.other.call(tcp(pod.ipv4, 7000)))).to.equal('attacker');
      expect(await lab.other.call(tcp(pod.ipv6, 7000))).to.deep.equal(denied);
      expect(await lab.node.call(tcp(pod.ipv4, 7000))).to.deep.equal(denied);
      expect(await lab.other.call(tcp(pod.ipv4, 8080))).to.deep.equal(denied);
      expect(await lab.other.call(tcp(pod.ipv4, 8081))).to.deep.equal(denied);
      for (const host of [pod.ipv4, pod.ipv6]) {
        expect(servedBy(await lab.node.call(tcp(host, 8081)))).to.equal('web');
        expect(await lab.node.call(tcp(host, 8080))).to.deep.equal(denied);
      }
    });
  });

  describe('whose policies audit', () => {
    const [web, cache, attacker] = wiring.containers;
    const only = (address: string) => ({ audit: [{ addresses: `${address}-${address}` }] });

    before(() => {
      lab.wire({
        containers: [
          { ...web!, podNetwork: { ingress: only(other.ipv4) } },
          { ...cache!, podNetwork: { ingress: { audit: [] } } },
          { ...attacker!, podNetwork: { egress: only(other.ipv4) } },
        ],
        auditedFlows: wiring.flows.filter(({ port }) => port !== 6380),
      });
    });

    it('lets pass what they would refuse, and records each connection once', async () => {
      await expectServed([
        [lab.web, tcp('127.0.0.1', 6379), 'cache'],
        [lab.web, tcp(pod.ipv6, 6379), 'cache'],
        [lab.web, udp('::1', 8125), 'cache'],
        [lab.web, tcp('127.0.0.1', 9901), 'web'],
        [lab.attacker, tcp(other.ipv4, 80), 'other'],
        [lab.attacker, tcp(other.ipv6, 80), 'other'],
        [lab.attacker, udp(other.ipv6, 53), 'other'],
        [lab.web, tcp(other.ipv6, 80), 'other'],
        [lab.other, tcp(pod.ipv4, 8080), 'web'],
        [lab.other, tcp(pod.ipv6, 8080), 'web'],
        [lab.other, udp(pod.ipv4, 8125), 'cache'],
        // The kubelet's probe is no policy's business.
        [lab.node, tcp(pod.ipv6, 8081), 'web'],
      ]);
      expect(lab.recorded('audited').toSorted()).to.deep.equal(
        [
          `${markOf(1, 2)} 127.0.0.1 127.0.0.1 tcp 6379, 1`,
          `${markOf(1, 2)} ${pod.ipv6} ${pod.ipv6} tcp 6379, 1`,
          `${markOf(1, 0)} ::1 ::1 udp 8125, 1`,
          `${markOf(3, 0)} ${pod.ipv6} ${other.ipv6} tcp 80, 1`,
          `${markOf(3, 0)} ${pod.ipv6} ${other.ipv6} udp 53, 1`,
          `${markOf(outsider, 1)} ${other.ipv6} ${pod.ipv6} tcp 8080, 1`,
          `${markOf(outsider, 2)} ${other.ipv4} ${pod.ipv4} udp 8125, 1`,
        ].toSorted(),
      );
    });

    it('closes what is closed', async () => {
      expect(await lab.attacker.call(tcp('127.0.0.1', 6379))).to.deep.equal(denied);
      expect(await lab.stranger.call(tcp(other.ipv4, 80))).to.deep.equal(denied);
    });
  });

  describe('that is observed', () => {
    const all = ['attacker', 'cache', 'web'];

    it('lets pass what its containers open, and records it once', async () => {
      lab.wire({ observe: { from: all, to: all } });
      await expectServed([
        [lab.attacker, tcp('127.0.0.1', 6379), 'cache'],
        [lab.attacker, tcp('::1', 9901), 'web'],
        [lab.attacker, tcp(pod.ipv4, 8080), 'web'],
        [lab.attacker, udp('127.0.0.1', 9902), 'web'],
        [lab.cache, udp('::1', 7001), 'attacker'],
        [lab.web, tcp('127.0.0.1', 6379), 'cache'],
        [lab.web, tcp('127.0.0.1', 9901), 'web'],
        [lab.attacker, tcp(other.ipv4, 80), 'other'],
        [lab.web, udp(other.ipv6, 53), 'other'],
      ]);
      expect(lab.recorded('used').toSorted()).to.deep.equal(
        [
          `${markOf(3, 2)} 127.0.0.1 127.0.0.1 tcp 6379, 1`,
          `${markOf(3, 1)} ::1 ::1 tcp 9901, 1`,
          `${markOf(3, 1)} ${pod.ipv4} ${pod.ipv4} tcp 8080, 1`,
          `${markOf(3, 0)} 127.0.0.1 127.0.0.1 udp 9902, 1`,
          `${markOf(2, 0)} ::1 ::1 udp 7001, 1`,
          `${markOf(1, 2)} 127.0.0.1 127.0.0.1 tcp 6379, 1`,
          `${markOf(3, 0)} ${pod.ipv4} ${other.ipv4} tcp 80, 1`,
          `${markOf(1, 0)} ${pod.ipv6} ${other.ipv6} udp 53, 1`,
        ].toSorted(),
      );
    });

    it('keeps who is who', async () => {
      expect(await lab.stranger.call(tcp('127.0.0.1', 6379))).to.deep.equal(denied);
      expect(await lab.stranger.call(udp('127.0.0.1', 8125))).to.deep.equal(forbidden);
      expect(await lab.stranger.call(tcp(other.ipv4, 80))).to.deep.equal(denied);
      expect(await lab.attacker.call(tcp(pod.ipv6, 6379, { source: '2001:db8::9', freebind: true }))).to.deep.equal(
        denied,
      );
    });

    it('keeps closed what a policy closes', async () => {
      lab.change({ observe: { from: ['cache', 'web'], to: ['attacker', 'cache'] } });
      expect(await lab.attacker.call(tcp('127.0.0.1', 6379))).to.deep.equal(denied);
      expect(await lab.cache.call(tcp('127.0.0.1', 8080))).to.deep.equal(denied);
      expect(await lab.cache.call(tcp('127.0.0.1', 9901))).to.deep.equal(denied);
      expect(await lab.cache.call(udp('127.0.0.1', 9902))).to.deep.equal(forbidden);
      expect(servedBy(await lab.cache.call(tcp('127.0.0.1', 7000)))).to.equal('attacker');
    });

    it('enforces at once when its flows are listed, and cuts what is none of them', async () => {
      lab.wire({ observe: { from: all, to: all } });
      expect(servedBy(await lab.attacker.open('seen', tcp('127.0.0.1', 6379)))).to.equal('cache');
      expect(servedBy(await lab.web.open('flow', tcp('127.0.0.1', 6379)))).to.equal('cache');
      lab.wire();
      expect(await lab.attacker.again('seen', patience)).to.deep.equal(denied);
      expect(servedBy(await lab.web.again('flow', patience))).to.equal('cache');
    });
  });

  describe('whose flows change while it runs', () => {
    it('opens and cuts, and leaves alone what stays', async () => {
      lab.wire();
      const stays = tcp('127.0.0.1', 6379);
      expect(servedBy(await lab.web.open('stays', stays))).to.equal('cache');
      expect(await lab.attacker.call(stays)).to.deep.equal(denied);

      lab.change({ flows: [...wiring.flows, { from: 'attacker', to: 'cache', port: 6379, protocol: 'tcp' }] });
      expect(servedBy(await lab.attacker.open('new', stays))).to.equal('cache');
      expect(servedBy(await lab.web.again('stays', patience))).to.equal('cache');

      lab.change({});
      expect(await lab.attacker.again('new', patience)).to.deep.equal(denied);
      expect(await lab.attacker.call(stays)).to.deep.equal(denied);
      expect(servedBy(await lab.web.again('stays', patience))).to.equal('cache');
      expect(lab.counter('denied_out')).to.be.above(0);
    });

    it('cuts a way out with its next packet', async () => {
      const out = tcp(other.ipv4, 80);
      expect(servedBy(await lab.attacker.open('out', out))).to.equal('other');
      const containers = wiring.containers.map((each) =>
        each.name === 'attacker' ? { ...each, podNetwork: { egress: { enforce: [] } } } : each,
      );
      lab.change({ containers });
      expect(await lab.attacker.again('out', patience)).to.deep.equal(denied);
      lab.change({});
      expect(servedBy(await lab.attacker.call(out))).to.equal('other');
    });

    it('keeps its connections when the table is loaded anew as a whole', async () => {
      expect(servedBy(await lab.web.open('kept', tcp('127.0.0.1', 6379)))).to.equal('cache');
      lab.wire();
      expect(servedBy(await lab.web.again('kept', patience))).to.equal('cache');
    });
  });

  async function seenByAll(port: number): Promise<number> {
    const servers: readonly Agent[] = [lab.web, lab.cache, lab.attacker];
    const seen = await Promise.all(servers.map((server) => server.seen(port)));
    return seen.flat().length;
  }
});

interface Digests {
  readonly theirs: string;
  readonly ours: string;
}

/** Who calls what, and who answers. */
async function expectServed(calls: readonly (readonly [Agent, Target, string])[]): Promise<void> {
  for (const [who, target, server] of calls) {
    expect(servedBy(await who.call(target)), `${who.name} ${JSON.stringify(target)}`).to.equal(server);
  }
}
