import { expect } from 'chai';
import { outdatedChartFiles } from './chart.ts';

describe('deploy/chart', () => {
  it('is what the source says (else: make manifests)', () => {
    expect(outdatedChartFiles()).to.deep.equal([]);
  });
});
