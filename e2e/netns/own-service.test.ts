// Pieces call their own Pod by its Service: a node that translates the Service's addresses to the primary's Pod IPs.

import { expect } from 'chai';
import type { Wiring } from '../../controller/rules/wiring.ts';
import { portUnreachable4, tcpSyn4, udp4 } from '../attack/frames.ts';
import { appears } from './attacks.ts';
import { eth0Mac, facade, flows, Lab, sites, type PieceName } from './lab.ts';

const { web, cache, statsd } = sites;
const service = { ipv4: '10.96.0.20', ipv6: 'fd96::20' } as const;
const hosts = Object.values(service);
/** TCP is given up; whoever sends datagrams is told at once that it may not. */
const denied = ['ETIMEDOUT', 'EPERM'];
const refused = { error: 'ECONNREFUSED' };
const patience = 0.3;

interface Call {
  readonly from: PieceName;
  readonly proto: 'tcp' | 'udp';
  readonly port: number;
}

/** By a flow to the primary, by a flow to another sibling, and the caller's own port. */
const allowed: readonly (Call & { readonly server: PieceName })[] = [
  { from: 'statsd', proto: 'tcp', port: 9102, server: 'web' },
  { from: 'statsd', proto: 'udp', port: 9102, server: 'web' },
  { from: 'cache', proto: 'udp', port: 9105, server: 'web' },
  { from: 'cache', proto: 'udp', port: 8125, server: 'statsd' },
  { from: 'cache', proto: 'tcp', port: 7000, server: 'cache' },
  { from: 'cache', proto: 'udp', port: 7000, server: 'cache' },
  { from: 'statsd', proto: 'udp', port: 8125, server: 'statsd' },
  { from: 'web', proto: 'tcp', port: 6303, server: 'cache' },
  { from: 'web', proto: 'tcp', port: 9102, server: 'web' },
];

/** Ports in no flow of the caller, all of which the Service gives to another Pod. */
const closed: readonly Call[] = [
  { from: 'statsd', proto: 'tcp', port: 9000 },
  { from: 'statsd', proto: 'udp', port: 9000 },
  { from: 'statsd', proto: 'tcp', port: 7000 },
  { from: 'statsd', proto: 'udp', port: 7000 },
  { from: 'statsd', proto: 'tcp', port: 6303 },
  // Each is open to the other piece, or by the other protocol.
  { from: 'cache', proto: 'tcp', port: 9102 },
  { from: 'cache', proto: 'tcp', port: 9105 },
  { from: 'statsd', proto: 'udp', port: 9105 },
];

describe("a Pod's own Service in network namespaces", function () {
  this.timeout(300_000);
  let lab: Lab;

  before(async () => {
    lab = Lab.start();
    // As CNI plugins with a bridge have it (`hairpinMode`).
    lab.node.run(['bridge', 'link', 'set', 'dev', 'eth0-web', 'hairpin', 'on']);
    // Answers between Pods on one bridge pass the node's netfilter, as CNI plugins with a bridge ask for.
    lab.node.run(['sysctl', '-qw', 'net.bridge.bridge-nf-call-iptables=1', 'net.bridge.bridge-nf-call-ip6tables=1']);
    for (const proto of ['tcp', 'udp'] as const) {
      for (const port of [9000, 9102, 9105]) await lab.web.listen(proto, '::', port, true);
      for (const port of [6303, 7000]) await lab.cache.listen(proto, '::', port, true);
      await lab.statsd.listen(proto, '::', 8125, true);
    }
  });
  after(() => {
    lab.end();
  });

  /** kube-proxy's: a Pod that calls itself is seen by the node's address. */
  function translate(): void {
    const family = (ip: 'ip' | 'ip6', called: string, pod: string): string =>
      `chain to_${ip} { type nat hook prerouting priority dstnat; ${ip} daddr ${called} dnat ${ip} to ${pod}; }
       chain from_${ip} { type nat hook postrouting priority srcnat; ${ip} saddr ${pod} ct original ${ip} daddr ${called} masquerade; }
`;
    lab.node.run(
      ['nft', '-f', '-'],
      `table inet services
delete table inet services
table inet services {
${family('ip', service.ipv4, web.podIPs[0])}${family('ip6', service.ipv6, web.podIPs[1])} }`,
    );
  }

  function expectDenied(answer: object, what: string): void {
    expect(denied, what).to.include('error' in answer ? answer.error : JSON.stringify(answer));
  }

  const call = ({ from, proto, port }: Call, host: string, timeout = patience) =>
    lab[from].call({ proto, host, port, timeout });

  describe('without rules', () => {
    before(translate);

    for (const each of closed.filter(({ port }) => port > 9000 || port === 9000)) {
      it(`every piece reaches the primary by it: ${each.from} ${each.port}/${each.proto}`, async () => {
        for (const host of hosts) expect(await call(each, host, 5), host).to.have.property('server', 'web');
      });
    }
  });

  for (const link of [undefined, 'fwd', 'bridge'] as const) {
    describe(
      link === undefined ? 'with the tables of the pieces alone' : `with the node's side too, link ${link},`,
      () => {
        const guard = (changed: Partial<Wiring> = {}): void => {
          if (link !== undefined) lab.guardAll(link, changed);
        };

        before(() => {
          translate();
          lab.wireAll();
          guard();
        });
        after(() => {
          if (link !== undefined) lab.unguardAll();
          for (const piece of lab.pieces()) expect(lab.counter(piece, 'denied_forward'), piece).to.equal(0);
        });

        for (const each of allowed) {
          it(`what a flow allows passes: ${each.from} reaches ${each.server} at ${each.port}/${each.proto}`, async () => {
            for (const host of hosts) expect(await call(each, host, 5), host).to.have.property('server', each.server);
          });
        }

        it('a sibling is seen by its Pod IP where the primary serves, and by the address of the Pod elsewhere', async () => {
          for (const [index, host] of hosts.entries()) {
            const [direct, carried] = [
              await lab.statsd.call({ proto: 'tcp', host, port: 9102 }),
              await lab.cache.call({ proto: 'tcp', host, port: 7000 }),
            ];
            const mapped = index === 0 ? '::ffff:' : '';
            expect(direct).to.have.property('peer', `${mapped}${statsd.podIPs[index]!}`);
            expect(carried).to.have.property('peer', `${mapped}${web.podIPs[index]!}`);
          }
        });

        for (const each of closed) {
          it(`nothing else does: ${each.from} ${each.port}/${each.proto}, which another Pod reaches`, async () => {
            for (const [index, host] of hosts.entries()) {
              expect(
                await lab.other.call({ proto: each.proto, port: each.port, host, timeout: 5 }),
                host,
              ).to.have.property('server');
              expectDenied(await call(each, host), host);
              // By the Pod IP nothing leaves the piece.
              expectDenied(await call(each, web.podIPs[index]!), `${web.podIPs[index]}`);
            }
            const [seen4, seen6] = [lab.tried('web', 4), lab.tried('web', 6)];
            const [from, to] = [sites[each.from].podIPs, web.podIPs];
            expect(seen4).to.include(`"eth0" . ${from[0]} . ${to[0]} . ${each.proto} . ${each.port} counter`);
            expect(seen6).to.include(`"eth0" . ${from[1]} . ${to[1]} . ${each.proto} . ${each.port} counter`);
          });
        }

        it('carries long transfers, and datagrams above the MTU, to a sibling', async () => {
          for (const host of hosts) {
            for (const op of ['sendBytes', 'fetchBytes']) {
              const sums = (await lab.cache.must(op, { host, port: 7000, size: 5_000_000 })) as Record<string, string>;
              expect(sums['theirs'], `${op} ${host}`).to.equal(sums['ours']);
            }
            expect(await lab.cache.must('fetchDatagram', { host, port: 7000, size: 8000 }), host).to.equal(true);
            expect(await lab.statsd.must('fetchDatagram', { host, port: 9102, size: 8000 }), host).to.equal(true);
          }
        });

        it('tells a piece that nobody listens, as in one Pod', async () => {
          const silent = ['tcp', 'udp'] as const;
          const more: Partial<Wiring> = {
            flows: [
              ...flows,
              ...silent.map((protocol) => ({ from: 'cache', to: 'web', port: 9400, protocol }) as const),
            ],
            facade: [...facade, ...silent.map((protocol) => ({ piece: 'cache', port: 7400, protocol }) as const)],
          };
          for (const piece of lab.pieces()) lab.change(piece, {}, more);
          guard(more);
          for (const host of hosts) {
            for (const proto of silent) {
              for (const port of [9400, 7400]) {
                expect(await lab.cache.call({ proto, host, port }), `${host} ${port}/${proto}`).to.deep.equal(refused);
              }
            }
          }
          for (const piece of lab.pieces()) lab.change(piece, more, {});
          guard();
        });

        for (const host of hosts) {
          it(`a flow that is taken cuts its connection, and no other: ${host}`, async () => {
            const more = {
              flows: [...flows, { from: 'statsd', to: 'cache', port: 7000, protocol: 'tcp' } as const],
            };
            for (const piece of lab.pieces()) lab.change(piece, {}, more);
            guard(more);
            const calls = {
              primary: ['statsd', 9102],
              sibling: ['statsd', 7000],
              self: ['cache', 7000],
            } as const;
            for (const [key, [from, port]] of Object.entries(calls)) {
              expect(await lab[from].open(key, { proto: 'tcp', host, port }), key).to.have.property('server');
            }
            lab.change('web', more, {});
            expectDenied(await lab.statsd.again('sibling', patience), 'sibling');
            expect(await lab.statsd.again('primary', 5)).to.have.property('server', 'web');
            lab.change('web', {}, { flows: flows.filter(({ port }) => port !== 9102) });
            expectDenied(await lab.statsd.again('primary', patience), 'primary');
            expect(await lab.cache.again('self', 5)).to.have.property('server', 'cache');
            lab.change(
              'web',
              { flows: flows.filter(({ port }) => port !== 9102) },
              { facade: facade.filter(({ port }) => port !== 7000) },
            );
            expectDenied(await lab.cache.again('self', patience), 'self');
            for (const [key, [from]] of Object.entries(calls)) await lab[from].must('close', { key });
            lab.wireAll();
            guard();
          });
        }

        it('a piece that has but one way out calls nobody so', async () => {
          const kept: Partial<Wiring> = { via: [{ from: 'statsd', to: 'cache', dns: 'none', resolvers: [] }] };
          lab.change('web', {}, kept);
          for (const host of hosts) {
            expectDenied(await lab.statsd.call({ proto: 'tcp', host, port: 9102, timeout: patience }), host);
            expect(await lab.cache.call({ proto: 'tcp', host, port: 7000 })).to.have.property('server', 'cache');
          }
          lab.change('web', kept, {});
        });

        it('where clients enter by a proxy, pieces reach its own ports alone, and UDP', async () => {
          const entering: Partial<Wiring> = {
            flows: [...flows, { from: 'statsd', to: 'cache', port: 7000, protocol: 'tcp' }],
            ingressVia: { to: 'cache', port: 15_006, direct: [7000], probes: [9102] },
          };
          for (const piece of lab.pieces()) lab.wire(piece, entering);
          guard(entering);
          for (const host of hosts) {
            for (const from of ['statsd', 'cache'] as const) {
              expect(await lab[from].call({ proto: 'tcp', host, port: 7000 })).to.have.property('server', 'cache');
            }
            expect(await lab.statsd.call({ proto: 'udp', host, port: 9102 })).to.have.property('server', 'web');
            expectDenied(await lab.statsd.call({ proto: 'tcp', host, port: 9102, timeout: patience }), host);
          }
          lab.wireAll();
          guard();
        });

        // The node's filter lets no such frame come from a piece.
        if (link === undefined) {
          it('nobody fills the connection table of the primary so', async () => {
            const connections = (): number => Number(lab.web.run(['conntrack', '-C']));
            const before = connections();
            const mac = { from: eth0Mac(statsd.mac), to: eth0Mac(web.mac) };
            const data = [...Array(25_000).keys()].map((n) =>
              udp4(mac, { from: statsd.podIPs[0], to: web.podIPs[0] }, 9102, 10_000 + n),
            );
            await lab.statsd.must('frames', { interface: 'eth0', data });
            const filled = await appears(patience, () => Promise.resolve(connections() >= before + 20_000));
            expect(filled).to.equal(false);
            expect(lab.counter('web', 'denied_in')).to.be.greaterThan(1000);
            lab.web.run(['conntrack', '-F']);
          });
        }

        describe('a primary that takes its answers for a way to a sibling', () => {
          const mac = { from: eth0Mac(web.mac), to: eth0Mac(statsd.mac) };
          const toSibling = { from: web.podIPs[0], to: statsd.podIPs[0] };

          it('sends nothing to it by eth0, from whatever port', async () => {
            const before = (await lab.statsd.seen(8125)).length;
            for (const sport of [9102, 9000]) {
              await lab.web.must('frames', { interface: 'eth0', data: [udp4(mac, toSibling, 8125, sport)] });
              const source = { proto: 'udp', host: statsd.podIPs[0], port: 8125, sport, timeout: 0.05 } as const;
              await lab.web.call({ ...source, source: web.podIPs[0] });
            }
            await lab.web.must('frames', { interface: 'eth0', data: [tcpSyn4(mac, toSibling, 8125, 9102)] });
            expect(await appears(patience, async () => (await lab.statsd.seen(8125)).length > before)).to.equal(false);
          });

          it('breaks no connection of it to others', async () => {
            await lab.other.listen('udp', '0.0.0.0', 9500).catch(() => undefined);
            const flow = { proto: 'udp', host: '10.77.0.9', port: 9500, sport: 5000 } as const;
            expect(await lab.statsd.open('others', flow)).to.have.property('server', 'other');
            const before = link !== undefined ? lab.hostCounter('web', 'host_eth0_spoofed') : 0;
            const quoted = { from: statsd.podIPs[0], to: '10.77.0.9' };
            await lab.web.must('frames', {
              interface: 'eth0',
              data: [portUnreachable4(mac, toSibling, quoted, 9500, 5000)],
            });
            expect(await lab.statsd.again('others', 2)).to.have.property('server', 'other');
            await lab.statsd.must('close', { key: 'others' });
            if (link !== undefined) {
              expect(lab.hostCounter('web', 'host_eth0_spoofed')).to.be.greaterThan(before);
            }
          });
        });

        it("a sibling's call in the name of another needs a packet socket, and passes no node's filter", async () => {
          const before = (await lab.web.seen(9105)).length;
          const mac = { from: eth0Mac(statsd.mac), to: eth0Mac(web.mac) };
          const asCache = udp4(mac, { from: cache.podIPs[0], to: web.podIPs[0] }, 9105);
          await lab.statsd.must('frames', { interface: 'eth0', data: [asCache] });
          const arrived = await appears(patience, async () => (await lab.web.seen(9105)).length > before);
          expect(arrived).to.equal(link === undefined);
          for (const [index, source] of cache.podIPs.entries()) {
            const socket = { proto: 'udp', host: hosts[index]!, port: 9105, source, timeout: 0.05 } as const;
            const now = (await lab.web.seen(9105)).length;
            await lab.statsd.call({ ...socket, ...(index === 0 ? { transparent: true } : { freebind: true }) });
            expect(await appears(patience, async () => (await lab.web.seen(9105)).length > now)).to.equal(false);
          }
        });
      },
    );
  }
});
