import { expect } from 'chai';
import { FakeClock } from '../kube/fake-clock.ts';
import { silentLogger } from '../observability/log.ts';
import { Rounds } from './rounds.ts';

describe('rounds', () => {
  let clock: FakeClock;
  let rounds: Rounds;
  let times: number[];
  let work: () => Promise<void>;

  beforeEach(() => {
    clock = new FakeClock();
    times = [];
    work = () => Promise.resolve();
    rounds = new Rounds({
      name: 'audit',
      everyMs: 60_000,
      work: () => {
        times.push(clock.monotonic() / 1000);
        return work();
      },
      clock,
      log: silentLogger,
    });
    rounds.start();
  });

  afterEach(() => rounds.stop());

  it('come at their time, also after one that failed', async () => {
    work = () => Promise.reject(new Error('once'));
    await clock.advance(60_000);
    await clock.advance(60_000);
    expect(times).to.deep.equal([60, 120]);
  });

  it('come soon when something is left to do, then slower, and at their time again', async () => {
    await clock.advance(10_000);
    rounds.soon();
    rounds.soon();
    let left = 2;
    work = () => {
      if (left-- > 0) rounds.soon();
      return Promise.resolve();
    };
    await clock.advance(100_000);
    expect(times).to.deep.equal([11, 13, 17, 77]);
    rounds.soon();
    await clock.advance(1_000);
    expect(times.at(-1)).to.equal(111);
  });

  it('never come later because somebody wants one soon', async () => {
    work = () => {
      rounds.soon();
      return Promise.resolve();
    };
    await clock.advance(1_200_000);
    const pauses = times.map((time, index) => time - (times[index - 1] ?? 0));
    expect(Math.max(...pauses)).to.equal(60);
  });

  it('are said to be stuck when one does not end', async () => {
    expect(rounds.check.check()).to.equal(undefined);
    const { promise, resolve } = Promise.withResolvers<undefined>();
    work = () => promise.then(() => undefined);
    await clock.advance(12 * 60_000);
    expect(rounds.check.check()).to.contain('720 s ago');
    resolve(undefined);
  });
});
