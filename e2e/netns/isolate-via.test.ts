// podsplit.io/egress-via in an isolated Pod: every way out of a kept UID, without the rules and with them.

import { expect } from 'chai';
import type { Agent, Answer, Target } from '../attack/agent.ts';
import { byProxy } from '../../controller/rules/isolate-via.ts';
import { markOf } from '../../controller/rules/isolate-model.ts';
import type { Via } from '../../controller/rules/wiring.ts';
import { IsolateLab, node, other, pod, wiring } from './isolate-lab.ts';

const denied = { error: 'ETIMEDOUT' };
const forbidden = { error: 'EPERM' };
const metadata = '169.254.169.254';
const proxyPort = 15_001;

const [web, cache, attacker] = wiring.containers;

/** cache is the proxy of attacker. */
const kept: Via = { from: 'attacker', to: 'cache', dns: 'none', resolvers: [] };
const carried: Via = { ...kept, port: proxyPort };

function tcp(host: string, port: number, more: Partial<Target> = {}): Target {
  return { proto: 'tcp', host, port, timeout: 0.2, ...more };
}

function udp(host: string, port: number, more: Partial<Target> = {}): Target {
  return { proto: 'udp', host, port, timeout: 0.2, ...more };
}

function servedBy(answer: Answer): string {
  return 'server' in answer ? answer.server : answer.error;
}

/** What leads out, by whom it is answered. */
const waysOut: readonly (readonly [Target, string])[] = [
  [tcp(other.ipv4, 80), 'other'],
  [tcp(other.ipv6, 80), 'other'],
  [tcp(`::ffff:${other.ipv4}`, 80), 'other'],
  [tcp(other.ipv4, 80, { device: 'eth0' }), 'other'],
  [tcp(other.ipv6, 80, { device: 'eth0' }), 'other'],
  [tcp(other.ipv4, 53), 'other'],
  [tcp(node.ipv4, 80), 'node'],
  [tcp(node.ipv6, 80), 'node'],
  [tcp(metadata, 80), 'node'],
  [udp(other.ipv4, 53), 'other'],
  [udp(other.ipv6, 53), 'other'],
  [udp(other.ipv4, 4433), 'other'],
  [udp(metadata, 4433), 'node'],
];

describe('a container of an isolated Pod whose only way out is its proxy', function () {
  this.timeout(300_000);
  let lab: IsolateLab;

  before(async () => {
    lab = new IsolateLab();
    lab.pod.run(['sysctl', '-qw', 'net.ipv4.ip_unprivileged_port_start=0']);
    lab.node.run(['ip', 'address', 'add', `${metadata}/32`, 'dev', 'cni0']);
    // As kube-proxy sets it: what comes in for 127.0.0.1 is taken.
    lab.node.run(['sysctl', '-qw', 'net.ipv4.conf.all.route_localnet=1']);
    await Promise.all([
      lab.other.listen('tcp', '::', 80, true),
      lab.other.listen('tcp', '::', 53, true),
      lab.other.listen('udp', '::', 53, true),
      lab.other.listen('udp', '::', 4433, true),
      lab.node.listen('tcp', '::', 80, true),
      lab.node.listen('udp', metadata, 4433),
      lab.node.listen('udp', '127.0.0.1', 53),
      lab.cache.listen('tcp', '::', proxyPort, true),
      lab.cache.listen('tcp', '::', 6379, true),
      lab.attacker.listen('tcp', '::', 7000, true),
      lab.web.listen('tcp', '::', 8080, true),
    ]);
  });

  after(() => {
    lab.end();
  });

  it('without it goes out by every way', async () => {
    lab.wire();
    for (const [target, server] of waysOut) {
      expect(servedBy(await lab.attacker.call(target)), JSON.stringify(target)).to.equal(server);
    }
    for (const host of [other.ipv4, other.ipv6]) {
      expect(await lab.attacker.must('ping', { host, timeout: 1 })).to.equal('hello');
    }
  });

  describe('that it calls itself', () => {
    before(() => {
      lab.wire({
        via: [kept],
        flows: [...wiring.flows, { from: 'attacker', to: 'cache', port: 6379, protocol: 'tcp' }],
      });
    });

    it('reaches its proxy by a flow, and nobody beyond the Pod', async () => {
      expect(servedBy(await lab.attacker.call(tcp('127.0.0.1', 6379)))).to.equal('cache');
      expect(servedBy(await lab.attacker.call(tcp('::1', 6379)))).to.equal('cache');
      await nobodyBeyond(waysOut.map(([target]) => target));
    });

    it('answers who calls it, and the others go out', async () => {
      await othersGoOn();
    });
  });

  describe('to which its TCP is carried', () => {
    before(() => {
      lab.wire({ via: [carried] });
    });

    for (const host of [other.ipv4, other.ipv6, node.ipv4, node.ipv6, metadata]) {
      it(`is answered by its proxy instead of ${host}, which is told where it was meant to go`, async () => {
        const { result } = await lab.attacker.ask('call', tcp(host, 80, { timeout: 1 }));
        expect(result).to.deep.include({ server: 'cache', meant: [host, 80] });
        // As in one Pod, by loopback.
        const [seen] = (await lab.cache.seen(proxyPort)).slice(-1);
        expect(seen?.[0]).to.match(host.includes(':') ? /^::1$/ : /127\.0\.0\.1$/);
      });
    }

    it('reaches nobody beyond the Pod, by whatever way', async () => {
      await nobodyBeyond(waysOut.map(([target]) => target));
    });

    it('calls its proxy itself at no port, nor any other container', async () => {
      for (const host of ['127.0.0.1', '::1', pod.ipv4, pod.ipv6]) {
        for (const port of [proxyPort, 6379, 8080]) {
          expect(await lab.attacker.call(tcp(host, port)), `${host} ${port}`).to.deep.equal(denied);
        }
      }
    });

    it('has two connections from one port', async () => {
      for (const [i, host] of [other.ipv4, node.ipv4].entries()) {
        const { result } = await lab.attacker.ask('open', { key: `same-${i}`, ...tcp(host, 80, { sport: 41_000 }) });
        expect(result).to.deep.include({ server: 'cache', meant: [host, 80] });
      }
      for (const i of [0, 1]) await lab.attacker.must('close', { key: `same-${i}` });
    });

    it('is carried much, in both directions', async () => {
      for (const host of [other.ipv4, other.ipv6]) {
        for (const op of ['sendBytes', 'fetchBytes']) {
          const { theirs, ours } = (await lab.attacker.must(op, { host, port: 80, size: 20_000_000 })) as Digests;
          expect(theirs).to.equal(ours);
        }
      }
    });

    it('answers who calls it, and the others go out', async () => {
      await othersGoOn();
    });

    it("is not carried to whoever took the proxy's port", async () => {
      await lab.cache.must('unlisten', { port: proxyPort });
      for (const thief of [lab.attacker, lab.web]) {
        await thief.listen('tcp', '::', proxyPort, true);
        expect(await lab.attacker.call(tcp(other.ipv4, 80)), thief.name).to.deep.equal(denied);
        expect(await lab.attacker.call(tcp(other.ipv6, 80)), thief.name).to.deep.equal(denied);
        await thief.must('unlisten', { port: proxyPort });
      }
      expect(servedBy(await lab.attacker.call(tcp(other.ipv4, 80)))).to.equal('ECONNREFUSED');
      await lab.cache.listen('tcp', '::', proxyPort, true);
      expect(servedBy(await lab.attacker.call(tcp(other.ipv4, 80)))).to.equal('cache');
    });

    it('makes no answer to anybody of what it sends itself', async () => {
      // It passes for somebody beyond the Pod, sends itself a datagram, and answers it: IPV6_FREEBIND needs no privilege.
      await lab.attacker.listen('udp', '::', 7001, true);
      const forged = udp(pod.ipv6, 7001, { source: other.ipv6, sport: 4434, freebind: true });
      // Nobody listens there: two programs that answer each other would never end.
      lab.other.run(
        ['nft', '-f', '-'],
        [
          'table inet seen {',
          'counter answers { }',
          'chain in {',
          'type filter hook input priority 0',
          'udp dport 4434 counter name answers',
          '}',
          '}',
        ].join('\n'),
      );
      const answers = (): string => lab.other.run(['nft', 'list', 'counter', 'inet', 'seen', 'answers']);
      lab.wire({ via: [carried] });
      expect('error' in (await lab.attacker.call(forged))).to.equal(true);
      expect(answers()).to.contain('packets 0 ');
      lab.unwire();
      await lab.attacker.call(forged);
      expect(answers()).to.contain('packets 1 ');
      lab.wire({ via: [carried] });
    });
  });

  describe('and names', () => {
    it('are resolved by the cluster alone, where it may ask that', async () => {
      lab.wire({ via: [{ ...carried, dns: 'cluster', resolvers: [other.ipv4, other.ipv6] }] });
      for (const host of [other.ipv4, other.ipv6]) {
        expect(servedBy(await lab.attacker.call(udp(host, 53)))).to.equal('other');
        expect(servedBy(await lab.attacker.call(tcp(host, 53)))).to.equal('other');
        expect(await lab.attacker.call(udp(host, 4433))).to.deep.equal(forbidden);
        expect(servedBy(await lab.attacker.call(tcp(host, 80)))).to.equal('cache');
      }
      expect(await lab.attacker.call(udp(node.ipv4, 53))).to.deep.equal(forbidden);
      expect(servedBy(await lab.attacker.call(tcp(node.ipv4, 53)))).to.equal('cache');
    });

    it('by TCP too, where nothing is carried', async () => {
      lab.wire({ via: [{ ...kept, dns: 'cluster', resolvers: [other.ipv4] }] });
      expect(servedBy(await lab.attacker.call(tcp(other.ipv4, 53)))).to.equal('other');
      expect(await lab.attacker.call(tcp(other.ipv6, 53))).to.deep.equal(denied);
    });

    it('by the proxy, whomever it asks', async () => {
      await lab.cache.listen('udp', '::', 53, true);
      await lab.cache.listen('tcp', '::', 53, true);
      lab.wire({ via: [{ ...kept, dns: 'proxy' }] });
      for (const host of [other.ipv4, other.ipv6, node.ipv4]) {
        expect(servedBy(await lab.attacker.call(udp(host, 53)))).to.equal('cache');
        expect(servedBy(await lab.attacker.call(tcp(host, 53)))).to.equal('cache');
        expect(await lab.attacker.call(udp(host, 4433))).to.deep.equal(forbidden);
        expect(await lab.attacker.call(tcp(host, 80))).to.deep.equal(denied);
      }
    });

    it('by nobody on the node, where a socket that is bound to eth0 would send there what was turned to loopback', async () => {
      const bound = udp(other.ipv4, 53, { device: 'eth0' });
      const before = (await lab.node.seen(53)).length;
      lab.pod.run(['nft', 'flush', 'chain', 'inet', 'podsplit', 'via_wire']);
      await lab.attacker.call(bound);
      expect(await lab.node.seen(53)).to.have.length(before + 1);
      lab.wire({ via: [{ ...kept, dns: 'proxy' }] });
      await notSeenBeyond(async () => {
        expect('error' in (await lab.attacker.call(bound))).to.equal(true);
      });
      await lab.cache.must('unlisten', { port: 53 });
    });
  });

  it('with a policy is carried where that lets it go, and what it does not is recorded', async () => {
    const enforce = [
      { addresses: `${other.ipv4}-${other.ipv4}`, protocol: 'tcp', ports: { first: 80, last: 80 } },
    ] as const;
    const containers = [web!, cache!, { ...attacker!, podNetwork: { egress: { enforce } } }];
    lab.wire({ containers, via: [{ ...carried, dns: 'cluster', resolvers: [other.ipv4] }] });
    expect(servedBy(await lab.attacker.call(tcp(other.ipv4, 80)))).to.equal('cache');
    expect(await lab.attacker.call(tcp(other.ipv6, 80))).to.deep.equal(denied);
    expect(await lab.attacker.call(tcp(node.ipv4, 80))).to.deep.equal(denied);
    expect(await lab.attacker.call(udp(other.ipv4, 53))).to.deep.equal(forbidden);
    const tried = lab.recorded('tried').map((row) => row.split(',')[0]);
    expect(tried).to.include(`${markOf(3, byProxy)} ${pod.ipv4} ${node.ipv4} tcp 80`);
    expect(tried).to.include(`${markOf(3, byProxy)} ${pod.ipv6} ${other.ipv6} tcp 80`);
  });

  it('is carried and recorded where policies audit, or what it uses is observed', async () => {
    const podNetwork = { egress: { audit: [{ addresses: `${other.ipv4}-${other.ipv4}` }] } };
    const all = ['attacker', 'cache', 'web'];
    lab.wire({
      containers: [web!, cache!, { ...attacker!, podNetwork }],
      via: [carried],
      observe: { from: all, to: all },
    });
    for (const host of [other.ipv4, other.ipv6])
      expect(servedBy(await lab.attacker.call(tcp(host, 80)))).to.equal('cache');
    const carriedBy = markOf(3, byProxy);
    expect(lab.recorded('audited')).to.deep.equal([`${carriedBy} ${pod.ipv6} ${other.ipv6} tcp 80, 1`]);
    expect(lab.recorded('used').toSorted()).to.deep.equal([
      `${carriedBy} ${pod.ipv4} ${other.ipv4} tcp 80, 1`,
      `${carriedBy} ${pod.ipv6} ${other.ipv6} tcp 80, 1`,
    ]);
  });

  it('follows changes with the next packet, by elements', async () => {
    lab.wire();
    expect(servedBy(await lab.attacker.open('direct', tcp(other.ipv4, 80)))).to.equal('other');
    lab.change({ via: [carried] });
    expect(await lab.attacker.again('direct', 0.2)).to.deep.equal(denied);
    expect(servedBy(await lab.attacker.open('carried', tcp(other.ipv4, 80)))).to.equal('cache');
    lab.change({});
    expect(await lab.attacker.again('carried', 0.2)).to.deep.equal(denied);
    expect(servedBy(await lab.attacker.call(tcp(other.ipv4, 80)))).to.equal('other');
  });

  /** Each way is tried, and nobody but the proxy has heard of it. */
  async function nobodyBeyond(targets: readonly Target[]): Promise<void> {
    await notSeenBeyond(async () => {
      for (const target of targets) {
        expect(servedBy(await lab.attacker.call(target)), JSON.stringify(target)).to.match(/^(cache|ETIMEDOUT|EPERM)$/);
      }
      for (const host of [other.ipv4, other.ipv6]) {
        expect((await lab.attacker.ask('ping', { host, timeout: 0.2 })).error).to.match(/^(ETIMEDOUT|EPERM)$/);
      }
    });
  }

  async function notSeenBeyond(work: () => Promise<void>): Promise<void> {
    const before = await seenBeyond();
    await work();
    expect(await seenBeyond()).to.deep.equal(before);
  }

  async function seenBeyond(): Promise<readonly number[]> {
    const servers: readonly (readonly [Agent, number])[] = [
      [lab.other, 80],
      [lab.other, 53],
      [lab.other, 4433],
      [lab.node, 80],
      [lab.node, 4433],
      [lab.node, 53],
    ];
    return Promise.all(servers.map(async ([server, port]) => (await server.seen(port)).length));
  }

  async function othersGoOn(): Promise<void> {
    for (const host of [pod.ipv4, pod.ipv6]) {
      expect(servedBy(await lab.other.call(tcp(host, 7000)))).to.equal('attacker');
      expect(servedBy(await lab.node.call(tcp(host, 7000)))).to.equal('attacker');
    }
    for (const host of [other.ipv4, other.ipv6]) {
      expect(servedBy(await lab.cache.call(tcp(host, 80)))).to.equal('other');
      expect(servedBy(await lab.web.call(udp(host, 53)))).to.equal('other');
    }
    expect(servedBy(await lab.web.call(tcp('127.0.0.1', 6379)))).to.equal('cache');
  }
});

interface Digests {
  readonly theirs: string;
  readonly ours: string;
}
