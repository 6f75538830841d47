import { expect } from 'chai';
import type { Via } from '../../controller/rules/wiring.ts';
import { datagram, ethernet, packet4 } from '../attack/frames.ts';
import { appears } from './attacks.ts';
import { eth0Mac, type Site, Lab, otherPod, outside, sites, type PieceName } from './lab.ts';
import { gets, keptFrames } from './via-frames.ts';

const { web, cache, statsd } = sites;
const families = ['ipv4', 'ipv6'] as const;
/** An address of the outside that has sent nothing, not even a late answer to what a test before let through. */
const silent = { ipv4: '192.0.2.10', ipv6: '2001:db8::10' } as const;

function via(from: PieceName, changed: Partial<Via> = {}): { readonly via: readonly Via[] } {
  return { via: [{ from, to: 'cache', port: 15001, dns: 'none', resolvers: [], ...changed }] };
}

describe("the node's side of an unavoidable proxy in network namespaces", function () {
  this.timeout(300_000);
  let lab: Lab;

  before(async () => {
    lab = Lab.start();
    lab.node.run(['sysctl', '-qw', 'net.bridge.bridge-nf-call-iptables=0', 'net.bridge.bridge-nf-call-ip6tables=0']);
    for (const each of [lab.outside, lab.other, lab.node]) {
      for (const proto of ['tcp', 'udp'] as const) await each.listen(proto, '::', 53, true);
      await each.listen('tcp', '::', 80, true);
    }
    for (const host of ['127.0.0.1', '::1']) {
      await lab.cache.listen('tcp', host, 15001);
      for (const proto of ['tcp', 'udp'] as const) await lab.cache.listen(proto, host, 53);
    }
    for (const proto of ['tcp', 'udp'] as const) {
      await lab.web.listen(proto, '::', 9102, true);
      await lab.cache.listen(proto, '::', 7000, true);
      await lab.statsd.listen(proto, '::', 8125, true);
    }
    for (const each of [lab.outside, lab.other]) await each.must('sniff', { interface: 'eth0' });
    await lab.cache.must('sniff', { interface: 'net1' });
    lab.outside.run(['ip', 'address', 'add', `${silent.ipv4}/24`, 'dev', 'eth0']);
    lab.outside.run(['ip', 'address', 'add', `${silent.ipv6}/64`, 'dev', 'eth0', 'nodad']);
    // Who has which MAC is known on the links before anybody is kept from saying so.
    lab.wireAll();
    for (const piece of lab.pieces()) {
      for (const host of [otherPod.ipv4, otherPod.ipv6, outside.ipv4, outside.ipv6]) {
        await lab[piece].call({ proto: 'tcp', host, port: 80 });
      }
    }
  });
  after(() => {
    lab.end();
  });

  function set(changed: Parameters<Lab['wire']>[1], guarded: boolean): void {
    for (const piece of lab.pieces()) lab.wire(piece, changed);
    if (guarded) lab.guardAll('fwd', changed);
  }

  for (const kept of ['web', 'statsd'] as const) {
    describe(`a packet socket in a kept ${sites[kept].role}`, () => {
      it('sends past the table of the piece', async () => {
        set(via(kept), false);
        for (const frame of keptFrames) {
          expect(
            await gets(lab, frame, { from: kept, to: outside }, (check) => appears(3, check)),
            frame.name,
          ).to.equal(true);
        }
      });

      it('and not past the node', async () => {
        set(via(kept), true);
        try {
          for (const frame of keptFrames) {
            const before = lab.hostCounter(kept, 'host_eth0_kept');
            expect(
              await gets(lab, frame, { from: kept, to: silent }, (check) => appears(0.1, check)),
              frame.name,
            ).to.equal(false);
            expect(lab.hostCounter(kept, 'host_eth0_kept'), frame.name).to.be.greaterThan(before);
          }
        } finally {
          lab.unguardAll();
        }
      });
    });

    describe(`with it, a kept ${sites[kept].role}`, () => {
      before(() => {
        set(via(kept, { dns: 'proxy' }), true);
      });
      after(() => {
        lab.unguardAll();
      });

      it('is carried to its proxy, much of it too, and asks it for names', async () => {
        for (const family of families) {
          const host = outside[family];
          const answer = await lab[kept].must('call', { proto: 'tcp', host, port: 80 });
          expect(answer).to.deep.include({ server: 'cache', meant: [host, 80] });
          for (const op of ['sendBytes', 'fetchBytes']) {
            const sums = await lab[kept].must(op, { host, port: 80, size: 20_000_000 });
            const { theirs, ours } = sums as { theirs: string; ours: string };
            expect(theirs).to.equal(ours);
          }
          for (const proto of ['tcp', 'udp'] as const) {
            expect(await lab[kept].call({ proto, host, port: 53 })).to.have.property('server', 'cache');
          }
        }
      });

      it('is told where its proxy does not listen', async () => {
        set(via(kept, { port: 15003 }), true);
        for (const host of [outside.ipv4, outside.ipv6]) {
          expect(await lab[kept].call({ proto: 'tcp', host, port: 80 })).to.deep.equal({ error: 'ECONNREFUSED' });
        }
        set(via(kept, { dns: 'proxy' }), true);
      });

      it("answers probes, echos and clients, with datagrams above the link's MTU", async () => {
        const port = { web: 9102, statsd: 8125 }[kept];
        for (const host of sites[kept].podIPs) {
          for (const proto of ['tcp', 'udp'] as const) {
            expect(await lab.node.call({ proto, host, port })).to.have.property('server', kept);
          }
          expect(await lab.node.must('echo', { host })).to.equal(true);
          expect(await lab.node.must('fetchDatagram', { host, port, size: 8000 })).to.equal(true);
        }
        for (const host of web.podIPs) {
          for (const client of [lab.outside, lab.other]) {
            for (const proto of ['tcp', 'udp'] as const) {
              for (const served of [9102, 7000]) {
                const answer = await client.call({ proto, host, port: served });
                expect(answer, `${proto} ${host} ${served}`).to.have.property('server');
              }
            }
            expect(await client.call({ proto: 'udp', host, port: 8125 })).to.have.property('server', 'statsd');
            expect(await client.call({ proto: 'tcp', host, port: 9999, timeout: 0.5 })).to.have.property('error');
          }
          expect(await lab.outside.must('fetchDatagram', { host, port: 9102, size: 8000 })).to.equal(true);
        }
        const nobody = await lab.node.call({ proto: 'udp', host: sites[kept].podIPs[0], port: 9999, timeout: 0.5 });
        expect(nobody).to.deep.equal({ error: 'ECONNREFUSED' });
      });

      it('is found by its neighbours, and finds them', async () => {
        for (const each of [lab[kept], lab.other]) each.run(['ip', 'neighbour', 'flush', 'dev', 'eth0']);
        lab.node.run(['ip', 'neighbour', 'flush', 'dev', 'cni0']);
        const port = { web: 9102, statsd: 8125 }[kept];
        for (const host of sites[kept].podIPs) {
          expect(await lab.node.call({ proto: 'tcp', host, port })).to.have.property('server', kept);
        }
      });

      it("and asks the cluster's DNS, where it may", async () => {
        set(via(kept, { dns: 'cluster', resolvers: [otherPod.ipv4, otherPod.ipv6] }), true);
        for (const host of [otherPod.ipv4, otherPod.ipv6]) {
          for (const proto of ['tcp', 'udp'] as const) {
            expect(await lab[kept].call({ proto, host, port: 53 })).to.have.property('server', 'other');
          }
        }
        set(via(kept, { dns: 'proxy' }), true);
      });

      it('and nothing of all that was counted as forged', () => {
        for (const piece of lab.pieces()) {
          for (const counter of ['host_spoofed', 'host_eth0_spoofed']) {
            expect(lab.hostCounter(piece, counter), `${piece} ${counter}`).to.equal(0);
          }
        }
        expect(lab.hostCounter(kept, 'host_eth0_kept')).to.equal(0);
      });
    });
  }

  it('lets a kept sibling answer nobody but its node, if its own table is passed around', async () => {
    const { ipv4 } = otherPod;
    const mac = { from: eth0Mac(statsd.mac), to: '0a:00:00:00:00:09' };
    for (const [guarded, token] of [
      [false, 'ab5e000000000001'],
      [true, 'ab5e000000000002'],
    ] as const) {
      set(via('statsd'), guarded);
      const call = { proto: 'udp', host: statsd.podIPs[0], port: 8125, sport: 40_321, timeout: 0.1 } as const;
      expect(await lab.other.call(call)).to.have.property('error');
      const answer = packet4({ from: statsd.podIPs[0], to: ipv4 }, 17, datagram(40_321, token, 8125));
      await lab.statsd.must('frames', { interface: 'eth0', data: [ethernet(mac, 0x0800, answer)], bypass: true });
      const heard = async (): Promise<boolean> =>
        (await lab.other.must('heard', { interface: 'eth0', token })) === true;
      expect(await appears(guarded ? 0.1 : 3, heard)).to.equal(!guarded);
    }
    lab.unguardAll();
  });

  it('takes foreign addresses on net1 between a piece and its proxy only', async () => {
    set(via('web'), true);
    try {
      const frame = (from: Site, token: string): string =>
        ethernet(
          { from: from.mac, to: cache.mac },
          0x0800,
          packet4({ from: from.ipv4, to: outside.ipv4 }, 17, datagram(80, token)),
        );
      for (const [from, token, arrives] of [
        ['web', 'c0ffee0000000001', true],
        ['statsd', 'c0ffee0000000002', false],
      ] as const) {
        await lab[from].must('frames', { interface: 'net1', data: [frame(sites[from], token)], bypass: true });
        const heard = async (): Promise<boolean> =>
          (await lab.cache.must('heard', { interface: 'net1', token })) === true;
        expect(await appears(arrives ? 3 : 0.1, heard), from).to.equal(arrives);
      }
      expect(lab.hostCounter('statsd', 'host_spoofed')).to.equal(1);
      // What arrives is judged by the table of the proxy: UDP is not carried.
      expect(lab.counter('cache', 'denied_in')).to.be.greaterThan(0);
    } finally {
      lab.unguardAll();
    }
  });
});
