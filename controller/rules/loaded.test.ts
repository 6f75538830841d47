import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { inFreshNamespace } from '../../e2e/netns/fresh.ts';
import { changes } from './changes.ts';
import { compileTable } from './compile.ts';
import { fingerprint } from './fingerprint.ts';
import { hostTable } from './host.ts';
import { differences } from './loaded.ts';
import { printTable, type Table } from './nft.ts';
import { parseWiring } from './wiring-json.ts';
import type { Local, Wiring } from './wiring.ts';

const file = new URL('testdata/dual-stack.cache.json', import.meta.url);
const { wiring: json, local } = JSON.parse(readFileSync(file, 'utf8')) as { wiring: object; local: Local };
const wiring = parseWiring(JSON.stringify(json));

function host(changed: Partial<Wiring> = {}, peerDevices: Readonly<Record<string, string>> = { web: 'h-0' }): Table {
  const net1 = { device: 'h-net1' };
  const eth0 = { device: 'h-eth0', mac: '0a:58:0a:f4:01:17', podIPs: local.podIPs };
  return hostTable({
    sandbox: '0123456789ab',
    wiring: { ...wiring, ...changed },
    net1,
    eth0,
    peerDevices,
    link: 'fwd',
  });
}

function piece(changed: Partial<Wiring> = {}): Table {
  return compileTable({ ...wiring, ...changed }, local);
}

/** What nft lists after each of these texts. */
function listings(table: Table, ...texts: readonly string[]): readonly unknown[] {
  const devices = ['0', '1', 'net1', 'eth0'].map((n) => `ip link add h-${n} type veth peer name p-${n}`);
  const name = `${table.family} ${table.name}`;
  const script = [
    'set -e',
    ...devices,
    ...[printTable(table), ...texts].flatMap((text) => [
      // Each is read from a file of its own, as text may hold any quotes.
      `nft -f - <<'NFT'\n${text}\nNFT`,
      `nft -j list table ${name}`,
      'echo',
    ]),
  ];
  const { status, output } = inFreshNamespace(['sh'], script.join('\n'));
  expect(status, output).to.equal(0);
  return output
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as unknown);
}

describe('differences', () => {
  const [web = expect.fail()] = wiring.peers.filter(({ name }) => name === 'web');
  const range = { addresses: '10.0.0.0-10.0.0.255', protocol: 'tcp', ports: { first: 80, last: 80 } } as const;
  const pair = `${wiring.self.mac} . ${web.mac} . ${String(wiring.self.ipv4)} . ${String(web.ipv4)}`;

  for (const [table, change, found] of [
    [
      piece(),
      `delete element inet podsplit peer4 { ${web.mac} . ${String(web.ipv4)} }; ` +
        'add element inet podsplit peer4 { 0a:58:c6:12:00:ff . 198.18.0.99 }',
      [`set peer4 lacks ${web.mac} . ${String(web.ipv4)}`, 'set peer4 has 0a:58:c6:12:00:ff . 198.18.0.99'],
    ],
    [piece(), 'add element inet podsplit pool4 { 10.0.0.0/8 }', ['set pool4 has 10.0.0.0-10.255.255.255']],
    [piece(), 'add element inet podsplit served4 { udp . 53 }', ['set served4 has udp . 53']],
    [
      piece({ podNetwork: { ingress: { enforce: [range] } } }),
      'delete element inet podsplit ingress4 { 10.0.0.0-10.0.0.255 . tcp . 80-80 }; ' +
        'add element inet podsplit ingress4 { 10.0.0.1 . tcp . 80-81 }; add element inet podsplit ingress_all4 { 10.1.0.0/16 }',
      [
        'set ingress_all4 has 10.1.0.0-10.1.255.255',
        'set ingress4 lacks 10.0.0.0-10.0.0.255 . tcp . 80-80',
        'set ingress4 has 10.0.0.1-10.0.0.1 . tcp . 80-81',
      ],
    ],
    [host(), `delete element netdev podsplit-0123456789ab pair4 { ${pair} }`, [`set pair4 lacks ${pair}`]],
    [
      host(),
      'flush map netdev podsplit-0123456789ab peer_device; ' +
        `add element netdev podsplit-0123456789ab peer_device { ${web.mac} : "h-1" }`,
      [`map peer_device lacks ${web.mac} : h-0`, `map peer_device has ${web.mac} : h-1`],
    ],
  ] as const) {
    it(`finds "${change.slice(0, 60)}"`, () => {
      const [before, after] = listings(table, change);
      expect(differences(table, before)).to.deep.equal([]);
      expect(differences(table, after)).to.deep.equal(found);
    });
  }

  it('takes numbers where there is no /etc/protocols', () => {
    const table: Table = {
      ...piece(),
      counters: [],
      chains: [],
      sets: [{ name: 's', type: 'inet_proto . inet_service', kind: 'set', elements: ['udp . 53'], comment: '' }],
    };
    const listing = (elem: unknown): object => ({
      nftables: [{ counter: { name: 'wiring', comment: table.marker } }, { set: { name: 's', elem: [elem] } }],
    });
    expect(differences(table, listing({ concat: [17, 53] }))).to.deep.equal([]);
    expect(differences(table, listing({ elem: { val: { concat: ['udp', 53] }, timeout: 3 } }))).to.deep.equal([]);
    expect(differences(table, listing({ concat: [6, 53] }))).to.have.length(2);
  });
});

describe('fingerprint', () => {
  for (const [table, rule] of [
    [piece(), 'inet podsplit raw_in'],
    [host(), 'netdev podsplit-0123456789ab spoof'],
  ] as const) {
    it(`of ${rule}'s table finds an edited rule where their number is the same`, () => {
      const edit = `flush chain ${rule}; add rule ${rule} counter accept`;
      const again = `flush chain ${rule}; ${table.chains
        .filter(({ name }) => rule.endsWith(` ${name}`))
        .flatMap(({ rules }) => rules.map((text) => `add rule ${rule} ${text}`))
        .join('; ')}`;
      const [loaded, edited, repaired] = listings(table, edit, again);
      expect(fingerprint(edited)).not.to.equal(fingerprint(loaded));
      expect(fingerprint(repaired)).to.equal(fingerprint(loaded));
    });
  }

  it('finds a set that was declared anew, and a policy', () => {
    const [loaded, ...changed] = listings(
      host(),
      'add set netdev podsplit-0123456789ab more { type ipv4_addr; }',
      'delete set netdev podsplit-0123456789ab more; ' +
        'add chain netdev podsplit-0123456789ab net1 { type filter hook ingress device "h-net1" priority -500; policy accept; }',
    );
    for (const listing of changed) expect(fingerprint(listing)).not.to.equal(fingerprint(loaded));
  });

  it('outlives changes of elements', () => {
    const wanted = piece({ flows: [] });
    const [loaded, changed] = listings(piece(), changes(piece(), wanted) ?? expect.fail());
    expect(differences(wanted, changed)).to.deep.equal([]);
    expect(fingerprint(changed)).to.equal(fingerprint(loaded));
  });
});
