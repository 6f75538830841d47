import { expect } from 'chai';
import { attacks, routerAttack } from './attacks.ts';
import { Lab, sites, whole } from './lab.ts';
import type { Namespace } from './namespace.ts';

/** Ports of no flow, of flows of others, and of flows, with servers that everybody could reach. */
async function listenEverywhere(lab: Lab): Promise<void> {
  const servers: readonly (readonly [Namespace, number])[] = [
    [lab.web, 9000],
    [lab.web, 9102],
    [lab.web, 9105],
    [lab.web, 6301],
    [lab.cache, 6301],
    [lab.cache, 7000],
    [lab.statsd, 9000],
    [lab.statsd, 8125],
    [lab.whole, 9000],
  ];
  for (const [namespace, port] of servers) {
    for (const proto of ['tcp', 'udp'] as const) await namespace.listen(proto, '::', port, true);
  }
  await lab.web.listen('udp', '127.0.0.1', 9200);
  await lab.outside.listen('udp', '0.0.0.0', 9300);
}

/** Accepts everything, but makes the kernel track connections, as any ruleset does. */
const openRules =
  'table inet first { chain input { type filter hook input priority 0; ct state established accept; }; }';

describe('what a compromised piece tries', function () {
  this.timeout(300_000);
  let lab: Lab;

  before(async () => {
    lab = Lab.start();
    await listenEverywhere(lab);
    // An ARP entry takes no second answer within a second; the attacker would just wait.
    lab.web.run(['sysctl', '-qw', 'net.ipv4.neigh.net1.locktime=0']);
  });
  after(() => {
    lab.end();
  });

  describe('in one Pod, and over a bare peer network, works:', () => {
    before(() => {
      for (const piece of lab.pieces()) lab[piece].run(['nft', '-f', '-'], openRules);
    });

    for (const host of ['127.0.0.1', '127.0.0.2', '0.0.0.0', '::1', '::ffff:127.0.0.1', whole.ipv4, whole.ipv6]) {
      it(`a call of another container's port at ${host}`, async () => {
        // A server on :: answers datagrams to 127.0.0.2 from 127.0.0.1, in one Pod too.
        for (const proto of host === '127.0.0.2' ? (['tcp'] as const) : (['tcp', 'udp'] as const)) {
          expect(await lab.whole.call({ proto, host, port: 9000 })).to.have.property('server', 'whole');
        }
      });
    }

    for (const attack of attacks) {
      it(attack.name, async () => {
        expect(await attack.run(lab, 5)).to.equal(true);
      });
    }

    it(routerAttack.name, async () => {
      lab.web.run(['sysctl', '-qw', 'net.ipv6.conf.net1.accept_ra=2']);
      expect(await routerAttack.run(lab, 5)).to.equal(true);
      expect(lab.web.run(['ip', '-6', 'address', 'show', 'dev', 'net1'])).to.include('fdba:d:');
    });
  });

  describe('with the rules in, fails and is counted:', () => {
    before(() => {
      lab.unwireAll();
      lab.wireAll();
    });

    it('what an advertisement left behind is gone', () => {
      expect(lab.web.run(['ip', '-6', 'address', 'show', 'dev', 'net1'])).not.to.include('fdba:d:');
      expect(lab.web.run(['ip', '-6', 'route', 'show', 'dev', 'net1'])).not.to.match(/fdba:d:|default/);
    });

    for (const host of ['127.0.0.1', '127.0.0.2', '0.0.0.0', '::1', '::ffff:127.0.0.1', ...sites.statsd.podIPs]) {
      it(`a call of another container's port at ${host} is refused by the own loopback`, async () => {
        for (const proto of ['tcp', 'udp'] as const) {
          expect(await lab.statsd.call({ proto, host, port: 9105 })).to.deep.equal({ error: 'ECONNREFUSED' });
        }
      });
    }

    for (const attack of attacks) {
      it(attack.name, async () => {
        const { counted } = attack;
        const before = counted === undefined ? 0 : lab.counter(counted.piece, counted.counter);
        expect(await attack.run(lab, 0.15)).to.equal(false);
        if (counted !== undefined) expect(lab.counter(counted.piece, counted.counter)).to.be.greaterThan(before);
      });
    }

    it(`${routerAttack.name}, even where the sysctl would take it`, async () => {
      lab.web.run(['sysctl', '-qw', 'net.ipv6.conf.net1.accept_ra=2']);
      expect(await routerAttack.run(lab, 0.15)).to.equal(false);
    });

    it('who was denied what is recorded, over IPv4 and IPv6', () => {
      const denied = lab.tried('statsd', 4);
      expect(denied).to.match(/"net1" \. 198\.18\.0\.4 \. 198\.18\.0\.2 \. tcp \. 9000 counter packets [1-9]/);
      expect(denied).to.match(/"eth0" \. 10\.77\.0\.4 \. 10\.77\.0\.2 \. udp \. 9000 counter packets [1-9]/);
      expect(lab.tried('statsd', 6)).to.match(
        /"net1" \. fd99:18::4 \. fd99:18::2 \. tcp \. 9000 counter packets [1-9]/,
      );
      expect(lab.tried('web', 4)).to.match(
        /"eth0" \. 10\.77\.0\.3 \. 10\.77\.0\.2 \. udp \. 9000 counter packets [1-9]/,
      );
    });

    it('and declared flows still work', async () => {
      for (const host of ['127.0.0.1', '::1']) {
        expect(await lab.web.call({ proto: 'tcp', host, port: 6301 })).to.have.property('server', 'cache');
        expect(await lab.statsd.call({ proto: 'udp', host, port: 9102 })).to.have.property('server', 'web');
      }
    });
  });
});
