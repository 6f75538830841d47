import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { IngressVia, Wiring } from '../../controller/rules/wiring.ts';
import { linkLocalOf } from '../../controller/rules/addresses.ts';
import { linkDifferences, linkListing } from '../../controller/rules/links-listed.ts';
import { links } from '../../controller/rules/links.ts';
import { eth0Mac, flows, Lab, localOf, node, otherPod, outside, sites, wiringOf } from './lab.ts';
import type { Namespace } from './namespace.ts';

const { web, statsd } = sites;
const patience = 0.3;
const families = ['ipv4', 'ipv6'] as const;
/** TCP is given up; whoever sends datagrams is told at once that it may not. */
const denied = ['ETIMEDOUT', 'EPERM'];

const appPort = 9102;
const probedPort = 9103;
const proxyPort = 15006;
/** The proxy serves it at the Pod's address itself. */
const ownPort = 15021;

/** The proxy calls the app by a flow; statsd, a sidecar that nobody trusts, may not. */
const wanted: Partial<Wiring> = {
  flows: [
    ...flows.filter(({ to }) => to !== 'web'),
    { from: 'cache', to: 'web', port: appPort, protocol: 'tcp' },
    { from: 'cache', to: 'web', port: 9105, protocol: 'udp' },
  ],
  facade: [
    { piece: 'cache', port: ownPort, protocol: 'tcp' },
    { piece: 'statsd', port: 8125, protocol: 'udp' },
  ],
};

function entering(changed: Partial<IngressVia> = {}, more: Partial<Wiring> = {}): Partial<Wiring> {
  return {
    ...wanted,
    ...more,
    ingressVia: { to: 'cache', port: proxyPort, direct: [ownPort], probes: [probedPort], ...changed },
  };
}

/** web is the proxy, and cache serves the app: flow and facade the other way round. */
const ofPrimary: Partial<Wiring> = {
  flows: [{ from: 'web', to: 'cache', port: 7000, protocol: 'tcp' }],
  facade: [{ piece: 'statsd', port: 8125, protocol: 'udp' }],
  ingressVia: { to: 'web', port: 15106, direct: [15121], probes: [] },
};

interface Sums {
  readonly theirs: string;
  readonly ours: string;
}

type Caller = 'outside' | 'other' | 'node' | 'statsd';

describe('traffic that enters by the proxy, in network namespaces', function () {
  this.timeout(300_000);
  let lab: Lab;

  before(async () => {
    lab = Lab.start();
    for (const port of [appPort, probedPort, 22_000, ownPort, 15106, 15121])
      await lab.web.listen('tcp', '::', port, true);
    for (const port of [proxyPort, ownPort, 7000]) {
      await lab.cache.listen('tcp', '::', port, true);
    }
    await lab.web.listen('udp', '::', appPort, true);
    await lab.statsd.listen('udp', '::', 8125, true);
    await lab.statsd.listen('tcp', '::', 8126, true);
    for (const each of [lab.outside, lab.other]) await each.listen('tcp', '::', 80, true);
  });
  after(() => {
    lab.end();
  });

  function wireAll(changed: Partial<Wiring>): void {
    for (const piece of lab.pieces()) lab.wire(piece, changed);
  }

  /** Everybody's every way to a port of the app: address by address. */
  const ways: readonly (readonly [Caller, string])[] = (['outside', 'other', 'node'] as const).flatMap((from) =>
    web.podIPs.map((host) => [from, host] as const),
  );

  async function serverOf(from: Namespace, host: string, port: number, timeout = 2): Promise<unknown> {
    return from.call({ proto: 'tcp', host, port, timeout });
  }

  describe('without it', () => {
    before(() => {
      wireAll(wanted);
    });

    it('whoever reaches the Pod reaches its app around the proxy', async () => {
      for (const [from, host] of ways) {
        for (const port of [appPort, 22_000]) {
          expect(await serverOf(lab[from], host, port), `${from} ${host} ${port}`).to.have.property('server', 'web');
        }
      }
    });

    it('also by a link-local address, over which its neighbours speak with their own', async () => {
      expect(await tryLinkLocal()).to.have.property('server', 'web');
    });
  });

  for (const link of ['bridge', 'fwd'] as const) {
    describe(`a proxy that is a sibling, frames by ${link}`, () => {
      before(() => {
        wireAll(entering());
        if (link === 'fwd') lab.guardAll('fwd', entering());
      });
      after(() => {
        lab.unguardAll();
      });

      it('takes what comes to any port, knows where it was sent to, and from whom', async () => {
        for (const [from, host] of ways) {
          for (const port of [appPort, 22_000, 1, proxyPort]) {
            const answer = await lab[from].must('call', { proto: 'tcp', host, port });
            expect(answer, `${from} ${host} ${port}`).to.deep.include({ server: 'cache', meant: [host, port] });
            expect((answer as { peer: [string, number] }).peer[0]).to.be.oneOf(addressesOf(from));
          }
        }
      });

      it('calls the app as in one Pod: by loopback and at the address of the Pod', async () => {
        for (const host of ['127.0.0.1', '::1', ...web.podIPs]) {
          expect(await serverOf(lab.cache, host, appPort), host).to.have.property('server', 'web');
        }
      });

      it('carries much, unchanged, both ways', async () => {
        for (const host of web.podIPs) {
          for (const op of ['sendBytes', 'fetchBytes']) {
            const { theirs, ours } = (await lab.outside.must(op, { host, port: appPort, size: 20_000_000 })) as Sums;
            expect(theirs).to.equal(ours);
          }
        }
      });

      it('serves its own ports itself, and nobody else at them', async () => {
        for (const [from, host] of ways) {
          const answer = await serverOf(lab[from], host, ownPort);
          expect(answer, `${from} ${host}`).to.have.property('server', 'cache');
        }
      });

      it('lets the node probe the app, and nobody else at that port', async () => {
        for (const host of web.podIPs) {
          expect(await serverOf(lab.node, host, probedPort), host).to.have.property('server', 'web');
          for (const from of [lab.outside, lab.other]) {
            expect(await serverOf(from, host, probedPort), host).to.have.property('server', 'cache');
          }
        }
      });

      it('is not got around: by another piece, by the address of any piece, by a link-local one', async () => {
        const addresses = ['127.0.0.1', '::1', web.ipv4, web.ipv6, ...web.podIPs];
        const tried = addresses.flatMap((host) =>
          [appPort, probedPort, proxyPort].map((port) => [host, port] as const),
        );
        const answers = await Promise.all(tried.map(([host, port]) => serverOf(lab.statsd, host, port, patience)));
        for (const [i, answer] of answers.entries()) expect(answer, tried[i]?.join()).to.have.property('error');
        for (const { podIPs } of [sites.cache, statsd]) {
          for (const host of podIPs) {
            for (const port of [proxyPort, 8126]) {
              expect(await serverOf(lab.other, host, port, patience), `${host} ${port}`)
                .to.have.property('error')
                .that.is.oneOf(denied);
            }
          }
        }
        const before = lab.counter('web', 'denied_eth0');
        expect(await tryLinkLocal())
          .to.have.property('error')
          .that.is.oneOf(denied);
        expect(lab.counter('web', 'denied_eth0')).to.be.greaterThan(before);
      });

      it('refuses as any host does where it does not listen', async () => {
        wireAll(entering({ port: 15999 }));
        for (const host of web.podIPs) {
          expect(await serverOf(lab.outside, host, appPort)).to.deep.equal({ error: 'ECONNREFUSED' });
        }
        wireAll(entering());
      });

      it('leaves UDP as it was, and what the app calls itself', async () => {
        for (const host of web.podIPs) {
          expect(await lab.outside.call({ proto: 'udp', host, port: appPort })).to.have.property('server', 'web');
          expect(await lab.outside.call({ proto: 'udp', host, port: 8125 })).to.have.property('server', 'statsd');
        }
        for (const family of families) {
          expect(await serverOf(lab.web, outside[family], 80)).to.have.property('server', 'outside');
        }
        for (const host of ['127.0.0.1', '::1', ...web.podIPs]) {
          expect(await serverOf(lab.web, host, appPort), host).to.have.property('server', 'web');
        }
      });

      it('is told of a narrower path to a client', async () => {
        lab.node.run(['ip', 'link', 'set', 'up0', 'mtu', '1300']);
        try {
          for (const family of families) {
            const host = web.podIPs[family === 'ipv4' ? 0 : 1];
            // With IPv6 the primary, which knows the path too, is the one that tells.
            if (family === 'ipv6') {
              const { theirs, ours } = (await lab.web.must('sendBytes', {
                host: outside.ipv6,
                port: 80,
                size: 50_000,
              })) as Sums;
              expect(theirs).to.equal(ours);
              expect(lab.web.run(['ip', 'route', 'get', outside.ipv6])).to.include('mtu 1300');
            }
            const { theirs, ours } = (await lab.outside.must('fetchBytes', {
              host,
              port: appPort,
              size: 500_000,
            })) as Sums;
            expect(theirs).to.equal(ours);
            expect(lab.cache.run(['ip', 'route', 'get', outside[family]])).to.include('mtu 1300');
          }
        } finally {
          lab.node.run(['ip', 'link', 'set', 'up0', 'mtu', '1500']);
          for (const piece of lab.pieces()) {
            for (const family of ['-4', '-6']) lab[piece].run(['ip', family, 'route', 'flush', 'cache']);
          }
        }
      });

      it('and nothing of all that was taken for forged', () => {
        if (link === 'bridge') return;
        for (const piece of ['web', 'cache'] as const)
          expect(lab.hostCounter(piece, 'host_spoofed'), piece).to.equal(0);
      });
    });
  }

  for (const [how, changed, port, answered] of [
    ['an app answers its own clients by a raw socket', wanted, appPort, 'sent'],
    ['and not those of its proxy', entering(), appPort, 'EPERM'],
  ] as const) {
    it(how, async () => {
      wireAll(changed);
      const [host] = web.podIPs;
      await lab.outside.open('heard', { proto: 'tcp', host, port });
      const script = fileURLToPath(new URL('answer_as.py', import.meta.url));
      const child = spawn('ip', ['netns', 'exec', lab.web.name, 'python3', script, host, String(port)]);
      const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
      expect((await lines.next()).value).to.equal('ready');
      await lab.outside.again('heard', 2);
      expect((await lines.next()).value).to.equal(answered);
      await lab.outside.must('close', { key: 'heard' });
    });
  }

  it('has links that an audit finds as they should be, and misses where they are not', () => {
    wireAll(entering());
    const missing = (family: 'ipv4' | 'ipv6'): readonly string[] => {
      const listed = lab.web.run(
        ['ip', family === 'ipv4' ? '-4' : '-6', '-json', '-batch', '-'],
        `${linkListing.join('\n')}\n`,
      );
      const objects = listed
        .split('\n')
        .flatMap((line): unknown[] => (line.trim() === '' ? [] : [JSON.parse(line)].flat()));
      return linkDifferences(links(wiringOf('web', entering()), localOf('web'))[family], objects);
    };
    for (const family of families) expect(missing(family)).to.deep.equal([]);
    lab.web.run(['ip', '-6', 'rule', 'del', 'pref', '1']);
    expect(missing('ipv6')).to.have.length(1);
  });

  it('has it recorded who tried to get around it', async () => {
    wireAll(entering());
    await serverOf(lab.statsd, web.podIPs[0], appPort, patience);
    expect(lab.tried('statsd', 4)).to.match(
      new RegExp(`"eth0" . ${statsd.podIPs[0]} . ${web.podIPs[0]} . (tcp|6) . ${appPort} `),
    );
  });

  it('is judged by policies as the container that takes the call, by the port that was called', async () => {
    const range = (address: string): string => `${address}-${address}`;
    const allowed = families.map((family) => ({
      addresses: range(outside[family]),
      protocol: 'tcp' as const,
      ports: { first: appPort, last: appPort },
    }));
    lab.wire('web', entering());
    lab.wire('cache', entering({}, { podNetwork: { ingress: { enforce: allowed } } }));
    for (const host of web.podIPs) {
      expect(await serverOf(lab.outside, host, appPort), host).to.have.property('server', 'cache');
      expect(await serverOf(lab.outside, host, 22_000, patience), host).to.have.property('error');
      expect(await serverOf(lab.other, host, appPort, patience), host).to.have.property('error');
    }
    wireAll(entering());
  });

  it('holds together with a way out by the same proxy', async () => {
    const both = entering({}, { via: [{ from: 'web', to: 'cache', port: proxyPort, dns: 'none', resolvers: [] }] });
    wireAll(both);
    lab.guardAll('fwd', both);
    try {
      for (const [from, host] of ways) {
        expect(await serverOf(lab[from], host, appPort), `${from} ${host}`).to.have.property('server', 'cache');
      }
      for (const family of families) {
        const answer = await lab.web.must('call', { proto: 'tcp', host: outside[family], port: 80 });
        expect(answer).to.deep.include({ server: 'cache', meant: [outside[family], 80] });
      }
      for (const host of ['127.0.0.1', '::1', ...web.podIPs]) {
        expect(await serverOf(lab.cache, host, appPort), host).to.have.property('server', 'web');
      }
      for (const host of web.podIPs) {
        expect(await serverOf(lab.node, host, probedPort), host).to.have.property('server', 'web');
      }
    } finally {
      lab.unguardAll();
    }
  });

  describe('fails closed', () => {
    beforeEach(() => {
      wireAll(entering());
    });

    const broken: Readonly<Record<string, () => void>> = {
      'without the rule that leads there': () => {
        for (const family of ['-4', '-6']) lab.web.run(['ip', family, 'rule', 'del', 'pref', '1']);
      },
      'where the kernel looks for local addresses first': () => {
        for (const family of ['-4', '-6']) lab.web.run(['ip', family, 'rule', 'add', 'pref', '0', 'lookup', 'local']);
      },
      'without the link': () => {
        lab.web.run(['ip', 'link', 'set', 'net1', 'down']);
      },
    };
    for (const [how, breakIt] of Object.entries(broken)) {
      it(how, async () => {
        breakIt();
        try {
          for (const host of web.podIPs) {
            expect(await serverOf(lab.outside, host, appPort, patience), host)
              .to.have.property('error')
              .that.is.not.equal('ECONNREFUSED');
          }
        } finally {
          lab.detach('web');
          lab.attach('web');
        }
      });
    }
  });

  describe('a proxy that is the primary', () => {
    before(() => {
      wireAll(ofPrimary);
      lab.guardAll('fwd', ofPrimary);
    });
    after(() => {
      lab.unguardAll();
    });

    it('takes what comes to any port, knows where it was sent to, and from whom', async () => {
      for (const [from, host] of ways) {
        for (const port of [7000, appPort, 1]) {
          const answer = await lab[from].must('call', { proto: 'tcp', host, port });
          expect(answer, `${from} ${host} ${port}`).to.deep.include({
            server: 'web',
            meant: [host, port],
          });
          expect((answer as { local: [string, number] }).local[1]).to.equal(15106);
          expect((answer as { peer: [string, number] }).peer[0]).to.be.oneOf(addressesOf(from));
        }
        const own = await lab[from].must('call', { proto: 'tcp', host, port: 15121 });
        expect((own as { local: [string, number] }).local[1]).to.equal(15121);
      }
    });

    it('calls the app, which nobody else reaches', async () => {
      for (const host of ['127.0.0.1', '::1', ...web.podIPs]) {
        expect(await serverOf(lab.web, host, 7000), host).to.have.property('server', 'cache');
        expect(await serverOf(lab.statsd, host, 7000, patience), host).to.have.property('error');
      }
      for (const host of sites.cache.podIPs) {
        expect(await serverOf(lab.other, host, 7000, patience), host).to.have.property('error');
        expect(await serverOf(lab.node, host, 7000), 'a probe').to.have.property('server', 'cache');
      }
    });
  });

  describe('changes by elements', () => {
    for (const [who, way, before, served] of [
      ['a sibling', entering(), wanted, 'cache'],
      ['the primary', ofPrimary, { ...ofPrimary, ingressVia: undefined }, 'web'],
    ] as const) {
      it(`cut what came to the app when the proxy comes, and what entered when it goes: ${who}`, async () => {
        const without = Object.fromEntries(Object.entries(before).filter(([, value]) => value !== undefined));
        wireAll(without);
        const changeAll = (from: Partial<Wiring>, to: Partial<Wiring>): void => {
          for (const piece of lab.pieces()) {
            lab.change(piece, from, to);
            lab.link(piece, to);
          }
        };
        for (const host of web.podIPs) {
          expect(await lab.outside.open(`direct ${host}`, { proto: 'tcp', host, port: appPort })).to.have.property(
            'server',
            'web',
          );
        }
        changeAll(without, way);
        for (const host of web.podIPs) {
          expect(await lab.outside.again(`direct ${host}`, patience))
            .to.have.property('error')
            .that.is.oneOf(denied);
          const answer = await lab.outside.open(`entered ${host}`, { proto: 'tcp', host, port: appPort });
          expect(answer).to.have.property('server', served);
          expect(await lab.outside.again(`entered ${host}`, 2)).to.have.property('server', served);
        }
        changeAll(way, without);
        for (const host of web.podIPs) {
          expect(await lab.outside.again(`entered ${host}`, patience))
            .to.have.property('error')
            .that.is.oneOf(denied);
          expect(await serverOf(lab.outside, host, appPort)).to.have.property('server', 'web');
          for (const key of [`direct ${host}`, `entered ${host}`]) await lab.outside.must('close', { key });
        }
      });
    }
  });

  function addressesOf(from: Caller): readonly string[] {
    const { ipv4, ipv6 } = { outside, other: otherPod, node, statsd }[from];
    return [ipv4, ipv6, `::ffff:${ipv4}`];
  }

  function tryLinkLocal(): Promise<unknown> {
    return lab.other.call({
      proto: 'tcp',
      host: `${linkLocalOf(eth0Mac(web.mac))}%eth0`,
      port: appPort,
      source: otherPod.ipv6,
      timeout: patience,
    });
  }
});
