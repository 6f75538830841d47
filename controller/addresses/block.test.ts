import { expect } from 'chai';
import fc from 'fast-check';
import type { AddressBlock, AddressBlockSpec } from '../api/resources.ts';
import {
  blockName,
  candidateIndex,
  claimIn,
  claimOf,
  finishRelease,
  isEmpty,
  markReleasing,
  nextFreeIndex,
} from './block.ts';
import { blockErrors } from './parse-block.ts';
import { poolOf, usableOffsets, type Pool } from './pool.ts';

const pool = parsedPool('10.0.0.0/24', 8);
const empty: AddressBlockSpec = {
  network: 'default',
  index: 1,
  workload: { namespace: 'ns', nad: 'podsplit-web' },
  claims: [],
};
const podA = { name: 'web-a', uid: 'a' };
const podB = { name: 'web-b', uid: 'b' };

describe('address block', () => {
  it("holds all of a Pod's addresses or none", () => {
    const first = claimed(empty, podA, ['app', 'log', 'proxy', 'stats', 'agent']);
    expect(new Set(Object.values(first.claims[0]?.offsets ?? {}))).to.have.lengthOf(5);
    expect(claimIn(first, pool, podB, ['app', 'log', 'proxy', 'stats']).kind).to.equal('full');
    expect(claimIn(first, pool, podB, ['app', 'log', 'proxy']).kind).to.equal('claimed');
  });

  it('answers a Pod that asks again with what it has', () => {
    const block = claimed(empty, podA, ['app', 'log']);
    expect(claimIn(block, pool, podA, ['log', 'app'])).to.deep.equal({ kind: 'already', claim: block.claims[0] });
    expect(claimIn(block, pool, podA, ['app', 'log', 'forged']).kind).to.equal('other-containers');
    expect(claimIn(markReleasing(block, new Set(['a'])), pool, podA, ['app', 'log']).kind).to.equal('releasing');
  });

  it('releases in two phases only', () => {
    const block = claimed(claimed(empty, podA, ['app']), podB, ['app']);
    expect(finishRelease(block, new Set(['a'])), 'not marked').to.deep.equal(block);
    const marked = markReleasing(block, new Set(['a']));
    expect(claimOf(marked, 'a')?.releasing).to.equal(true);
    expect(claimOf(marked, 'b')?.releasing).to.equal(undefined);
    const without = finishRelease(marked, new Set(['a']));
    expect(without.claims.map((claim) => claim.pod.uid)).to.deep.equal(['b']);
    expect(isEmpty(without)).to.equal(false);
    expect(isEmpty(finishRelease(markReleasing(without, new Set(['b'])), new Set(['b'])))).to.equal(true);
  });

  it('keeps what another version wrote into it', () => {
    const next = { next: { of: 'another version' } };
    const before = claimed({ ...empty, ...next }, podA, ['app']);
    const theirs = { ...before, claims: before.claims.map((claim) => ({ ...claim, ...next })) };
    const b = new Set(['b']);
    const after = finishRelease(markReleasing(claimed(theirs, podB, ['app']), b), b);
    expect(after).to.deep.equal(theirs);
    expect(markReleasing(theirs, new Set(['a'])).claims[0]).to.deep.equal({ ...theirs.claims[0], releasing: true });
  });

  it('takes an address that was just released last', () => {
    let block = claimed(empty, { name: 'p', uid: 'p0' }, ['app']);
    const given: (number | undefined)[] = [];
    for (let i = 1; i <= 8; i++) {
      block = claimed(block, { name: 'p', uid: `p${i}` }, ['app']);
      given.push(claimOf(block, `p${i}`)?.offsets['app']);
      block = finishRelease(markReleasing(block, new Set([`p${i - 1}`])), new Set([`p${i - 1}`]));
    }
    expect(new Set(given), 'a rollout of eight goes once around').to.have.lengthOf(8);
  });

  it('never gives an offset twice, whatever is claimed and released', () => {
    const commands = fc.array(fc.record({ pod: fc.nat({ max: 9 }), containers: fc.integer({ min: 1, max: 4 }) }), {
      maxLength: 60,
    });
    fc.assert(
      fc.property(commands, fc.constantFrom(0, 1, 31), (list, index) => {
        let block: AddressBlockSpec = { ...empty, index };
        for (const { pod: number, containers } of list) {
          const uid = `pod-${number}`;
          if (claimOf(block, uid) !== undefined) {
            block = finishRelease(markReleasing(block, new Set([uid])), new Set([uid]));
            continue;
          }
          const names = Array.from({ length: containers }, (_, i) => `c${i}`);
          const result = claimIn(block, pool, { name: uid, uid }, names);
          const used = block.claims.flatMap((claim) => Object.keys(claim.offsets)).length;
          const room = usableOffsets(pool, index).length - used;
          expect(result.kind).to.equal(containers <= room ? 'claimed' : 'full');
          if (result.kind === 'claimed') block = result.spec;
          expect(blockErrors(objectOf(block), pool)).to.deep.equal([]);
        }
      }),
    );
  });

  it('is found by hash, then upwards and around', () => {
    expect(blockName('default', 7)).to.equal('default-7');
    expect(candidateIndex('0123456789ab', 4096)).to.be.within(0, 4095);
    expect(candidateIndex('0123456789ab', 4096)).to.equal(candidateIndex('0123456789ab', 4096));
    expect(nextFreeIndex(new Set([3, 0]), 3, 5)).to.equal(4);
    expect(nextFreeIndex(new Set([3, 4, 0]), 3, 5)).to.equal(1);
    expect(nextFreeIndex(new Set([0, 1]), 0, 2)).to.equal(undefined);
  });

  it('tells what somebody did to it by hand', () => {
    const claims = [
      { pod: podA, offsets: { app: 1, log: 9 } },
      { pod: podB, offsets: { app: 1 } },
      { pod: podA, offsets: { app: 3 } },
    ];
    const block = { ...objectOf({ ...empty, claims }), metadata: { name: 'default-2' } };
    expect(blockErrors(block, pool).map(({ path, message }) => `${path}: ${message}`)).to.deep.equal([
      'metadata.name: is default-2, not default-1.',
      'spec.claims[0].offsets.log: 9 is not an address that can be given.',
      'spec.claims[1].offsets.app: 1 is also spec.claims[0].offsets.app.',
      'spec.claims[2].pod.uid: a has two claims.',
    ]);
  });
});

function claimed(block: AddressBlockSpec, pod: typeof podA, containers: readonly string[]): AddressBlockSpec {
  const result = claimIn(block, pool, pod, containers);
  if (result.kind !== 'claimed') throw new Error(result.kind);
  return result.spec;
}

function objectOf(spec: AddressBlockSpec): AddressBlock {
  const metadata = { name: blockName(spec.network, spec.index) };
  return { apiVersion: 'podsplit.io/v1alpha1', kind: 'AddressBlock', metadata, spec };
}

function parsedPool(ipv4: string, blockSize: number): Pool {
  const parsed = poolOf({ ipv4, blockSize });
  if (parsed.kind !== 'pool') throw new Error('the pool does not parse');
  return parsed.pool;
}
