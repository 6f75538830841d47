import { expect } from 'chai';
import type { Via } from '../../controller/rules/wiring.ts';
import { facade, flows, Lab, node, otherPod, outside, sites, type PieceName } from './lab.ts';
import type { Namespace } from './namespace.ts';

const { web, cache, statsd } = sites;
/** TCP is given up; whoever sends datagrams is told at once that it may not. */
const denied = ['ETIMEDOUT', 'EPERM'];
const patience = 0.2;
const families = ['ipv4', 'ipv6'] as const;

/** cache is the proxy: 15001 takes what is carried to it, 6301 to 6304 are called by flows, 15000 is its administration. */
const proxyPort = 15001;
const resolvers = [otherPod.ipv4, otherPod.ipv6] as const;

function via(from: PieceName, changed: Partial<Via> = {}): { readonly via: readonly Via[] } {
  return { via: [{ from, to: 'cache', port: proxyPort, dns: 'none', resolvers: [], ...changed }] };
}

function explicit(from: PieceName, changed: Partial<Via> = {}): { readonly via: readonly Via[] } {
  return { via: [{ from, to: 'cache', dns: 'none', resolvers: [], ...changed }] };
}

/** No packet of these may reach anybody outside: by name or number, by any protocol, from any socket that needs no frame of its own. */
const attempts: readonly (readonly [string, (piece: Namespace) => Promise<unknown>])[] = families.flatMap((family) => {
  const host = outside[family];
  return [
    [`TCP ${family}`, (piece) => piece.call({ proto: 'tcp', host, port: 80, timeout: patience })],
    [
      `TCP ${family} of a socket bound to eth0`,
      (piece) => piece.call({ proto: 'tcp', host, port: 80, timeout: patience, device: 'eth0' }),
    ],
    [`UDP ${family}`, (piece) => piece.call({ proto: 'udp', host, port: 443, timeout: patience })],
    [`DNS by UDP ${family}`, (piece) => piece.call({ proto: 'udp', host, port: 53, timeout: patience })],
    [
      `the cluster's DNS ${family}`,
      (piece) => piece.call({ proto: 'udp', host: otherPod[family], port: 53, timeout: patience }),
    ],
    [
      `another Pod ${family}`,
      (piece) => piece.call({ proto: 'tcp', host: otherPod[family], port: 80, timeout: patience }),
    ],
    [`the node ${family}`, (piece) => piece.call({ proto: 'tcp', host: node[family], port: 10250, timeout: patience })],
    [`ICMP ${family}`, (piece) => piece.ask('echo', { host, timeout: patience })],
  ] satisfies (readonly [string, (piece: Namespace) => Promise<unknown>])[];
});

/** What is carried to the proxy where it is given a port: its answer is not the outside's. */
const carried = /^(TCP ipv\d$|another Pod|the node)/;

describe('the unavoidable proxy in network namespaces', function () {
  this.timeout(300_000);
  let lab: Lab;

  before(async () => {
    lab = Lab.start();
    lab.wireAll();
    for (const each of [lab.outside, lab.other, lab.node]) {
      for (const [proto, port] of [
        ['tcp', 80],
        ['tcp', 53],
        ['udp', 53],
        ['udp', 443],
        ['tcp', 10250],
      ] as const) {
        await each.listen(proto, '::', port, true);
      }
    }
    for (const host of ['127.0.0.1', '::1']) {
      await lab.cache.listen('tcp', host, proxyPort);
      await lab.cache.listen('tcp', host, 15000);
      for (const proto of ['tcp', 'udp'] as const) await lab.cache.listen(proto, host, 53);
    }
    // The kernel chooses the source of an unconnected socket's answer by its route: on 0.0.0.0 as well as on loopback.
    await lab.cache.listen('tcp', '0.0.0.0', 15002);
    await lab.cache.listen('tcp', '::', 15002);
    await lab.cache.listen('tcp', '::', 6303, true);
    for (const proto of ['tcp', 'udp'] as const) {
      for (const host of ['0.0.0.0', '::']) await lab.cache.listen(proto, host, 7000);
      await lab.web.listen(proto, '::', 9102, true);
      await lab.statsd.listen(proto, '::', 8125, true);
    }
  });
  after(() => {
    lab.end();
  });

  function wireAll(changed: Parameters<Lab['wire']>[1]): void {
    for (const piece of lab.pieces()) lab.wire(piece, changed);
  }

  describe('without it', () => {
    before(() => {
      lab.wireAll();
    });
    for (const [what, attempt] of attempts) {
      it(`a piece reaches outside: ${what}`, async () => {
        for (const piece of ['web', 'statsd'] as const) {
          expect(await attempt(lab[piece]), piece).to.not.have.property('error');
        }
      });
    }
  });

  for (const kept of ['web', 'statsd'] as const) {
    describe(`a kept ${sites[kept].role} that calls its proxy by flows`, () => {
      before(() => {
        wireAll(explicit(kept));
      });

      for (const [what, attempt] of attempts) {
        it(`does not reach ${what}`, async () => {
          const before = lab.counter(kept, 'denied_out');
          expect(await attempt(lab[kept]))
            .to.have.property('error')
            .that.is.oneOf(denied);
          expect(lab.counter(kept, 'denied_out')).to.be.greaterThan(before);
        });
      }

      it('has it recorded, with whom it called', () => {
        for (const [n, host] of [
          [4, outside.ipv4],
          [6, outside.ipv6],
        ] as const) {
          expect(lab.tried(kept, n)).to.match(
            new RegExp(`"eth0" . ${sites[kept].podIPs[n === 4 ? 0 : 1]} . ${host} . (tcp|6) . 80 `),
          );
        }
      });

      it('leaves the other pieces as they were', async () => {
        const other = kept === 'web' ? 'statsd' : 'web';
        for (const piece of [other, 'cache'] as const) {
          for (const family of families) {
            const answer = await lab[piece].call({ proto: 'tcp', host: outside[family], port: 80 });
            expect(answer, piece).to.have.property('server', 'outside');
          }
        }
      });
    });
  }

  it('a kept piece calls its proxy where the flows say so', async () => {
    wireAll(explicit('web'));
    for (const host of ['127.0.0.1', '::1']) {
      expect(await lab.web.call({ proto: 'tcp', host, port: 6303 })).to.have.property('server', 'cache');
    }
  });

  for (const kept of ['web', 'statsd'] as const) {
    describe(`a kept ${sites[kept].role} whose TCP is carried`, () => {
      before(() => {
        wireAll(via(kept));
      });

      it('ends at the proxy, whatever it calls, and the proxy knows what that was', async () => {
        for (const [host, port] of [
          [outside.ipv4, 80],
          [outside.ipv6, 80],
          [outside.ipv4, 53],
          [otherPod.ipv6, 443],
          [node.ipv4, 10250],
          ['169.254.169.254', 80],
        ] as const) {
          const answer = await lab[kept].must('call', { proto: 'tcp', host, port });
          expect(answer, host).to.deep.include({ server: 'cache', meant: [host, port] });
          expect((answer as { peer: [string, number] }).peer[0]).to.equal(host.includes(':') ? '::1' : '127.0.0.1');
        }
      });

      it('tells two connections of one port apart', async () => {
        for (const [i, host] of [outside.ipv4, otherPod.ipv4].entries()) {
          const answer = await lab[kept].must('open', {
            key: `${kept}${i}`,
            proto: 'tcp',
            host,
            port: 80,
            sport: 40_123,
          });
          expect(answer).to.deep.include({ server: 'cache', meant: [host, 80] });
        }
        for (const i of [0, 1]) await lab[kept].must('close', { key: `${kept}${i}` });
      });

      it('carries much, unchanged', async () => {
        for (const family of families) {
          for (const op of ['sendBytes', 'fetchBytes']) {
            const sums = await lab[kept].must(op, { host: outside[family], port: 80, size: 20_000_000 });
            const { theirs, ours } = sums as { theirs: string; ours: string };
            expect(theirs).to.equal(ours);
          }
        }
      });

      it('finds a listener on all addresses as well as on loopback', async () => {
        wireAll(via(kept, { port: 15002 }));
        for (const family of families) {
          const answer = await lab[kept].must('call', { proto: 'tcp', host: outside[family], port: 80 });
          expect(answer).to.deep.include({ server: 'cache', meant: [outside[family], 80] });
        }
      });

      it('is refused where the proxy does not listen, as by any host', async () => {
        wireAll(via(kept, { port: 15003 }));
        for (const family of families) {
          const answer = await lab[kept].call({ proto: 'tcp', host: outside[family], port: 80 });
          expect(answer).to.deep.equal({ error: 'ECONNREFUSED' });
        }
        wireAll(via(kept));
      });

      for (const [what, attempt] of attempts.filter(([name]) => !carried.test(name))) {
        it(`does not reach ${what}`, async () => {
          expect(await attempt(lab[kept]))
            .to.have.property('error')
            .that.is.oneOf(denied);
        });
      }

      it('reaches no other port of its proxy, by any address', async () => {
        for (const host of [cache.ipv4, cache.ipv6, ...cache.podIPs]) {
          for (const port of [15000, proxyPort]) {
            const answer = await lab[kept].call({ proto: 'tcp', host, port, timeout: patience });
            expect(answer, `${host} ${port}`).to.have.property('error').that.is.oneOf(denied);
          }
        }
        for (const host of ['127.0.0.1', '::1']) {
          const answer = await lab[kept].call({ proto: 'tcp', host, port: 15000 });
          expect(answer).to.deep.equal({ error: 'ECONNREFUSED' });
        }
      });

      it('has nothing forwarded by its proxy', () => {
        expect(lab.counter('cache', 'denied_forward')).to.equal(0);
      });
    });
  }

  describe('what comes in', () => {
    for (const kept of ['web', 'statsd'] as const) {
      for (const [how, changed] of [
        ['by flows', explicit(kept)],
        ['carried', via(kept, { dns: 'proxy' })],
      ] as const) {
        it(`is answered as ever: a kept ${sites[kept].role}, ${how}`, async () => {
          wireAll(changed);
          const port = { web: 9102, statsd: 8125 }[kept];
          for (const proto of ['tcp', 'udp'] as const) {
            for (const [i, host] of sites[kept].podIPs.entries()) {
              const probe = await lab.node.call({ proto, host, port });
              expect(probe, `a probe, ${proto} ${host}`).to.have.property('server', kept);
              expect(await lab.node.must('echo', { host })).to.equal(true);
              // The facade: of the primary itself, and of its siblings.
              for (const client of [lab.outside, lab.other]) {
                for (const [servedBy, served] of [
                  ['web', 9102],
                  ['cache', 7000],
                ] as const) {
                  const answer = await client.call({ proto, host: web.podIPs[i]!, port: served });
                  expect(answer, `${servedBy} ${proto} ${host}`).to.have.property('server', servedBy);
                }
              }
            }
          }
          const statsdAnswer = await lab.outside.call({ proto: 'udp', host: web.podIPs[1], port: 8125 });
          expect(statsdAnswer).to.have.property('server', 'statsd');
        });
      }
    }

    it('finds its neighbours again', async () => {
      wireAll(explicit('web'));
      lab.web.run(['ip', 'neighbour', 'flush', 'dev', 'eth0']);
      lab.node.run(['ip', 'neighbour', 'flush', 'dev', 'cni0']);
      lab.other.run(['ip', 'neighbour', 'flush', 'dev', 'eth0']);
      for (const host of web.podIPs) {
        for (const client of [lab.node, lab.other]) {
          expect(await client.call({ proto: 'tcp', host, port: 9102 })).to.have.property('server', 'web');
        }
      }
    });

    it('cannot be made up: what a piece sends itself in the name of others opens no way out', async () => {
      // IPV6_FREEBIND needs no privilege; IP_TRANSPARENT and raw sockets need NET_RAW.
      for (const [family, how] of [
        ['ipv6', { freebind: true }],
        ['ipv4', { transparent: true }],
      ] as const) {
        const own = web.podIPs[family === 'ipv4' ? 0 : 1];
        const forged = {
          proto: 'udp',
          host: own,
          port: 5353,
          source: outside[family],
          sport: 53,
          timeout: patience,
          ...how,
        } as const;
        const back = {
          proto: 'udp',
          host: outside[family],
          port: 53,
          source: own,
          sport: 5353,
          timeout: patience,
        } as const;
        wireAll({});
        await lab.web.call(forged);
        expect(await lab.web.call(back), 'without it').to.have.property('server', 'outside');
        lab.web.run(['conntrack', '-F']);
        wireAll(explicit('web'));
        await lab.web.call(forged);
        expect(await lab.web.call(back), 'with it')
          .to.have.property('error')
          .that.is.oneOf(denied);
      }
    });

    it('and neighbour discovery goes no further than the link', async () => {
      const advert = { host: outside.ipv6, timeout: patience };
      await lab.outside.must('sniff', { interface: 'eth0' });
      wireAll({});
      await lab.web.ask('neighbour', advert);
      expect(await heard()).to.equal(true);
      wireAll(explicit('web'));
      await lab.outside.must('forget', { interface: 'eth0' });
      await lab.web.ask('neighbour', advert);
      expect(await heard()).to.equal(false);

      async function heard(): Promise<boolean> {
        const token = Buffer.from('podsplit-na').toString('hex');
        for (let left = 10; left > 0; left--) {
          if ((await lab.outside.must('heard', { interface: 'eth0', token })) === true) return true;
          await new Promise((done) => setTimeout(done, 20));
        }
        return false;
      }
    });
  });

  describe('names', () => {
    const ask = (piece: Namespace, proto: 'tcp' | 'udp', host: string): Promise<unknown> =>
      piece.must('call', { proto, host, port: 53, timeout: patience }).catch(() => ({ error: 'ETIMEDOUT' }));

    for (const form of [explicit, via]) {
      it(`"cluster" asks the cluster's DNS and nobody else, ${form.name}`, async () => {
        wireAll(form('web', { dns: 'cluster', resolvers }));
        for (const [i, host] of resolvers.entries()) {
          for (const proto of ['tcp', 'udp'] as const) {
            expect(await ask(lab.web, proto, host), `${proto} ${host}`).to.have.property('server', 'other');
          }
          const otherPort = await lab.web.call({ proto: 'udp', host, port: 443, timeout: patience });
          expect(otherPort).to.have.property('error').that.is.oneOf(denied);
          expect(await ask(lab.web, 'udp', outside[families[i]!]))
            .to.have.property('error')
            .that.is.oneOf(denied);
        }
      });

      it(`"proxy" asks the proxy, whomever it means, ${form.name}`, async () => {
        wireAll(form('web', { dns: 'proxy' }));
        for (const host of [...resolvers, outside.ipv4, outside.ipv6]) {
          expect(await ask(lab.web, 'udp', host), host).to.have.property('server', 'cache');
          expect(await ask(lab.web, 'tcp', host), host).to.deep.include({ server: 'cache', meant: [host, 53] });
        }
        const otherPort = await lab.web.call({ proto: 'udp', host: outside.ipv4, port: 443, timeout: patience });
        expect(otherPort).to.have.property('error').that.is.oneOf(denied);
      });
    }

    it('"proxy" says so where the proxy does not listen', async () => {
      const second = { via: [{ from: 'web', to: 'statsd', dns: 'proxy', resolvers: [] }] } as const;
      wireAll(second);
      for (const family of families) {
        for (const proto of ['tcp', 'udp'] as const) {
          const answer = await lab.web.call({ proto, host: outside[family], port: 53 });
          expect(answer, `${proto} ${family}`).to.deep.equal({ error: 'ECONNREFUSED' });
        }
      }
    });
  });

  it('is above policies: what they allow is not more than the proxy', async () => {
    const everything = {
      enforce: [{ addresses: '0.0.0.0-255.255.255.255' }, { addresses: '::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff' }],
    };
    wireAll({ ...explicit('web'), podNetwork: { egress: everything, ingress: everything } });
    for (const [what, attempt] of attempts) {
      expect(await attempt(lab.web), what)
        .to.have.property('error')
        .that.is.oneOf(denied);
    }
    for (const host of web.podIPs) {
      expect(await lab.node.call({ proto: 'tcp', host, port: 9102 })).to.have.property('server', 'web');
    }
  });

  it('and may be narrowed by them: who may not call is not answered, and no resolver is asked', async () => {
    wireAll({
      ...explicit('web', { dns: 'cluster', resolvers }),
      podNetwork: { egress: { enforce: [] }, ingress: { enforce: [] } },
    });
    const ask = { proto: 'udp', host: otherPod.ipv4, port: 53, timeout: patience } as const;
    expect(await lab.web.call(ask))
      .to.have.property('error')
      .that.is.oneOf(denied);
    const call = { proto: 'tcp', host: web.podIPs[0], port: 9102, timeout: patience } as const;
    expect(await lab.other.call(call))
      .to.have.property('error')
      .that.is.oneOf(denied);
    expect(await lab.node.call(call), 'a probe').to.have.property('server', 'web');
  });

  describe('changes by elements', () => {
    const changeAll = (before: object, after: object): void => {
      for (const piece of lab.pieces()) {
        lab.change(piece, before, after);
        lab.link(piece, after);
      }
    };

    it('cut what went out by itself when the proxy comes, and what was carried when it goes', async () => {
      lab.wireAll();
      for (const family of families) {
        const target = { proto: 'tcp', host: outside[family], port: 80 } as const;
        await lab.web.open(`direct ${family}`, target);
        await lab.outside.open(`in ${family}`, {
          proto: 'tcp',
          host: web.podIPs[family === 'ipv4' ? 0 : 1],
          port: 9102,
        });
      }
      changeAll({}, via('web'));
      for (const family of families) {
        const target = { proto: 'tcp', host: outside[family], port: 80 } as const;
        expect(await lab.web.again(`direct ${family}`, patience))
          .to.have.property('error')
          .that.is.oneOf(denied);
        expect(await lab.outside.again(`in ${family}`, 2), 'a client stays').to.have.property('server', 'web');
        for (const key of [`first ${family}`, `second ${family}`]) {
          expect(await lab.web.open(key, target)).to.have.property('server', 'cache');
        }
      }
      // Taken at either end alone it is cut too: the proxy's first.
      lab.change('cache', via('web'), {});
      for (const family of families) {
        expect(await lab.web.again(`first ${family}`, patience))
          .to.have.property('error')
          .that.is.oneOf(denied);
      }
      lab.change('cache', {}, via('web'));
      for (const family of families) {
        expect(await lab.web.again(`second ${family}`, 5)).to.have.property('server', 'cache');
      }
      lab.change('web', via('web'), {});
      for (const family of families) {
        expect(await lab.web.again(`second ${family}`, patience))
          .to.have.property('error')
          .that.is.oneOf(denied);
        const target = { proto: 'tcp', host: outside[family], port: 80 } as const;
        expect(await lab.web.call(target)).to.have.property('server', 'outside');
        for (const key of [`direct ${family}`, `first ${family}`, `second ${family}`])
          await lab.web.must('close', { key });
        await lab.outside.must('close', { key: `in ${family}` });
      }
      lab.wireAll();
    });
  });

  it('and the flows and the facade are not less than before', async () => {
    wireAll({ ...via('web', { dns: 'proxy' }), flows, facade });
    for (const host of ['127.0.0.1', '::1', ...web.podIPs]) {
      expect(await lab.web.call({ proto: 'tcp', host, port: 6303 }), host).to.have.property('server', 'cache');
      expect(await lab.web.call({ proto: 'udp', host, port: 8125 }), host).to.have.property('server', 'statsd');
      expect(await lab.statsd.call({ proto: 'tcp', host, port: 9102 }), host).to.have.property('server', 'web');
    }
    expect(statsd.role).to.equal('sibling');
  });
});
