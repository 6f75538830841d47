import { expect } from 'chai';
import fc from 'fast-check';
import { inFreshNamespace } from '../../e2e/netns/fresh.ts';
import { compile, compileClosed, compileTable } from './compile.ts';
import { compileHost, hostTable, type HostSide } from './host.ts';
import { differences } from './loaded.ts';
import { closedTable } from './closed.ts';
import { arbitraryWiring } from './wiring.arbitrary.ts';

describe('nft', () => {
  it('accepts every ruleset of every wiring', function () {
    this.timeout(60_000);
    fc.assert(
      // Many rulesets in one run of nft: each replaces the one before.
      fc.property(fc.array(arbitraryWiring, { minLength: 30, maxLength: 60 }), (pieces) => {
        const text = pieces.map(({ wiring, local }) => compile(wiring, local)).join('\n');
        expect(inFreshNamespace(['nft', '-c', '-f', '-'], text)).to.deep.equal({ status: 0, output: '' });
      }),
      { numRuns: 5 },
    );
  });

  it('accepts every table for the node, with and without eth0, in either link mode', function () {
    this.timeout(60_000);
    const sides = fc.tuple(arbitraryWiring, fc.constantFrom('fwd', 'bridge'), fc.boolean(), fc.nat(9));
    const devices = [...Array(10).keys(), 'net1', 'eth0'].map((n) => `ip link add h-${n} type veth peer name p-${n}`);
    fc.assert(
      fc.property(sides, ([{ wiring, local }, link, withEth0, present]) => {
        const side: HostSide = {
          sandbox: '0123456789ab',
          wiring,
          net1: { device: 'h-net1' },
          ...(withEth0 ? { eth0: { device: 'h-eth0', mac: '0a:58:0a:f4:00:02', podIPs: local.podIPs } } : {}),
          peerDevices: Object.fromEntries(wiring.peers.slice(0, present).map(({ name }, n) => [name, `h-${n}`])),
          link,
        };
        const list = `${devices.join('; ')}; nft -f - && nft -j list table netdev podsplit-0123456789ab`;
        const { status, output } = inFreshNamespace(['sh', '-c', list], compileHost(side));
        expect(status, output).to.equal(0);
        expect(differences(hostTable(side), JSON.parse(output))).to.deep.equal([]);
      }),
      { numRuns: 15 },
    );
  });

  it('lists what was compiled, and the listing proves it', function () {
    this.timeout(60_000);
    const list = ['sh', '-c', 'nft -f - && nft -j list table inet podsplit'];
    fc.assert(
      fc.property(arbitraryWiring, ({ wiring, local }) => {
        const { status, output } = inFreshNamespace(list, compileClosed() + compile(wiring, local));
        expect(status, output).to.equal(0);
        expect(differences(compileTable(wiring, local), JSON.parse(output))).to.deep.equal([]);
        expect(differences(closedTable, JSON.parse(output))).to.include(
          `counter wiring is "${compileTable(wiring, local).marker}", not "closed"`,
        );
      }),
      { numRuns: 25 },
    );
  });

  it('does not list a table that somebody changed as ours', () => {
    const [{ wiring, local } = expect.fail()] = fc.sample(
      arbitraryWiring.filter(({ wiring: w }) => w.role === 'sibling' && w.flows.some((flow) => flow.to === w.piece)),
      { numRuns: 1, seed: 1 },
    );
    for (const [change, found] of [
      ['add rule inet podsplit net1_in accept', /^chain net1_in is ".* rules", not/],
      ['flush chain inet podsplit raw_in', /^chain raw_in is ".* 0 rules", not/],
      ['add chain inet podsplit more', /^chain more is not ours$/],
      [
        'flush set inet podsplit pods4; flush set inet podsplit peer4; flush set inet podsplit peer6',
        /^set peer[46] lacks /,
      ],
    ] as const) {
      const list = ['sh', '-c', `nft -f - && nft '${change}' && nft -j list table inet podsplit`];
      const { status, output } = inFreshNamespace(list, compile(wiring, local));
      expect(status, output).to.equal(0);
      expect(differences(compileTable(wiring, local), JSON.parse(output)).join('\n')).to.match(found);
    }
  });
});
