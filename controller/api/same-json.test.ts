import { expect } from 'chai';
import { alreadySays, sameJson } from './same-json.ts';

describe('sameJson', () => {
  it('does not look at the order of keys, nor at lists that are empty', () => {
    expect(sameJson({ a: 1, b: [{ c: [], d: 2 }] }, { b: [{ d: 2 }], a: 1 })).to.equal(true);
    expect(sameJson([1, 2], [2, 1])).to.equal(false);
    expect(sameJson({ a: 1 }, { a: 1, b: 2 })).to.equal(false);
  });
});

describe('alreadySays', () => {
  const actual = { phase: 'Running', pieces: [{ name: 'web', ready: true }], next: { of: 'another version' } };

  it('passes over what the wanted has no word on', () => {
    expect(alreadySays(actual, { phase: 'Running', pieces: [{ ready: true, name: 'web' }] })).to.equal(true);
    expect(alreadySays(actual, { conditions: [] }), 'empty lists are dropped').to.equal(true);
  });

  it('sees what is missing, and what differs, also in a list', () => {
    expect(alreadySays(undefined, { phase: 'Running' })).to.equal(false);
    expect(alreadySays(actual, { phase: 'Ending' })).to.equal(false);
    expect(alreadySays(actual, { pieces: [{ name: 'web', ready: false }] })).to.equal(false);
    expect(alreadySays({ pieces: [{ name: 'web', next: 1 }] }, { pieces: [{ name: 'web' }] })).to.equal(false);
  });
});
