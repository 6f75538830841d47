import { expect } from 'chai';
import fc from 'fast-check';
import { inFreshNamespace } from '../../e2e/netns/fresh.ts';
import { changes } from './changes.ts';
import { closedTable } from './closed.ts';
import { compileTable } from './compile.ts';
import { hostTable } from './host.ts';
import { differences } from './loaded.ts';
import { printTable, type NamedSet, type Table } from './nft.ts';
import { arbitraryWiring } from './wiring.arbitrary.ts';
import type { Wiring } from './wiring.ts';

function table(changed: Partial<Table>): Table {
  return { family: 'inet', name: 'podsplit', marker: 'one', counters: ['denied'], sets: [], chains: [], ...changed };
}

function set(kind: NamedSet['kind'], elements: readonly string[], type = 'ipv4_addr'): NamedSet {
  return { name: 's', type, kind, elements, comment: 'of a test' };
}

const endpoint = 'ipv4_addr . inet_proto . inet_service';
const renewed = 'delete counter inet podsplit wiring\nadd counter inet podsplit wiring { comment "two"; }\n';

describe('changes', () => {
  for (const [what, loaded, wanted, lines] of [
    [
      'elements of a set',
      set('set', ['1.1.1.1', '2.2.2.2']),
      set('set', ['3.3.3.3', '2.2.2.2']),
      ['delete element inet podsplit s { 1.1.1.1 }', 'add element inet podsplit s { 3.3.3.3 }'],
    ],
    ['nothing for another order', set('set', ['1.1.1.1', '2.2.2.2']), set('set', ['2.2.2.2', '1.1.1.1']), []],
    [
      'another value of a key: out first, by its key, then in',
      set('map', ['tcp . 80 : fd00::1', 'tcp . 81 : fd00::1'], 'inet_proto . inet_service : ipv6_addr'),
      set('map', ['tcp . 80 : fd00::2', 'tcp . 81 : fd00::1'], 'inet_proto . inet_service : ipv6_addr'),
      ['delete element inet podsplit s { tcp . 80 }', 'add element inet podsplit s { tcp . 80 : fd00::2 }'],
    ],
    [
      'all of an interval set',
      set('interval', ['10.0.0.0/8', '1.1.1.1']),
      set('interval', ['10.0.0.0/8']),
      ['flush set inet podsplit s', 'add element inet podsplit s { 10.0.0.0/8 }'],
    ],
    ['an interval set to nothing', set('interval', ['10.0.0.0/8']), set('interval', []), ['flush set inet podsplit s']],
    [
      'nothing where intervals merge to the same',
      set('interval', ['10.0.0.0/9', '10.128.0.0/9']),
      set('interval', ['10.0.0.0/8']),
      [],
    ],
    [
      'the ranges that differ',
      set('ranges', ['1.1.1.1-1.1.1.9 . tcp . 1-9', '2.2.2.2-2.2.2.2 . udp . 53-53'], endpoint),
      set('ranges', ['2.2.2.2-2.2.2.2 . udp . 53-53', '1.1.1.1-1.1.1.5 . tcp . 1-9'], endpoint),
      [
        'delete element inet podsplit s { 1.1.1.1-1.1.1.9 . tcp . 1-9 }',
        'add element inet podsplit s { 1.1.1.1-1.1.1.5 . tcp . 1-9 }',
      ],
    ],
    ['nothing of a set that fills itself', set('dynamic', []), set('dynamic', []), []],
  ] as const) {
    it(`changes ${what}`, () => {
      expect(changes(table({ sets: [loaded] }), table({ sets: [wanted], marker: 'two' }))).to.equal(
        [...lines, renewed].join('\n'),
      );
    });
  }

  it('says nothing where nothing changes', () => {
    const same = table({ sets: [set('map', ['1.1.1.1 : 2.2.2.2'], 'ipv4_addr : ipv4_addr')] });
    expect(changes(same, same)).to.equal('');
  });

  it('leaves it to a whole replacement where more than elements changes', () => {
    const chain = { name: 'c', comment: '', rules: ['accept'] };
    const loaded = table({ sets: [set('set', [])], chains: [chain] });
    for (const other of [
      { ...loaded, counters: [] },
      { ...loaded, name: 'podsplit-2' },
      { ...loaded, sets: [set('interval', [])] },
      { ...loaded, sets: [{ ...set('set', []), type: 'ipv6_addr' }] },
      { ...loaded, sets: [] },
      { ...loaded, chains: [{ ...chain, rules: ['drop'] }] },
      { ...loaded, chains: [{ ...chain, name: 'd' }] },
      closedTable,
    ]) {
      expect(changes(loaded, other)).to.equal(undefined);
    }
    expect(changes(loaded, { ...loaded, chains: [{ ...chain, comment: 'said better' }] })).to.equal('');
  });

  it('leads from any flows, facade, policies, Pod IPs and devices of a piece to any others, and back', function () {
    this.timeout(60_000);
    fc.assert(
      fc.property(arbitraryWiring, fc.nat(9), arbitraryWiring, ({ wiring, local }, kept, { wiring: other }) => {
        const { podNetwork: _, ...unguarded } = wiring;
        const fewer: Wiring = {
          ...unguarded,
          ...(other.podNetwork && { podNetwork: other.podNetwork }),
          flows: wiring.flows.filter((_, i) => i % 2 === kept % 2),
          facade: wiring.facade.slice(kept),
          peers: wiring.peers.map(({ podIPs = [], ...peer }, i) => ({ ...peer, podIPs: i < kept ? podIPs : [] })),
        };
        const host = (seen: Wiring, first: number): Table =>
          hostTable({
            sandbox: '0123456789ab',
            wiring: seen,
            net1: { device: 'h-net1' },
            eth0: { device: 'h-eth0', mac: '0a:58:0a:f4:01:17', podIPs: local.podIPs },
            peerDevices: Object.fromEntries(seen.peers.slice(0, kept).map(({ name }, i) => [name, `h-${i + first}`])),
            link: 'fwd',
          });
        for (const [before, after] of [
          [compileTable(wiring, local), compileTable(fewer, local)],
          [host(wiring, 0), host(fewer, 1)],
        ] as const) {
          const [there, back] = [changes(before, after), changes(after, before)];
          if (there === undefined || back === undefined) return expect.fail('another skeleton');
          for (const [text, wanted] of [
            [there, after],
            [there + back, before],
          ] as const) {
            const { status, output } = inFreshNamespace(['sh', '-c', script(before, text)], '');
            expect(status, output).to.equal(0);
            expect(differences(wanted, JSON.parse(output))).to.deep.equal([]);
          }
        }
      }),
      { numRuns: 8 },
    );
  });

  it('takes the device of a peer that is gone out of the map', () => {
    const device = (elements: readonly string[], marker: string): Table => ({
      ...table({ family: 'netdev', marker, counters: [] }),
      sets: [set('map', elements, 'ether_addr : iface_index')],
    });
    const before = device(['0a:58:c6:12:00:03 : "h-0"', '0a:58:c6:12:00:04 : "h-1"'], 'one');
    const after = device(['0a:58:c6:12:00:03 : "h-2"'], 'two');
    const text = changes(before, after) ?? expect.fail();
    const { status, output } = inFreshNamespace(
      ['sh', '-c', script(before, text, 'ip link del h-0; ip link del h-1')],
      '',
    );
    expect(status, output).to.equal(0);
    expect(differences(after, JSON.parse(output))).to.deep.equal([]);
  });
});

/** Loads, changes and lists. */
function script(before: Table, text: string, between = ':'): string {
  return [
    'set -e',
    ...[...Array(11).keys(), 'net1', 'eth0'].map((n) => `ip link add h-${n} type veth peer name p-${n}`),
    `nft -f - <<'NFT'\n${printTable(before)}\nNFT`,
    between,
    `nft -f - <<'NFT'\n${text}\nNFT`,
    `nft -j list table ${before.family} ${before.name}`,
  ].join('\n');
}
