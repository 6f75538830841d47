import { expect } from 'chai';
import fc from 'fast-check';
import { FakeClock } from './fake-clock.ts';
import { WorkQueue } from './work-queue.ts';

/** What is done to the queue, and then what a worker that asks gets: a key, or nothing yet. */
type Step =
  | { readonly add: string }
  | { readonly addAfter: readonly [string, number] }
  | { readonly retry: string }
  | { readonly forget: string }
  | { readonly done: string }
  | { readonly pass: number }
  | { /** `nothing` where none is due. */ readonly takes: string };

const cases: readonly { readonly name: string; readonly steps: readonly Step[] }[] = [
  { name: 'hands out in the order of adding', steps: [{ add: 'a' }, { add: 'b' }, { takes: 'a' }, { takes: 'b' }] },
  {
    name: 'keeps a key once',
    steps: [{ add: 'a' }, { add: 'a' }, { takes: 'a' }, { done: 'a' }, { takes: 'nothing' }],
  },
  {
    name: 'does not hand out a key that is worked on',
    steps: [{ add: 'a' }, { takes: 'a' }, { add: 'a' }, { takes: 'nothing' }],
  },
  {
    name: 'hands out a key again that was added while it was worked on',
    steps: [
      { add: 'a' },
      { takes: 'a' },
      { add: 'a' },
      { add: 'a' },
      { done: 'a' },
      { takes: 'a' },
      { done: 'a' },
      { takes: 'nothing' },
    ],
  },
  {
    name: 'goes on with other keys meanwhile',
    steps: [{ add: 'a' }, { takes: 'a' }, { add: 'a' }, { add: 'b' }, { takes: 'b' }],
  },
  {
    name: 'adds after a delay, not before',
    steps: [{ addAfter: ['a', 100] }, { pass: 99 }, { takes: 'nothing' }, { pass: 1 }, { takes: 'a' }],
  },
  {
    name: 'keeps the earliest of two delays',
    steps: [
      { addAfter: ['a', 100] },
      { addAfter: ['a', 50] },
      { addAfter: ['a', 500] },
      { pass: 50 },
      { takes: 'a' },
      { done: 'a' },
      { pass: 1000 },
      { takes: 'nothing' },
    ],
  },
  {
    name: 'a delayed key may be added at once as well',
    steps: [{ addAfter: ['a', 100] }, { add: 'a' }, { takes: 'a' }, { done: 'a' }, { pass: 100 }, { takes: 'a' }],
  },
  {
    name: 'a delay that ends while the key is worked on makes it dirty',
    steps: [
      { add: 'a' },
      { takes: 'a' },
      { addAfter: ['a', 10] },
      { pass: 10 },
      { takes: 'nothing' },
      { done: 'a' },
      { takes: 'a' },
    ],
  },
  {
    name: 'doubles the delay of retries',
    steps: [
      { retry: 'a' },
      { pass: 99 },
      { takes: 'nothing' },
      { pass: 1 },
      { takes: 'a' },
      { done: 'a' },
      { retry: 'a' },
      { pass: 199 },
      { takes: 'nothing' },
      { pass: 1 },
      { takes: 'a' },
      { done: 'a' },
      { retry: 'a' },
      { pass: 399 },
      { takes: 'nothing' },
      { pass: 1 },
      { takes: 'a' },
    ],
  },
  {
    name: 'never waits longer than the longest delay',
    steps: [
      ...Array.from({ length: 30 }, (): Step[] => [
        { retry: 'a' },
        { pass: 1000 },
        { takes: 'a' },
        { done: 'a' },
      ]).flat(),
    ],
  },
  {
    name: 'starts over after forget',
    steps: [
      { retry: 'a' },
      { pass: 100 },
      { takes: 'a' },
      { done: 'a' },
      { forget: 'a' },
      { retry: 'a' },
      { pass: 99 },
      { takes: 'nothing' },
      { pass: 1 },
      { takes: 'a' },
    ],
  },
  {
    name: 'backs off each key by itself',
    steps: [
      { retry: 'a' },
      { pass: 100 },
      { takes: 'a' },
      { done: 'a' },
      { retry: 'b' },
      { pass: 100 },
      { takes: 'b' },
    ],
  },
];

function newQueue(): { queue: WorkQueue; clock: FakeClock } {
  const clock = new FakeClock();
  return { clock, queue: new WorkQueue({ clock, baseDelayMs: 100, maxDelayMs: 1000 }) };
}

describe('WorkQueue', () => {
  for (const { name, steps } of cases) {
    it(name, async () => {
      const { queue, clock } = newQueue();
      const taken: string[] = [];
      let asking = false;
      for (const step of steps) {
        if ('add' in step) queue.add(step.add);
        else if ('addAfter' in step) queue.addAfter(...step.addAfter);
        else if ('retry' in step) queue.retry(step.retry);
        else if ('forget' in step) queue.forget(step.forget);
        else if ('done' in step) queue.done(step.done);
        else if ('pass' in step) await clock.advance(step.pass);
        else {
          if (!asking) void queue.take().then((key) => taken.push(key ?? 'stopped'));
          await clock.advance(0);
          expect(taken.shift() ?? 'nothing').to.equal(step.takes);
          asking = step.takes === 'nothing';
        }
      }
    });
  }

  it('stops: nothing more is handed out, and who waits is told', async () => {
    const { queue } = newQueue();
    const waiting = queue.take();
    queue.addAfter('a', 10);
    await queue.stop();
    queue.add('b');
    expect(await waiting).to.equal(undefined);
    expect(await queue.take()).to.equal(undefined);
    expect(queue.depth).to.equal(0);
  });

  it('stops only once the keys in work are done', async () => {
    const { queue, clock } = newQueue();
    queue.add('a');
    await queue.take();
    let stopped = false;
    const stopping = queue.stop().then(() => (stopped = true));
    await clock.advance(1000);
    expect(stopped).to.equal(false);
    queue.done('a');
    await stopping;
    expect(stopped).to.equal(true);
    expect(clock.pending()).to.deep.equal([]);
  });

  it('tells how many wait and for how long', async () => {
    const clock = new FakeClock();
    const depths: number[] = [];
    const waits: number[] = [];
    const hooks = { depth: (waiting: number) => depths.push(waiting), waited: (ms: number) => waits.push(ms) };
    const queue = new WorkQueue({ clock, hooks });
    queue.add('a');
    queue.add('b');
    await clock.advance(70);
    await queue.take();
    expect(depths).to.deep.equal([1, 2, 1]);
    expect(waits).to.deep.equal([70]);
  });

  it('loses no key and gives none to two workers, whatever happens', async () => {
    const command = fc.oneof(
      fc.record({ kind: fc.constant('add' as const), key: fc.constantFrom('a', 'b', 'c') }),
      fc.record({ kind: fc.constant('finish' as const), key: fc.constantFrom('a', 'b', 'c') }),
      fc.record({ kind: fc.constant('take' as const), key: fc.constant('') }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 60 }), async (commands) => {
        const { queue } = newQueue();
        const inWork = new Set<string>();
        /** Added since its work last began: has to be handed out once more. */
        const owed = new Set<string>();
        for (const { kind, key } of commands) {
          if (kind === 'add') {
            queue.add(key);
            owed.add(key);
          } else if (kind === 'finish' && inWork.delete(key)) queue.done(key);
          else if (kind === 'take' && queue.depth > 0) {
            const taken = (await queue.take())!;
            expect(inWork.has(taken)).to.equal(false);
            inWork.add(taken);
            owed.delete(taken);
          }
        }
        for (const key of inWork) queue.done(key);
        while (queue.depth > 0) owed.delete((await queue.take())!);
        expect([...owed]).to.deep.equal([]);
      }),
    );
  });
});
