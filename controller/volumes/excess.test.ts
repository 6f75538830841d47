import { expect } from 'chai';
import { excessOf } from './excess.ts';
import type { Measure } from './measure-tree.ts';
import type { VolumeRecord } from './volume-record.ts';

const mebi = 2 ** 20;
const pod = { namespace: 'shop', name: 'web', uid: 'uid-1' };

function volume(name: string, limits: { readonly size?: number; readonly storage?: number } = {}): VolumeRecord {
  const { size, storage } = limits;
  return {
    name,
    pod,
    ...(size === undefined ? {} : { sizeLimit: { text: `${size}Mi`, bytes: size * mebi } }),
    ...(storage === undefined ? {} : { storageLimit: { text: `${storage}Mi`, bytes: storage * mebi } }),
  };
}

const bytes = (count: number): Measure => ({ kind: 'bytes', bytes: count });

describe('excessOf', () => {
  it('is none up to the limits, and where there are none', () => {
    expect(excessOf([])).to.equal(undefined);
    expect(excessOf([{ volume: volume('a'), used: bytes(2 ** 50) }])).to.equal(undefined);
    expect(excessOf([{ volume: volume('a', { size: 1 }), used: bytes(mebi) }])).to.equal(undefined);
    const limits = { size: 2, storage: 3 };
    const two = ['a', 'b'].map((name) => ({ volume: volume(name, limits), used: bytes(1.5 * mebi) }));
    expect(excessOf(two)).to.equal(undefined);
  });

  it("is a volume's own", () => {
    const others = [{ volume: volume('a', { size: 1 }), used: bytes(1) }];
    expect(excessOf([...others, { volume: volume('b', { size: 1 }), used: bytes(mebi + 1) }])).to.equal(
      'Usage of EmptyDir volume "b" exceeds the limit "1Mi". ',
    );
  });

  it("is the Pod's, for what its volumes take together", () => {
    const two = ['a', 'b'].map((name) => ({ volume: volume(name, { storage: 3 }), used: bytes(1.5 * mebi + 1) }));
    expect(excessOf(two)).to.equal('Pod ephemeral local storage usage exceeds the total limit of containers 3Mi. ');
  });

  it('is one of more files than can be measured, where there is any limit', () => {
    const used: Measure = { kind: 'too large' };
    const said = 'EmptyDir volume "a" holds too many files to be measured against the limit "1Mi". ';
    expect(excessOf([{ volume: volume('a', { size: 1 }), used }])).to.equal(said);
    expect(excessOf([{ volume: volume('a', { storage: 1 }), used }])).to.equal(said);
    expect(excessOf([{ volume: volume('a'), used }])).to.equal(undefined);
  });

  it('is none of what could not be measured in time', () => {
    expect(excessOf([{ volume: volume('a', { size: 1, storage: 1 }), used: { kind: 'too slow' } }])).to.equal(
      undefined,
    );
  });
});
