// Policies on the Pods' network, in the pieces' own tables: eth0, and clients of the facade at the sibling that serves them.

import { expect } from 'chai';
import { familyOf, numberOf } from '../../controller/rules/addresses.ts';
import type { Allowed, PodNetwork, PolicyProtocol, Wiring } from '../../controller/rules/wiring.ts';
import { tcpSyn4, udp4 } from '../attack/frames.ts';
import { appears } from './attacks.ts';
import { eth0Mac, hostSideOf, Lab, node, otherPod, outside, sites, type PieceName } from './lab.ts';
import type { Namespace } from './namespace.ts';

const denied = { error: 'ETIMEDOUT' };
/** A datagram that the sender's own table drops is refused to it. */
const deniedHere = { error: 'EPERM' };
const refused = { error: 'ECONNREFUSED' };
const patience = 0.25;
/** Where the others listen; 8004 is silent. */
const ports = [8001, 8002, 8003] as const;
const silent = 8004;
const everything = ['0.0.0.0-255.255.255.255', '::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'].map((addresses) => ({
  addresses,
}));

function at(address: string, protocol?: PolicyProtocol, first?: number, last = first): Allowed {
  return {
    addresses: address.includes('-') ? address : `${address}-${address}`,
    ...(protocol && { protocol }),
    ...(first !== undefined && last !== undefined && { ports: { first, last } }),
  };
}

/** IPv4 first, as lists are. */
function sorted(...lists: readonly (readonly Allowed[])[]): readonly Allowed[] {
  return lists.flat().toSorted((a, b) => (familyOf(a.addresses) < familyOf(b.addresses) ? -1 : 1));
}

const both = (pair: { readonly ipv4: string; readonly ipv6: string }, ...rest: [PolicyProtocol?, number?, number?]) => [
  at(pair.ipv4, ...rest),
  at(pair.ipv6, ...rest),
];
const everywhere = (...rest: [PolicyProtocol?, number?, number?]) =>
  everything.map(({ addresses }) => at(addresses, ...rest));

function lets(list: readonly Allowed[] | undefined, address: string, protocol: string, port: number): boolean {
  if (list === undefined) return true;
  return list.some(({ addresses, protocol: allowed, ports: range }) => {
    const [first = '', last = ''] = addresses.split('-');
    const number = numberOf(address);
    if (familyOf(first) !== familyOf(address) || number < numberOf(first) || number > numberOf(last)) return false;
    return allowed === undefined || (allowed === protocol && (!range || (range.first <= port && port <= range.last)));
  });
}

/** Disjoint and sorted, as the resolver makes them. */
const lists: readonly (readonly [what: string, list: readonly Allowed[] | undefined])[] = [
  ['not restricted', undefined],
  ['closed', []],
  ['one address', [at(outside.ipv4)]],
  ['one address of each family, one port', sorted(both(outside, 'tcp', 8001))],
  ['a range of addresses and of ports', [at('10.77.0.0-10.77.0.255', 'tcp', 8002, 8100), at('fd77::-fd77::ff', 'udp')]],
  ['UDP everywhere', everywhere('udp')],
  ['a port of TCP and another of UDP', sorted(everywhere('tcp', 8001), everywhere('udp', 8003))],
  ['SCTP only', everywhere('sctp')],
];

describe('policies on the network of Pods', function () {
  this.timeout(300_000);
  let lab: Lab;
  const loaded = new Map<PieceName, Partial<Wiring>>();

  /** As the node agent does it: by elements. */
  function change(piece: PieceName, podNetwork: PodNetwork): void {
    lab.change(piece, loaded.get(piece) ?? {}, { podNetwork });
    loaded.set(piece, { podNetwork });
  }

  function unrestricted(): void {
    for (const piece of lab.pieces()) change(piece, {});
  }

  before(async () => {
    lab = Lab.start();
    lab.wireAll();
    for (const each of [lab.outside, lab.other, lab.web, lab.node]) {
      for (const port of ports) {
        for (const proto of ['tcp', 'udp'] as const) await each.listen(proto, '::', port, true);
      }
    }
    for (const proto of ['tcp', 'udp'] as const) {
      for (const host of ['0.0.0.0', '::']) await lab.cache.listen(proto, host, 7000);
    }
  });
  after(() => {
    lab.end();
  });
  afterEach(() => {
    unrestricted();
  });

  /** Every port and protocol that is served there, and ICMP. */
  async function expectReached(
    caller: Namespace,
    host: string,
    served: readonly number[],
    may: (protocol: string, port: number) => boolean,
    what: string,
  ): Promise<void> {
    const calls = served.flatMap((port) =>
      (['tcp', 'udp'] as const).map(async (proto) => {
        const answer = await caller.call({ proto, host, port, timeout: patience });
        const wanted = may(proto, port);
        expect('server' in answer, `${what}: ${host} ${proto} ${port}: ${JSON.stringify(answer)}`).to.equal(wanted);
      }),
    );
    const ping = async (): Promise<void> => {
      const { error } = await caller.ask('echo', { host, timeout: patience });
      expect(error === undefined, `${what}: ping ${host}`).to.equal(may('icmp', 0));
    };
    await Promise.all([...calls, ping()]);
  }

  describe('outwards', () => {
    for (const piece of ['web', 'cache'] as const) {
      for (const [what, list] of lists) {
        it(`${piece}: ${what}`, async () => {
          change(piece, list === undefined ? {} : { egress: { enforce: list } });
          for (const host of [outside, otherPod, node].flatMap((each) => [each.ipv4, each.ipv6])) {
            await expectReached(lab[piece], host, ports, (proto, port) => lets(list, host, proto, port), what);
          }
        });
      }
    }

    it('does not matter to who calls: its answers need no allowance', async () => {
      change('web', { egress: { enforce: [] } });
      change('cache', { egress: { enforce: [] } });
      for (const host of sites.web.podIPs) {
        await expectReached(lab.outside, host, [8001], () => true, 'into the primary');
        expect(await lab.outside.call({ proto: 'tcp', host, port: 7000 })).to.have.property('server', 'cache');
      }
      for (const host of sites.cache.podIPs) {
        expect(await lab.node.call({ proto: 'tcp', host, port: 7000 })).to.have.property('server', 'cache');
      }
    });

    it('leaves flows between the pieces alone', async () => {
      for (const piece of lab.pieces()) change(piece, { egress: { enforce: [] }, ingress: { enforce: [] } });
      for (const host of ['127.0.0.1', '::1', ...sites.web.podIPs]) {
        await lab.cache.listen('tcp', host.includes(':') ? '::' : '0.0.0.0', 6303).catch(() => undefined);
        expect(await lab.web.call({ proto: 'tcp', host, port: 6303 }), host).to.have.property('server', 'cache');
      }
    });
  });

  describe('inwards', () => {
    for (const [what, list] of lists) {
      it(`the primary: ${what}; its node always passes`, async () => {
        change('web', list === undefined ? {} : { ingress: { enforce: list } });
        for (const [i, host] of sites.web.podIPs.entries()) {
          for (const [client, addresses] of [
            [lab.outside, outside],
            [lab.other, otherPod],
          ] as const) {
            const from = i === 0 ? addresses.ipv4 : addresses.ipv6;
            await expectReached(
              client,
              host,
              ports,
              (proto, port) => lets(list, from, proto, port),
              `${what}: ${from}`,
            );
          }
          await expectReached(lab.node, host, ports, () => true, `${what}: node`);
        }
      });
    }

    const atFacade: typeof lists = [
      ['not restricted', undefined],
      ['closed', []],
      ['one client', sorted(both(outside))],
      ['one port for all', everywhere('tcp', 7000)],
      ['another port', everywhere('tcp', 7001)],
      ['UDP for one', sorted(both(otherPod, 'udp', 6999, 7001))],
    ];
    for (const [what, list] of atFacade) {
      it(`a sibling, at the facade: ${what}; nothing of it is the primary's to judge`, async () => {
        change('cache', list === undefined ? {} : { ingress: { enforce: list } });
        change('web', { ingress: { enforce: [] } });
        for (const [i, host] of sites.web.podIPs.entries()) {
          for (const [client, addresses] of [
            [lab.outside, outside],
            [lab.other, otherPod],
          ] as const) {
            const from = i === 0 ? addresses.ipv4 : addresses.ipv6;
            for (const proto of ['tcp', 'udp'] as const) {
              const answer = await client.call({ proto, host, port: 7000, timeout: patience });
              const wanted = lets(list, from, proto, 7000) ? ({ server: 'cache' } as const) : denied;
              expect(answer, `${from} ${proto}`).to.include(wanted);
            }
          }
          expect(await lab.node.call({ proto: 'tcp', host, port: 7000 })).to.have.property('server', 'cache');
        }
      });
    }

    it("opens no sibling's own eth0", async () => {
      change('cache', { ingress: { enforce: everything } });
      for (const host of sites.cache.podIPs) {
        expect(await lab.other.call({ proto: 'tcp', host, port: 7000, timeout: patience })).to.deep.equal(denied);
      }
    });

    it('does not matter to whom it calls: their answers need no allowance', async () => {
      for (const piece of ['web', 'cache'] as const) {
        change(piece, { ingress: { enforce: [] } });
        for (const host of [outside.ipv4, outside.ipv6, otherPod.ipv4, node.ipv6]) {
          await expectReached(lab[piece], host, [8001], () => true, piece);
        }
      }
    });
  });

  describe('an ICMP error', () => {
    const narrow: PodNetwork = {
      egress: { enforce: sorted(everywhere('tcp', 8001), everywhere('udp', silent)) },
      ingress: { enforce: sorted(everywhere('tcp', 8001), everywhere('tcp', 7000), everywhere('udp', silent)) },
    };

    it('of an allowed connection passes: nobody listens', async () => {
      change('web', narrow);
      for (const host of [outside.ipv4, outside.ipv6]) {
        expect(await lab.web.call({ proto: 'udp', host, port: silent, timeout: 1 }), host).to.deep.equal(refused);
      }
      for (const host of sites.web.podIPs) {
        expect(await lab.outside.call({ proto: 'udp', host, port: silent, timeout: 1 }), host).to.deep.equal(refused);
      }
      change('web', { egress: { enforce: [] }, ingress: { enforce: [] } });
      for (const host of [outside.ipv4, outside.ipv6]) {
        expect(await lab.web.call({ proto: 'udp', host, port: silent, timeout: patience })).to.deep.equal(deniedHere);
      }
    });

    it('keeps path MTU discovery working, out, in and at the facade', async () => {
      for (const piece of ['web', 'cache'] as const) change(piece, narrow);
      lab.node.run(['ip', 'link', 'set', 'up0', 'mtu', '1300']);
      lab.outside.run(['ip', 'link', 'set', 'eth0', 'mtu', '1500']);
      const size = 2_000_000;
      for (const [caller, op, hosts, port] of [
        [lab.outside, 'fetchBytes', sites.web.podIPs, 7000],
        [lab.web, 'sendBytes', [outside.ipv4, outside.ipv6], 8001],
        [lab.outside, 'fetchBytes', sites.web.podIPs, 8001],
      ] as const) {
        for (const host of hosts) {
          const { theirs, ours } = (await caller.must(op, { host, port, size })) as Record<string, string>;
          expect(theirs, `${op} ${host} ${port}`).to.equal(ours);
        }
      }
      expect(lab.web.run(['ip', 'route', 'get', outside.ipv4])).to.include('mtu 1300');
      lab.node.run(['ip', 'link', 'set', 'up0', 'mtu', '1500']);
    });
  });

  describe('what is taken away', () => {
    const open = sorted(both(outside, 'tcp', 8001), both(outside, 'udp', 8001), both(otherPod, 'tcp'));
    const less = sorted(both(outside, 'udp', 8001), both(otherPod, 'tcp'));
    const without = open.filter(({ protocol }) => protocol !== 'udp');

    for (const [what, left, cut, kept] of [
      ['a TCP connection', less, 'tcp', 'udp'],
      ['a UDP flow', without, 'udp', 'tcp'],
    ] as const) {
      for (const direction of ['egress', 'ingress'] as const) {
        it(`is cut at once: ${what}, ${direction}; others live on`, async () => {
          change('web', { [direction]: { enforce: open } });
          const [caller, hosts] =
            direction === 'egress' ? [lab.web, [outside.ipv4, outside.ipv6]] : [lab.outside, sites.web.podIPs];
          for (const host of hosts) {
            for (const proto of ['tcp', 'udp'] as const) {
              expect(await caller.open(`${proto}${host}`, { proto, host, port: 8001 })).to.have.property('server');
            }
          }
          change('web', { [direction]: { enforce: left } });
          for (const host of hosts) {
            expect(await caller.again(`${cut}${host}`, patience), `${cut} ${host}`).to.deep.equal(
              cut === 'udp' && direction === 'egress' ? deniedHere : denied,
            );
            expect(await caller.again(`${kept}${host}`, 5), `${kept} ${host}`).to.have.property('server');
          }
          for (const host of hosts) {
            for (const proto of ['tcp', 'udp']) await caller.must('close', { key: `${proto}${host}` });
          }
        });
      }
    }

    it('is cut at once: a client of the facade, at the sibling that serves it', async () => {
      change('cache', { ingress: { enforce: sorted(both(outside), both(otherPod, 'tcp', 7000)) } });
      for (const host of sites.web.podIPs) {
        for (const client of [lab.outside, lab.other]) await client.open(host, { proto: 'tcp', host, port: 7000 });
      }
      change('cache', { ingress: { enforce: both(outside) } });
      for (const host of sites.web.podIPs) {
        expect(await lab.other.again(host, patience), host).to.deep.equal(denied);
        expect(await lab.outside.again(host, 5), host).to.have.property('server', 'cache');
        for (const client of [lab.outside, lab.other]) await client.must('close', { key: host });
      }
    });

    it('is counted and recorded where it is tried again', async () => {
      change('web', { ingress: { enforce: [] } });
      const before = lab.counter('web', 'denied_eth0');
      expect(
        await lab.outside.call({ proto: 'tcp', host: sites.web.podIPs[0], port: 8001, timeout: patience }),
      ).to.deep.equal(denied);
      expect(lab.counter('web', 'denied_eth0')).to.be.greaterThan(before);
      expect(lab.tried('web', 4)).to.match(
        /"eth0" \. 192\.0\.2\.9 \. 10\.77\.0\.2 \. (tcp|6) \. 8001 counter packets [1-9]/,
      );
    });
  });

  describe('that change', () => {
    it('under load let no forbidden packet pass, and lose none of what is allowed', async () => {
      for (const [caller, hosts] of [
        [lab.web, [outside.ipv4, outside.ipv6]],
        [lab.outside, sites.web.podIPs],
      ] as const) {
        for (const host of hosts) {
          const answer = await caller.call({ proto: 'udp', host, port: 8003 });
          expect(answer, `${host}, not restricted`).to.have.property('server');
        }
      }
      // Each state allows the loads by other elements, and never 8003.
      const states: readonly (readonly Allowed[])[] = [
        sorted(both(outside, 'tcp', 8001), both(outside, 'udp', 8001)),
        sorted(everywhere('tcp', 8001, 8002), everywhere('udp', 8000, 8002)),
        [
          at('10.77.0.0-10.77.0.255'),
          ...['192.0.2.0-192.0.2.255', '2001:db8::-2001:db8::ff'].flatMap((range) => [
            at(range, 'tcp', 7000, 8001),
            at(range, 'udp', 8001),
          ]),
        ],
      ];
      const facade = [everywhere('tcp', 7000), sorted(both(outside)), everywhere('tcp')] as const;
      change('web', { egress: { enforce: states[0]! }, ingress: { enforce: states[0]! } });
      change('cache', { ingress: { enforce: facade[0] } });
      const seenBefore = { outside: (await lab.outside.seen(8003)).length, web: (await lab.web.seen(8003)).length };
      const seconds = 4;
      const loads = [
        ...(['tcp', 'udp'] as const).flatMap((proto) =>
          [outside.ipv4, outside.ipv6].map((host) => lab.web.must('load', { proto, host, port: 8001, seconds })),
        ),
        ...(['tcp', 'udp'] as const).map((proto) =>
          lab.outside.must('load', { proto, host: sites.web.podIPs[1], port: 8001, seconds }),
        ),
        ...sites.web.podIPs.map((host) => lab.outside.must('load', { proto: 'tcp', host, port: 7000, seconds })),
      ];
      let attempts = 0;
      let changes = 0;
      const end = Date.now() + seconds * 1000 - 500;
      while (Date.now() < end) {
        const forbidden = [
          ...[outside.ipv4, outside.ipv6].map((host) =>
            lab.web.call({ proto: 'udp', host, port: 8003, timeout: 0.02 }),
          ),
          ...sites.web.podIPs.map((host) => lab.outside.call({ proto: 'udp', host, port: 8003, timeout: 0.02 })),
        ];
        const list = states[changes % states.length]!;
        change('web', { egress: { enforce: list }, ingress: { enforce: list } });
        change('cache', { ingress: { enforce: facade[changes % facade.length]! } });
        for (const answer of await Promise.all(forbidden)) expect([denied, deniedHere]).to.deep.include(answer);
        attempts += forbidden.length;
        changes += 2;
      }
      for (const load of (await Promise.all(loads)) as { done: number; failed: number }[]) {
        expect(load.failed, JSON.stringify(load)).to.equal(0);
        expect(load.done).to.be.greaterThan(100);
      }
      expect(changes).to.be.greaterThan(10);
      expect(attempts).to.be.greaterThan(20);
      expect(await lab.outside.seen(8003)).to.have.length(seenBefore.outside);
      expect(await lab.web.seen(8003)).to.have.length(seenBefore.web);
    });
  });

  describe('against a packet socket, which passes around the own table', () => {
    const [ipv4] = sites.web.podIPs;
    let sport = 40_000;

    /** Whether a datagram arrives, and whether a connection could begin. */
    async function sent(patience: number): Promise<{ readonly udp: boolean; readonly tcp: boolean }> {
      sport += 1;
      const mac = {
        from: eth0Mac(sites.web.mac),
        to: lab.node.run(['cat', '/sys/class/net/cni0/address']).trim(),
      };
      const ip = { from: ipv4, to: outside.ipv4 };
      const syn = Buffer.from(tcpSyn4(mac, ip, 8003, sport), 'hex')
        .subarray(34, 44)
        .toString('hex');
      await lab.outside.must('sniff', { interface: 'eth0' });
      await lab.web.must('frames', {
        interface: 'eth0',
        data: [udp4(mac, ip, 8003, sport), tcpSyn4(mac, ip, 8003, sport)],
      });
      const seen = async (): Promise<boolean> => (await lab.outside.seen(8003)).some(([, port]) => port === sport);
      const heard = async (): Promise<boolean> =>
        (await lab.outside.must('heard', { interface: 'eth0', token: syn })) === true;
      return { udp: await appears(patience, seen), tcp: await appears(patience, heard) };
    }

    afterEach(() => {
      lab.unguardAll();
    });

    it('arrives where the node does not judge, and does not where it does', async () => {
      await expectReached(lab.web, outside.ipv4, [8003], () => true, 'before');
      change('web', { egress: { enforce: [] }, ingress: { enforce: [] } });
      expect(await sent(3)).to.deep.equal({ udp: true, tcp: true });
      lab.guardAll('fwd');
      lab.changeHost(
        hostSideOf('web', 'fwd'),
        hostSideOf('web', 'fwd', { podNetwork: { egress: { enforce: [] }, ingress: { enforce: [] } } }),
      );
      const before = lab.hostCounter('web', 'host_eth0_denied');
      expect(await sent(patience)).to.deep.equal({ udp: false, tcp: false });
      expect(lab.hostCounter('web', 'host_eth0_denied')).to.be.at.least(before + 2);
    });

    for (const [what, list] of lists) {
      it(`the node refuses nothing that the piece may: ${what}`, async () => {
        const wanted: PodNetwork = list === undefined ? {} : { egress: { enforce: list }, ingress: { enforce: list } };
        change('web', wanted);
        lab.guardAll('fwd');
        lab.changeHost(hostSideOf('web', 'fwd'), hostSideOf('web', 'fwd', { podNetwork: wanted }));
        const before = lab.hostCounter('web', 'host_eth0_denied');
        for (const [i, host] of [outside.ipv4, outside.ipv6].entries()) {
          const may = (proto: string, port: number): boolean => lets(list, host, proto, port);
          await expectReached(lab.web, host, ports, may, what);
          await expectReached(lab.outside, sites.web.podIPs[i]!, ports, may, what);
          await expectReached(lab.node, sites.web.podIPs[i]!, ports, () => true, 'node');
          for (const proto of ['tcp', 'udp'] as const) {
            const answer = await lab.outside.call({ proto, host: sites.web.podIPs[i]!, port: 7000 });
            expect(answer, `facade ${proto}`).to.have.property('server', 'cache');
          }
        }
        expect(lab.hostCounter('web', 'host_eth0_denied')).to.equal(before);
      });
    }
  });

  describe('an audit', () => {
    const set = (piece: PieceName, family: 4 | 6): string =>
      lab[piece].run(['nft', 'list', 'set', 'inet', 'podsplit', `audited${family}`]);

    it('lets everything pass, and records what its policies would refuse', async () => {
      change('web', {
        egress: { audit: sorted(both(outside, 'tcp', 8001)) },
        ingress: { audit: sorted(both(otherPod)) },
      });
      change('cache', { ingress: { audit: sorted(both(outside)) } });
      for (const host of [outside.ipv4, outside.ipv6]) await expectReached(lab.web, host, ports, () => true, 'out');
      for (const host of sites.web.podIPs) {
        for (const client of [lab.outside, lab.other, lab.node]) {
          await expectReached(client, host, [8002], () => true, 'in');
          expect(await client.call({ proto: 'tcp', host, port: 7000 })).to.have.property('server', 'cache');
        }
      }
      const [four, six] = [set('web', 4), set('web', 6)];
      expect(four).to.match(/"eth0" \. 10\.77\.0\.2 \. 192\.0\.2\.9 \. (tcp|6) \. 8002 counter packets 1 /);
      expect(six).to.match(/"eth0" \. fd77::2 \. 2001:db8::9 \. (udp|17) \. 8001 counter packets 1 /);
      expect(four).to.match(/"eth0" \. 192\.0\.2\.9 \. 10\.77\.0\.2 \. (tcp|6) \. 8002 counter packets 1 /);
      expect(six).to.match(/"eth0" \. 2001:db8::9 \. fd77::2 \. (udp|17) \. 8002 counter packets 1 /);
      expect(four).not.to.match(/(tcp|6) \. 8001 |10\.77\.0\.9 \. 10\.77|10\.77\.0\.1 \. 10\.77/);
      expect(set('cache', 4)).to.match(/"net1" \. 10\.77\.0\.9 \. 198\.18\.0\.3 \. (tcp|6) \. 7000 counter packets 1 /);
      expect(set('cache', 4)).not.to.match(/192\.0\.2\.9|10\.77\.0\.1 /);
    });

    it('beside what is enforced records only what passes', async () => {
      change('statsd', {
        egress: { enforce: sorted(everywhere('tcp', 8001, 8002)), audit: sorted(everywhere('tcp', 8001)) },
      });
      await expectReached(lab.statsd, outside.ipv4, ports, (proto, port) => proto === 'tcp' && port < 8003, 'out');
      expect(set('statsd', 4)).to.match(/(tcp|6) \. 8002 counter packets 1 /);
      expect(set('statsd', 4)).not.to.match(/ (8001|8003) |udp| 17 /);
      expect(lab.tried('statsd', 4)).to.match(
        /"eth0" \. 10\.77\.0\.4 \. 192\.0\.2\.9 \. (udp|17) \. 8001 counter packets/,
      );
    });
  });
});
