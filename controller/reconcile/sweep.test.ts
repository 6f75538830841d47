import { expect } from 'chai';
import { sweepAfterMs } from './sweep.ts';

describe('the look at everything', () => {
  it('comes every minute, and among thousands of Pods as rarely as their number asks for', () => {
    expect(sweepAfterMs(0)).to.equal(60_000);
    expect(sweepAfterMs(1_000)).to.equal(60_000);
    for (const pods of [3_000, 10_000, 100_000]) {
      expect(pods / (sweepAfterMs(pods) / 1000)).to.be.below(34);
    }
  });
});
