import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import { linkDifferences, wantedFact } from './links-listed.ts';
import { links } from './links.ts';
import { parseWiring } from './wiring-json.ts';
import type { Local } from './wiring.ts';

const folder = new URL('testdata/', import.meta.url);
const cases = readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .map((name) => JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as { wiring: object; local: Local })
  .map(({ wiring, local }) => links(parseWiring(JSON.stringify(wiring)), local));

const takesAway = /^(rule flush|address flush|route flush|link set dev net1 addrgenmode none)\b/;

describe('links that are listed', () => {
  it('are compared for every line that makes something', () => {
    const lines = cases.flatMap(({ ipv4, ipv6 }) => [...ipv4, ...ipv6]);
    expect(lines).not.to.have.length(0);
    for (const line of lines) expect(wantedFact(line), line).to.have.length(takesAway.test(line) ? 0 : 1);
  });

  const batch = [
    'link set dev net1 arp off',
    'rule flush protocol 115',
    'neighbour replace fd99:18::2 lladdr 0a:58:c6:12:00:02 dev net1 nud permanent',
    'route replace fd99:18::/64 dev net1',
    'route replace local ::1/128 dev net1 table 7074',
    'rule add pref 70 iif net1 to ::1/128 lookup 7074 protocol 115',
    'route replace default via fd99:18::2 dev net1 table 7073 mtu 1500',
    'rule add pref 70 fwmark 0x7073 lookup 7073 protocol 115',
  ];
  /** As iproute2 6.1 lists them. */
  const listed = [
    { ifindex: 4, ifname: 'net1', flags: ['BROADCAST', 'NOARP', 'UP'] },
    { dst: 'fd99:18::2', lladdr: '0a:58:c6:12:00:02', state: ['PERMANENT'] },
    { priority: 0, src: 'all', table: 'local' },
    { priority: 70, src: 'all', dst: '::1', iif: 'net1', table: '7074', protocol: '115' },
    { priority: 70, src: 'all', fwmark: '0x7073', table: '7073', protocol: '115' },
    { dst: 'default', gateway: 'fd99:18::2', table: '7073', metric: 1024, flags: [], metrics: [{ mtu: 1500 }] },
    { type: 'local', dst: '::1', table: '7074', metric: 1024, flags: [] },
    { dst: 'fd99:18::/64', metric: 1024, flags: [] },
  ];

  it('are as they should be', () => {
    expect(linkDifferences(batch, listed)).to.deep.equal([]);
  });

  it('say what is missing, or is another', () => {
    for (const [index, each] of listed.entries()) {
      const expected = 'priority' in each && each.priority === 0 ? 0 : 1;
      expect(linkDifferences(batch, listed.toSpliced(index, 1)), JSON.stringify(each)).to.have.length(expected);
    }
    const another = listed.map((each) => ('lladdr' in each ? { ...each, lladdr: '0a:58:c6:12:00:09' } : each));
    expect(linkDifferences(batch, another)).to.deep.equal([
      'net1 has no permanent neighbour fd99:18::2 at 0a:58:c6:12:00:02',
    ]);
    const learned = listed.map((each) => ('lladdr' in each ? { ...each, state: ['REACHABLE'] } : each));
    expect(linkDifferences(batch, learned)).to.have.length(1);
  });
});
