import { expect } from 'chai';
import { progressMs } from './split-pod.ts';

describe('what a Pod that starts says of its progress', () => {
  it('is said soon where nobody waits, and by four Pods a second at most where many do', () => {
    expect(progressMs(0)).to.equal(3_000);
    expect(progressMs(1)).to.be.within(30_000, 31_000);
    for (const waiting of [10, 100, 1_000, 10_000, 100_000]) {
      expect(waiting / (progressMs(waiting) / 1000)).to.be.below(4);
    }
  });
});
