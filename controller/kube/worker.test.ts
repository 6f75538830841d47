import { expect } from 'chai';
import { silentLogger } from '../observability/log.ts';
import { FakeClock } from './fake-clock.ts';
import type { Outcome } from './worker.ts';
import { startWorkers } from './worker.ts';
import { WorkQueue } from './work-queue.ts';

const cases: readonly {
  readonly name: string;
  readonly outcome: () => Promise<Outcome>;
  /** When the key is worked on, in milliseconds, within the first second. */
  readonly at: readonly number[];
  readonly result: string;
}[] = [
  { name: 'done is done', outcome: () => Promise.resolve({ kind: 'done' }), at: [0], result: 'done' },
  {
    name: 'requeue comes back after its time, without backoff',
    outcome: () => Promise.resolve({ kind: 'requeue', afterMs: 300 }),
    at: [0, 300, 600, 900],
    result: 'requeue',
  },
  {
    name: 'failed comes back later and later',
    outcome: () => Promise.resolve({ kind: 'failed', error: new Error('quota') }),
    at: [0, 100, 300, 700],
    result: 'failed',
  },
  {
    name: 'a terminal failure does not come back',
    outcome: () => Promise.resolve({ kind: 'failed', error: new Error('forged'), terminal: true }),
    at: [0],
    result: 'terminal',
  },
  {
    name: 'a throw is a failure',
    outcome: () => Promise.reject(new TypeError('a mistake')),
    at: [0, 100, 300, 700],
    result: 'failed',
  },
];

describe('workers', () => {
  for (const { name, outcome, at, result } of cases) {
    it(name, async () => {
      const clock = new FakeClock();
      const queue = new WorkQueue({ clock, baseDelayMs: 100 });
      const worked: number[] = [];
      const results = new Set<string>();
      const workers = startWorkers({
        name: 'test',
        queue,
        concurrency: 2,
        clock,
        log: silentLogger,
        hooks: { reconciled: (what) => results.add(what) },
        reconcile: () => {
          worked.push(clock.monotonic());
          return outcome();
        },
      });
      queue.add('a');
      await clock.advance(1000);
      await workers.stop();
      expect(worked).to.deep.equal(at);
      expect([...results]).to.deep.equal([result]);
    });
  }

  it('works on as many keys at once as it was told, and on stop finishes them', async () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ clock });
    const finish: (() => void)[] = [];
    const reconcile = (): Promise<Outcome> =>
      new Promise((resolve) => {
        finish.push(() => {
          resolve({ kind: 'done' });
        });
      });
    const workers = startWorkers({ name: 'test', queue, concurrency: 2, clock, log: silentLogger, reconcile });
    for (const key of ['a', 'b', 'c']) queue.add(key);
    await clock.advance(0);
    expect(finish).to.have.length(2);
    let stopped = false;
    const stopping = workers.stop().then(() => (stopped = true));
    await clock.advance(0);
    expect(stopped).to.equal(false);
    for (const end of finish) end();
    await stopping;
    expect(finish, 'c is left for whoever starts next').to.have.length(2);
  });

  it('let others have the event loop between two keys, however quickly they are done', async () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ clock });
    const keys = Array.from({ length: 20 }, (_, index) => `key-${index}`);
    let turns = 0;
    const count = (): void => {
      turns += 1;
      immediate = setImmediate(count);
    };
    let immediate = setImmediate(count);
    const seen: number[] = [];
    const workers = startWorkers({
      name: 'test',
      queue,
      concurrency: 2,
      clock,
      log: silentLogger,
      reconcile: () => {
        seen.push(turns);
        return Promise.resolve({ kind: 'done' });
      },
    });
    for (const key of keys) queue.add(key);
    while (seen.length < keys.length) await new Promise((resolve) => setImmediate(resolve));
    clearImmediate(immediate);
    await workers.stop();
    expect(new Set(seen).size, 'turns in which keys were worked on').to.be.at.least(keys.length / 2);
  });
});
