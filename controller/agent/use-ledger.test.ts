import { expect } from 'chai';
import { usedSeconds, usedSize } from '../rules/observe.ts';
import { formatWiring } from '../rules/wiring-json.ts';
import type { Attempt } from './denials.ts';
import { parseUsed, UseLedger, usesOf } from './use-ledger.ts';

const sandbox = {
  wiring: formatWiring({
    version: 1,
    split: 's',
    piece: 'app',
    role: 'primary',
    release: 'go',
    self: { mac: '0a:58:c6:12:00:01', ipv4: '198.18.0.1', ipv6: 'fd00::1' },
    peers: [{ name: 'cache', role: 'sibling', mac: '0a:58:c6:12:00:02', ipv4: '198.18.0.2', ipv6: 'fd00::2' }],
    pool: { ipv4: '198.18.0.0/15', ipv6: 'fd00::/64' },
    flows: [{ from: 'app', to: 'cache', port: 6379, protocol: 'tcp' }],
    facade: [],
    observe: { from: ['app', 'cache'], to: ['app', 'cache'] },
  }),
};
const now = Date.parse('2030-01-01T00:00:00Z');

describe('what a piece used', () => {
  it('is read from what nft lists', () => {
    const val = { concat: ['net1', '198.18.0.1', '198.18.0.2', 'tcp', 6379] };
    const elem = [{ elem: { val, expires: usedSeconds - 5, counter: { packets: 3, bytes: 180 } } }];
    const tried = { set: { name: 'tried4', elem } };
    const { uses, full } = parseUsed({
      nftables: [{ set: { name: 'used4', elem } }, { set: { name: 'used6' } }, tried],
    });
    expect(uses).to.deep.equal([use('198.18.0.2', 6379, { packets: 3, expiresIn: usedSeconds - 5 })]);
    expect(full).to.deep.equal([]);
    const crowd = Array.from({ length: usedSize }, () => elem[0]);
    expect(parseUsed({ nftables: [{ set: { name: 'used4', elem: crowd } }] }).full).to.deep.equal(['used4']);
  });

  it('is told by container, families together, and whether its flows would have denied it', () => {
    const ledger = new UseLedger();
    ledger.take([use('198.18.0.2', 6379), use('fd00::2', 6379), use('198.18.0.2', 8126)], now);
    ledger.take([use('10.96.0.10', 53, { interfaceName: 'eth0', protocol: 'udp', expiresIn: usedSeconds - 60 })], now);
    const lastSeen = '2030-01-01T00:00:00Z';
    const common = { from: 'app', connections: 1, lastSeen };
    const peer = { ...common, to: 'cache', protocol: 'tcp', network: 'peer' };
    expect(usesOf(ledger, sandbox)).to.deep.equal([
      { ...peer, port: 6379, connections: 2, wouldDeny: false },
      { ...peer, port: 8126, wouldDeny: true },
      {
        ...common,
        to: '10.96.0.10',
        port: 53,
        protocol: 'udp',
        network: 'pod',
        lastSeen: '2029-12-31T23:59:00Z',
        wouldDeny: false,
      },
    ]);
  });

  it('adds up what tables counted that were emptied or loaded anew', () => {
    const ledger = new UseLedger();
    const counts = [3, 5, 2];
    for (const packets of counts) ledger.take([use('198.18.0.2', 6379, { packets })], now);
    expect(usesOf(ledger, sandbox).map(({ connections }) => connections)).to.deep.equal([7]);
    ledger.emptied();
    ledger.take([use('198.18.0.2', 6379, { packets: 4 })], now);
    expect(usesOf(ledger, sandbox).map(({ connections }) => connections)).to.deep.equal([11]);
  });

  it('is told by the clock that was set since', () => {
    const ledger = new UseLedger();
    ledger.take([use('198.18.0.2', 6379)], now);
    ledger.clockSet(-3_600_000);
    ledger.take([use('198.18.0.2', 6379)], now - 3_590_000);
    expect(usesOf(ledger, sandbox).map(({ lastSeen }) => lastSeen)).to.deep.equal(['2029-12-31T23:00:00Z']);
  });

  it('is bounded', () => {
    const ledger = new UseLedger();
    ledger.take(
      Array.from({ length: 5000 }, (_, i) => use('198.18.0.2', i + 1)),
      now,
    );
    expect(ledger.list()).to.have.lengthOf.at.most(1024);
  });
});

function use(to: string, port: number, more: Partial<Attempt> = {}): Attempt {
  const from = to.includes(':') ? 'fd00::1' : '198.18.0.1';
  return { interfaceName: 'net1', from, to, protocol: 'tcp', port, packets: 1, expiresIn: usedSeconds, ...more };
}
