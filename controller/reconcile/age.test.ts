import { expect } from 'chai';
import { ageSeconds, youngFor } from './age.ts';

const hour = 3_600_000;
const creationTimestamp = '2026-01-01T00:00:00Z';
const made = Date.parse(creationTimestamp);

describe('the age of an object', () => {
  const object = { metadata: { name: 'nad', creationTimestamp } };

  it('is young until its time is over', () => {
    expect(youngFor(object, 10_000, made)).to.equal(10_000);
    expect(youngFor(object, 10_000, made + 9_999)).to.equal(1);
    expect(youngFor(object, 10_000, made + 10_000)).to.equal(0);
    expect(youngFor({ metadata: { name: 'nad' } }, 10_000, made)).to.equal(0);
  });

  it('is not young for an hour because a clock was set back', () => {
    expect(youngFor(object, 10_000, made - hour)).to.equal(0);
    expect(youngFor(object, 10_000, made - 2_000), 'two clocks differ').to.equal(12_000);
  });

  it('is never negative', () => {
    expect(ageSeconds(creationTimestamp, made + 1500)).to.equal(1.5);
    expect(ageSeconds(creationTimestamp, made - hour)).to.equal(0);
    expect(ageSeconds(undefined, made)).to.equal(undefined);
  });
});
