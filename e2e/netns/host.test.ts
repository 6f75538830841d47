import { expect } from 'chai';
import { compileHost, hostTableName } from '../../controller/rules/host.ts';
import { frameAttacks, serviceAttack } from '../attack/frame-attacks.ts';
import { appears } from './attacks.ts';
import { arrives, ears, withService } from './host-attacks.ts';
import { facade, flows, hostSideOf, Lab, listeners, node, otherPod, outside, sites } from './lab.ts';
import { heal, Namespace, run } from './namespace.ts';

const { web, cache, statsd } = sites;
const denied = { error: 'ETIMEDOUT' };
const refused = { error: 'ECONNREFUSED' };
const patience = 0.2;
const protocols = ['tcp', 'udp'] as const;

/** Sends as somebody else without writing frames; the piece's own table would stop it, so it is taken away first. */
const foreignSources = [
  { name: 'IP_TRANSPARENT', host: web.ipv4, source: cache.ipv4, transparent: true },
  { name: 'IPV6_FREEBIND, which needs no privilege', host: web.ipv6, source: cache.ipv6, freebind: true },
] as const;

describe("the node's side of a split Pod in network namespaces", function () {
  this.timeout(300_000);
  let lab: Lab;

  before(async () => {
    lab = Lab.start();
    lab.wireAll();
    // Its connection tracking would hold fragments back.
    lab.node.run(['sysctl', '-qw', 'net.bridge.bridge-nf-call-iptables=0', 'net.bridge.bridge-nf-call-ip6tables=0']);
    for (const proto of protocols) {
      for (const { host, port, dual } of listeners) await lab.cache.listen(proto, host, port, dual);
      await lab.statsd.listen(proto, '::', 8125, true);
      await lab.web.listen(proto, '::', 9102, true);
      for (const host of ['0.0.0.0', '::']) await lab.cache.listen(proto, host, 7000);
    }
    await lab.web.listen('udp', '::', 9105, true);
    for (const each of [lab.other, lab.outside]) await each.listen('tcp', '::', 80, true);
    for (const { who, device, ...only } of Object.values(ears))
      await lab[who].must('sniff', { interface: device, ...only });
    await lab.statsd.must('sniff', { interface: 'net1' });
  });
  after(() => {
    lab.end();
  });

  /** A peer's request to another, heard by a third: the bridge does not know, or has forgotten, where anybody is. */
  async function overhears(): Promise<boolean> {
    const ageing = (time: number): string =>
      lab.node.run(['ip', 'link', 'set', 'ps-peers', 'type', 'bridge', 'ageing_time', String(time)]);
    const request = { interface: 'net1', token: frameOf(web.ipv4, cache.ipv4) };
    ageing(0);
    await lab.statsd.must('forget', { interface: 'net1' });
    expect(await lab.web.call({ proto: 'udp', host: '127.0.0.1', port: 6301 })).to.have.property('server', 'cache');
    ageing(30_000);
    return (await lab.statsd.must('heard', request)) === true;
  }

  async function leavesAs(foreign: (typeof foreignSources)[number]): Promise<boolean> {
    const { name: _name, ...target } = foreign;
    const before = (await lab.web.seen(9105)).length;
    lab.web.run(['nft', 'flush', 'ruleset']);
    lab.statsd.run(['nft', 'flush', 'ruleset']);
    await lab.statsd.call({ proto: 'udp', port: 9105, timeout: 0.1, ...target });
    const after = (await lab.web.seen(9105)).length;
    for (const piece of ['web', 'statsd'] as const) lab.wire(piece);
    return after > before;
  }

  describe('without it, and with the tables of the pieces, arrives:', () => {
    for (const attack of frameAttacks) {
      it(attack.name, async () => {
        expect(await arrives(lab, attack, 3)).to.equal(true);
      });
    }

    it(serviceAttack.name, async () => {
      expect(await withService(lab, () => arrives(lab, serviceAttack, 3))).to.equal(true);
    });

    for (const foreign of foreignSources) {
      it(`a peer's address by ${foreign.name}, where the own table is gone`, async () => {
        expect(await leavesAs(foreign)).to.equal(true);
      });
    }

    it('what peers say to each other, at a third, when the bridge has forgotten them', async () => {
      expect(await overhears()).to.equal(true);
    });
  });

  for (const link of ['fwd', 'bridge'] as const) {
    describe(`with it, link ${link},`, () => {
      before(async () => {
        lab.guardAll(link);
        // The bridge of eth0 believes an attack of before.
        for (const host of [otherPod.ipv4, otherPod.ipv6]) await lab.web.call({ proto: 'tcp', host, port: 80 });
      });
      after(() => {
        lab.unguardAll();
      });

      describe('does not arrive, and is counted:', () => {
        for (const attack of frameAttacks) {
          it(attack.name, async () => {
            const counter = attack.by.device === 'net1' ? 'host_spoofed' : 'host_eth0_spoofed';
            const before = lab.hostCounter('statsd', counter);
            expect(await arrives(lab, attack, 0.1)).to.equal(false);
            expect(lab.hostCounter('statsd', counter)).to.be.greaterThan(before);
          });
        }

        for (const foreign of foreignSources) {
          it(`a peer's address by ${foreign.name}, where the own table is gone`, async () => {
            const before = lab.hostCounter('statsd', 'host_spoofed');
            expect(await leavesAs(foreign)).to.equal(false);
            expect(lab.hostCounter('statsd', 'host_spoofed')).to.be.greaterThan(before);
          });
        }
      });

      it(`${serviceAttack.name}: arrives in link mode "bridge" only`, async () => {
        const arrived = await withService(lab, () => arrives(lab, serviceAttack, link === 'fwd' ? 0.1 : 3));
        expect(arrived).to.equal(link === 'bridge');
      });

      it('a third hears nothing of what peers say to each other', async () => {
        expect(await overhears()).to.equal(false);
      });

      it('flows work, over both families and protocols', async () => {
        for (const host of ['127.0.0.1', '::1']) {
          for (const proto of protocols) {
            expect(await lab.web.call({ proto, host, port: 6303 })).to.have.property('server', 'cache');
            expect(await lab.statsd.call({ proto, host, port: 9102 })).to.have.property('server', 'web');
          }
          expect(await lab.cache.call({ proto: 'udp', host, port: 8125 })).to.have.property('server', 'statsd');
          expect(await lab.web.must('fetchDatagram', { host, port: 6303, size: 65_000 })).to.equal(true);
          const { theirs, ours } = (await lab.web.must('sendBytes', { host, port: 6303, size: 20_000_000 })) as Sums;
          expect(theirs).to.equal(ours);
        }
      });

      it('a client is told that nobody listens', async () => {
        const more = [...flows, ...protocols.map((protocol) => ({ from: 'web', to: 'cache', port: 6400, protocol }))];
        for (const piece of ['web', 'cache'] as const) lab.wire(piece, { flows: more });
        for (const host of ['127.0.0.1', '::1']) {
          for (const proto of protocols) expect(await lab.web.call({ proto, host, port: 6400 })).to.deep.equal(refused);
        }
        for (const piece of ['web', 'cache'] as const) lab.wire(piece);
      });

      it("the Pod's address serves siblings' ports, and they see who calls", async () => {
        const clients: readonly (readonly [Namespace, readonly [string, string]])[] = [
          [lab.outside, [outside.ipv4, outside.ipv6]],
          [lab.other, [otherPod.ipv4, otherPod.ipv6]],
          [lab.node, [node.ipv4, node.ipv6]],
        ];
        for (const [client, addresses] of clients) {
          for (const [i, host] of web.podIPs.entries()) {
            for (const proto of protocols) {
              const answer = await client.call({ proto, host, port: 7000 });
              expect(answer, `${host} ${proto}`).to.include({ server: 'cache', peer: addresses[i] });
            }
          }
        }
        for (const host of web.podIPs) {
          expect(await lab.outside.must('fetchDatagram', { host, port: 7000, size: 8000 })).to.equal(true);
          const { theirs, ours } = (await lab.outside.must('fetchBytes', {
            host,
            port: 7000,
            size: 5_000_000,
          })) as Sums;
          expect(theirs).to.equal(ours);
        }
      });

      it("a client is served whose path is narrower than the primary's link, which only the primary knows", async () => {
        lab.node.run(['ip', 'link', 'set', 'up0', 'mtu', '1300']);
        for (const [i, host] of web.podIPs.entries()) {
          const client = [outside.ipv4, outside.ipv6][i]!;
          for (const piece of lab.pieces())
            lab[piece].run(['ip', host.includes(':') ? '-6' : '-4', 'route', 'flush', 'cache']);
          await lab.web.must('sendBytes', { host: client, port: 80, size: 1_000_000 });
          expect(lab.web.run(['ip', 'route', 'get', client])).to.include('mtu 1300');
          const { theirs, ours } = (await lab.outside.must('fetchBytes', {
            host,
            port: 7000,
            size: 1_000_000,
          })) as Record<string, string>;
          expect(theirs, host).to.equal(ours);
        }
        lab.node.run(['ip', 'link', 'set', 'up0', 'mtu', '1500']);
      });

      it('a client of the facade is told that nobody listens', async () => {
        const more = [...facade, ...protocols.map((protocol) => ({ piece: 'cache', port: 7001, protocol }))];
        for (const piece of ['web', 'cache'] as const) lab.wire(piece, { facade: more });
        for (const proto of protocols) {
          for (const host of web.podIPs) {
            expect(await lab.outside.call({ proto, host, port: 7001 })).to.deep.equal(refused);
          }
        }
        for (const piece of ['web', 'cache'] as const) lab.wire(piece);
      });

      it('probes come in, calls go out, and neighbours are found anew', async () => {
        for (const piece of lab.pieces()) {
          lab[piece].run(['ip', 'neighbour', 'flush', 'dev', 'eth0']);
          lab.node.run(['ip', 'neighbour', 'flush', 'dev', 'cni0']);
          for (const host of [outside.ipv4, outside.ipv6, otherPod.ipv4, otherPod.ipv6]) {
            const answer = await lab[piece].call({ proto: 'tcp', host, port: 80 });
            expect(answer, `${piece} ${host}`).to.have.property('server');
          }
          const port = { web: 9102, cache: 7000, statsd: 8125 }[piece];
          for (const host of sites[piece].podIPs) {
            expect(await lab.node.call({ proto: 'tcp', host, port })).to.have.property('server', piece);
          }
        }
      });

      it('nothing of all that was counted as forged', () => {
        expect(lab.hostCounter('web', 'host_spoofed')).to.equal(0);
        expect(lab.hostCounter('cache', 'host_spoofed')).to.equal(0);
        expect(lab.hostCounter('web', 'host_eth0_spoofed')).to.equal(0);
        expect(lab.hostCounter('cache', 'host_eth0_spoofed')).to.equal(0);
      });
    });
  }

  describe('changes by elements', () => {
    const fewer = { flows: flows.filter(({ port }) => port !== 6302) };

    before(() => {
      lab.guardAll('fwd');
    });
    after(() => {
      lab.unguardAll();
      lab.wireAll();
    });

    it('cut the flow that is taken away, and lose no packet of others under load', async () => {
      expect(await lab.web.open('kept', { proto: 'tcp', host: '127.0.0.1', port: 6303 })).to.have.property('server');
      const counted = await countDenied();
      const loads = [
        ...protocols.flatMap((proto) =>
          ['127.0.0.1', '::1'].map((host) => lab.web.must('load', { proto, host, port: 6303, seconds: 2 })),
        ),
        lab.outside.must('load', { proto: 'udp', host: web.podIPs[0], port: 7000, seconds: 2 }),
      ];
      for (let round = 0; round < 6; round++) {
        await lab.web.open('gone', { proto: 'tcp', host: '127.0.0.1', port: 6302 });
        for (const piece of lab.pieces()) lab.change(piece, {}, fewer);
        expect(await lab.web.again('gone', patience)).to.deep.equal(denied);
        await lab.web.must('close', { key: 'gone' });
        for (const piece of lab.pieces()) lab.change(piece, fewer, {});
        expect(await lab.web.call({ proto: 'tcp', host: '127.0.0.1', port: 6302 })).to.have.property('server', 'cache');
      }
      for (const load of await Promise.all(loads)) {
        expect(load).to.have.property('failed', 0);
        expect(load).to.have.property('done').that.is.greaterThan(100);
      }
      expect(await lab.web.again('kept', 5)).to.have.property('server', 'cache');
      await lab.web.must('close', { key: 'kept' });
      expect(await countDenied()).to.be.greaterThan(counted);
    });

    /** Counters live on: what was counted before is still there. */
    function countDenied(): Promise<number> {
      return Promise.resolve(lab.counter('web', 'denied_out') + lab.counter('web', 'denied_in'));
    }

    it("take a peer's link out of the map and put it back, and lose no packet to other peers", async () => {
      const all = hostSideOf('web', 'fwd');
      const { statsd: _gone, ...others } = all.peerDevices;
      const without = { ...all, peerDevices: others };
      const spoofed = lab.hostCounter('web', 'host_absent');
      const load = lab.web.must('load', { proto: 'udp', host: '127.0.0.1', port: 6303, seconds: 1.5 });
      for (let round = 0; round < 3; round++) {
        lab.changeHost(all, without);
        expect(await lab.web.call({ proto: 'udp', host: '127.0.0.1', port: 8125, timeout: 0.1 })).to.deep.equal(denied);
        lab.changeHost(without, all);
        expect(await lab.web.call({ proto: 'udp', host: '127.0.0.1', port: 8125 })).to.have.property(
          'server',
          'statsd',
        );
      }
      expect(await load).to.include({ failed: 0 });
      expect(lab.hostCounter('web', 'host_absent')).to.equal(spoofed + 3);
    });

    it("follow a sibling's new Pod IP, on the node and in the piece", async () => {
      const moved = { peers: [{ ...cache, podIPs: ['10.77.0.9', 'fd77::9'] }, statsd] };
      const http = { proto: 'tcp', host: otherPod.ipv4, port: 80, timeout: patience } as const;
      expect(await lab.web.call(http)).to.have.property('server', 'other');
      lab.changeHost(hostSideOf('web', 'fwd'), hostSideOf('web', 'fwd', moved));
      expect(await lab.web.call(http)).to.deep.equal(denied);
      lab.changeHost(hostSideOf('web', 'fwd', moved), hostSideOf('web', 'fwd'));
      lab.change('web', {}, moved);
      expect(await lab.web.call(http)).to.deep.equal(denied);
      lab.change('web', moved, {});
      expect(await lab.web.call(http)).to.have.property('server', 'other');
    });
  });
});

describe("the node's side of a Pod on a routed veth (ptp)", function () {
  this.timeout(300_000);
  const gateway = ['10.88.0.1', 'fd88::1'] as const;
  const podIPs = ['10.88.0.2', 'fd88::2'] as const;
  const mac = '0a:00:00:88:00:02';

  it('takes nothing from it: duplicate address detection, listener reports, ARP, calls both ways', async () => {
    heal();
    const [host, pod] = [new Namespace('node'), new Namespace('routed')];
    try {
      for (const device of ['eth0', 'net1']) {
        run([
          'ip',
          'link',
          'add',
          `h-${device}`,
          'netns',
          host.name,
          'type',
          'veth',
          'peer',
          device,
          'netns',
          pod.name,
        ]);
      }
      const side = hostSideOf('statsd', 'fwd');
      const eth0 = { device: 'h-eth0', mac, podIPs };
      host.run(['nft', '-f', '-'], compileHost({ ...side, net1: { device: 'h-net1' }, peerDevices: {}, eth0 }));
      pod.run(['ip', 'link', 'set', 'eth0', 'address', mac]);
      pod.run(['sysctl', '-qw', 'net.ipv6.conf.all.accept_dad=1', 'net.ipv6.conf.eth0.accept_dad=1']);
      host.run(['ip', 'link', 'set', 'h-eth0', 'up']);
      pod.run(['ip', 'link', 'set', 'eth0', 'up']);
      for (const [i, length, family] of [
        [0, 32, '-4'],
        [1, 128, '-6'],
      ] as const) {
        host.run(['ip', family, 'address', 'add', `${gateway[i]}/${length}`, 'dev', 'h-eth0']);
        host.run(['ip', family, 'route', 'replace', podIPs[i], 'dev', 'h-eth0']);
        pod.run(['ip', family, 'address', 'add', `${podIPs[i]}/${length}`, 'dev', 'eth0']);
        pod.run(['ip', family, 'route', 'replace', gateway[i], 'dev', 'eth0']);
        pod.run(['ip', family, 'route', 'replace', 'default', 'via', gateway[i]]);
      }
      await settled(pod);
      await host.listen('tcp', '::', 80, true);
      await pod.listen('tcp', '::', 80, true);
      for (const [i, address] of podIPs.entries()) {
        expect(await pod.call({ proto: 'tcp', host: gateway[i]!, port: 80 })).to.have.property('server', 'node');
        host.run(['ip', 'neighbour', 'flush', 'dev', 'h-eth0']);
        pod.run(['ip', 'neighbour', 'flush', 'dev', 'eth0']);
        expect(await host.call({ proto: 'tcp', host: address, port: 80 })).to.have.property('server', 'routed');
      }
      const listed = host.run(['nft', 'list', 'counter', 'netdev', hostTableName(side.sandbox), 'host_eth0_spoofed']);
      expect(listed).to.include('packets 0 ');
    } finally {
      pod.end();
      host.end();
    }
  });

  async function settled(pod: Namespace): Promise<void> {
    const done = await appears(5, () =>
      Promise.resolve(!pod.run(['ip', '-6', 'address', 'show', 'dev', 'eth0']).includes('tentative')),
    );
    expect(done).to.equal(true);
  }
});

interface Sums {
  readonly theirs: string;
  readonly ours: string;
}

/** What stands in a frame from one address to another. */
function frameOf(from: string, to: string): string {
  return [from, to].map((address) => Buffer.from(address.split('.').map(Number)).toString('hex')).join('');
}
