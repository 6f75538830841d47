import { expect } from 'chai';
import fc from 'fast-check';
import { spawnSync } from 'node:child_process';
import { compile, compileClosed, compileTable } from './compile.ts';
import { differences } from './loaded.ts';
import { closedTable } from './closed.ts';
import { arbitraryWiring } from './wiring.arbitrary.ts';

/** In a network namespace of its own, which ends with the command; a user namespace too where we are not root. */
function inFreshNamespace(command: readonly string[], input: string): { status: number | null; output: string } {
  const asRoot = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  const { status, stdout, stderr } = spawnSync('unshare', [...asRoot, '--net', ...command], {
    input,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  return { status, output: status === 0 ? stdout : stderr };
}

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
        /^set peer[46] is "0 elements"/,
      ],
    ] as const) {
      const list = ['sh', '-c', `nft -f - && nft '${change}' && nft -j list table inet podsplit`];
      const { status, output } = inFreshNamespace(list, compile(wiring, local));
      expect(status, output).to.equal(0);
      expect(differences(compileTable(wiring, local), JSON.parse(output)).join('\n')).to.match(found);
    }
  });
});
