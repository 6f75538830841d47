import { expect } from 'chai';
import { facade, flows, Lab, listeners, node, otherPod, outside, sites } from './lab.ts';
import type { Answer } from '../attack/agent.ts';
import type { Namespace } from './namespace.ts';

const { web, cache, statsd } = sites;
const denied = { error: 'ETIMEDOUT' };
const refused = { error: 'ECONNREFUSED' };

/** Shorter than what a dropped packet takes to be given up, longer than anything here takes to arrive. */
const patience = 0.2;

describe('a split Pod in network namespaces', function () {
  this.timeout(300_000);
  let lab: Lab;

  before(async () => {
    lab = Lab.start();
    lab.wireAll();
    for (const proto of ['tcp', 'udp'] as const) {
      for (const { host, port, dual } of listeners) {
        await lab.cache.listen(proto, host, port, dual);
        await lab.whole.listen(proto, host, port, dual);
      }
      await lab.statsd.listen(proto, '::', 8125, true);
      await lab.web.listen(proto, '::', 9102, true);
      // Not dual: the reply of an unconnected socket on a certain address has to be matched too.
      for (const host of ['0.0.0.0', '::']) await lab.cache.listen(proto, host, 7000);
    }
    await lab.other.listen('tcp', '::', 80, true);
    await lab.outside.listen('tcp', '::', 80, true);
  });
  after(() => {
    lab.end();
  });

  describe('loopback', () => {
    for (const { port, host } of listeners) {
      for (const proto of ['tcp', 'udp'] as const) {
        it(`reaches a ${proto} server on ${host} exactly as in one Pod`, async () => {
          for (const called of ['127.0.0.1', '::1', '::ffff:127.0.0.1', '0.0.0.0']) {
            const target = { proto, host: called, port } as const;
            const [split, unsplit] = [await lab.web.call(target), await lab.whole.call(target)];
            const server = 'server' in unsplit ? { server: 'cache' } : {};
            expect(split, `called at ${called}`).to.deep.equal({ ...unsplit, ...server });
          }
        });
      }
    }

    it("finds servers at the Pod's own addresses too, from the primary and from siblings", async () => {
      for (const [caller, hosts] of [
        [lab.web, web.podIPs],
        [lab.statsd, [...web.podIPs, ...statsd.podIPs]],
      ] as const) {
        const [port, server] = caller === lab.web ? [6303, 'cache'] : [9102, 'web'];
        for (const host of hosts) {
          expect(await caller.call({ proto: 'tcp', host, port }), host).to.have.property('server', server);
        }
      }
    });

    it("lets a sibling call itself at the Pod's address", async () => {
      for (const host of web.podIPs) {
        expect(await lab.cache.call({ proto: 'tcp', host, port: 7000 })).to.have.property('server', 'cache');
        expect(await lab.statsd.call({ proto: 'udp', host, port: 8125 })).to.have.property('server', 'statsd');
      }
    });

    it('tells a client that nobody listens, as in one Pod', async () => {
      const silent = { from: 'web', to: 'cache', port: 6400 } as const;
      for (const piece of lab.pieces()) {
        lab.wire(piece, {
          flows: [...flows, { ...silent, protocol: 'tcp' }, { ...silent, protocol: 'udp' }],
        });
      }
      for (const host of ['127.0.0.1', '::1']) {
        for (const proto of ['tcp', 'udp'] as const) {
          expect(await lab.web.call({ proto, host, port: 6400 }), `${host} ${proto}`).to.deep.equal(refused);
        }
      }
      lab.wireAll();
    });

    it('carries 100 MB both ways, unchanged', async () => {
      const size = 100_000_000;
      for (const host of ['127.0.0.1', '::1']) {
        for (const op of ['sendBytes', 'fetchBytes']) {
          const { theirs, ours } = (await lab.web.must(op, { host, port: 6303, size })) as Record<string, string>;
          expect(theirs, `${op} ${host}`).to.equal(ours);
        }
      }
    });

    it('carries the largest datagrams', async () => {
      for (const [host, size] of [
        ['127.0.0.1', 65_507],
        ['::1', 65_000],
      ] as const) {
        expect(await lab.web.must('fetchDatagram', { host, port: 6303, size }), host).to.equal(true);
      }
    });

    it('leaves loopback at its own MTU: a smaller peer link would be cached as that of 127.0.0.1', () => {
      expect(lab.web.run(['ip', 'route', 'get', '127.0.0.1'])).not.to.include('mtu');
      expect(lab.web.run(['ip', 'link', 'show', 'net1'])).to.include('mtu 65535');
    });
  });

  describe("the Pod's address", () => {
    const clients = (): readonly (readonly [string, Namespace, readonly [string, string]])[] => [
      ['beyond the node', lab.outside, [outside.ipv4, outside.ipv6]],
      ['another Pod', lab.other, [otherPod.ipv4, otherPod.ipv6]],
      ['the node', lab.node, [node.ipv4, node.ipv6]],
    ];

    for (const proto of ['tcp', 'udp'] as const) {
      it(`serves siblings' ports to everybody, and they see who calls: ${proto}`, async () => {
        for (const [who, client, addresses] of clients()) {
          for (const [i, host] of web.podIPs.entries()) {
            const expected: Answer = {
              server: 'cache',
              peer: addresses[i]!,
              local: proto === 'tcp' ? cache.podIPs[i]! : i === 0 ? '0.0.0.0' : '::',
            };
            expect(await client.call({ proto, host, port: 7000 }), `${who} ${host}`).to.deep.equal(expected);
          }
        }
      });
    }

    it('serves long transfers and datagrams above the MTU', async () => {
      for (const host of web.podIPs) {
        for (const op of ['sendBytes', 'fetchBytes']) {
          const { theirs, ours } = (await lab.outside.must(op, { host, port: 7000, size: 20_000_000 })) as Record<
            string,
            string
          >;
          expect(theirs, `${op} ${host}`).to.equal(ours);
        }
        expect(await lab.outside.must('fetchDatagram', { host, port: 7000, size: 8000 }), host).to.equal(true);
      }
    });

    it('tells a client that nobody listens', async () => {
      const silent = { piece: 'cache', port: 7001 } as const;
      const more = [...facade, { ...silent, protocol: 'tcp' }, { ...silent, protocol: 'udp' }] as const;
      for (const piece of ['web', 'cache'] as const) lab.wire(piece, { facade: more });
      for (const proto of ['tcp', 'udp'] as const) {
        for (const host of web.podIPs) {
          expect(await lab.outside.call({ proto, host, port: 7001 }), `${proto} ${host}`).to.deep.equal(refused);
        }
      }
      lab.wireAll();
    });

    it("serves the primary's own ports as ever, and no port that a sibling does not declare", async () => {
      for (const host of web.podIPs) {
        expect(await lab.outside.call({ proto: 'tcp', host, port: 9102 })).to.have.property('server', 'web');
        expect(await lab.outside.call({ proto: 'tcp', host, port: 6301 })).to.deep.equal(refused);
      }
    });

    it('serves pieces by their flows only', async () => {
      for (const host of web.podIPs) {
        expect(await lab.web.call({ proto: 'tcp', host, port: 6303 })).to.include({ server: 'cache' });
        expect(await lab.web.call({ proto: 'tcp', host, port: 7000 })).to.deep.equal(refused);
        expect(await lab.statsd.call({ proto: 'tcp', host, port: 7000, timeout: patience })).to.deep.equal(denied);
      }
    });
  });

  describe('eth0', () => {
    it("of a sibling takes the kubelet's probes and nothing else", async () => {
      for (const host of cache.podIPs) {
        expect(await lab.node.call({ proto: 'tcp', host, port: 7000 })).to.have.property('server', 'cache');
        const before = lab.counter('cache', 'denied_eth0');
        expect(await lab.other.call({ proto: 'tcp', host, port: 7000, timeout: patience })).to.deep.equal(denied);
        expect(await lab.outside.call({ proto: 'udp', host, port: 7000, timeout: patience })).to.deep.equal(denied);
        expect(lab.counter('cache', 'denied_eth0')).to.be.at.least(before + 2);
      }
    });

    it('lets every piece call out, with IPv6 forwarding on and a static default route', async () => {
      for (const piece of lab.pieces()) {
        expect(lab[piece].run(['ip', '-6', 'route', 'show', 'default'])).to.include(node.ipv6);
        for (const [i, host] of [outside.ipv4, outside.ipv6].entries()) {
          const answer = await lab[piece].call({ proto: 'tcp', host, port: 80 });
          expect(answer, `${piece} ${host}`).to.deep.include({
            server: 'outside',
            peer: ipv4Mapped(sites[piece].podIPs[i]!),
          });
        }
        expect(await lab[piece].call({ proto: 'tcp', host: otherPod.ipv6, port: 80 })).to.have.property(
          'server',
          'other',
        );
      }
    });

    it('finds its neighbours again: NDP and ARP pass', async () => {
      lab.cache.run(['ip', 'neighbour', 'flush', 'dev', 'eth0']);
      lab.node.run(['ip', 'neighbour', 'flush', 'dev', 'cni0']);
      for (const host of cache.podIPs) {
        expect(await lab.node.call({ proto: 'tcp', host, port: 7000 })).to.have.property('server', 'cache');
      }
    });
  });

  describe('a flow that is taken away', () => {
    const without = (port: number): { flows: typeof flows } => ({ flows: flows.filter((flow) => flow.port !== port) });

    for (const host of ['127.0.0.1', '::1']) {
      for (const side of ['web', 'cache'] as const) {
        it(`cuts its connection to ${host} in the same transaction, at either end: ${side}; others live on`, async () => {
          const [gone, kept] = host === '127.0.0.1' ? [6302, 6301] : [6304, 6303];
          for (const port of [gone, kept]) {
            expect(await lab.web.open(`${side}${port}`, { proto: 'tcp', host, port })).to.have.property(
              'server',
              'cache',
            );
          }
          lab.wire(side, without(gone));
          expect(await lab.web.again(`${side}${gone}`, patience)).to.deep.equal(denied);
          expect(await lab.web.again(`${side}${kept}`, 5)).to.have.property('server', 'cache');
          for (const port of [gone, kept]) await lab.web.must('close', { key: `${side}${port}` });
          lab.wireAll();
        });
      }
    }

    it('cuts a client of the facade, at either end', async () => {
      for (const piece of ['web', 'cache'] as const) {
        for (const host of web.podIPs) {
          await lab.outside.open('client', { proto: 'tcp', host, port: 7000 });
          lab.wire(piece, { facade: facade.filter(({ port }) => port !== 7000) });
          expect(await lab.outside.again('client', patience), `${piece} ${host}`).to.deep.equal(denied);
          await lab.outside.must('close', { key: 'client' });
          lab.wireAll();
        }
      }
    });
  });

  describe('after all that', () => {
    it('nothing was forwarded that should not be', () => {
      for (const piece of lab.pieces()) expect(lab.counter(piece, 'denied_forward'), piece).to.equal(0);
    });
  });
});

/** How a server on :: sees IPv4 clients. */
function ipv4Mapped(address: string): string {
  return address.includes(':') ? address : `::ffff:${address}`;
}
