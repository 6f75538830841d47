import { expect } from 'chai';
import type { Host, Output } from '../netns/host.ts';
import { bounded } from './bounded-host.ts';

const done: Output = { status: 0, stdout: '', stderr: '' };

describe('programs of the node', () => {
  it('run so many at a time, in the order in which they were asked for', async () => {
    const started: string[] = [];
    const running = new Map<string, PromiseWithResolvers<Output>>();
    const host = bounded(
      {
        run: ([name]) => {
          started.push(name);
          const ends = Promise.withResolvers<Output>();
          running.set(name, ends);
          return ends.promise;
        },
      } as Partial<Host> as Host,
      2,
    );
    const all = ['a', 'b', 'c', 'd'].map((name) => host.run([name]).catch(() => done));
    await turn();
    expect(started).to.deep.equal(['a', 'b']);
    running.get('b')?.resolve(done);
    await turn();
    expect(started).to.deep.equal(['a', 'b', 'c']);
    // One that fails gives its place too.
    running.get('a')?.reject(new Error('no'));
    await turn();
    expect(started).to.deep.equal(['a', 'b', 'c', 'd']);
    for (const ends of running.values()) ends.resolve(done);
    await Promise.all(all);
    void host.run(['e']);
    expect(started.at(-1)).to.equal('e');
  });

  it('run one at a time where they are large, and leave the places to others meanwhile', async () => {
    const started: string[] = [];
    const ends = Promise.withResolvers<Output>();
    const run: Host['run'] = ([name]) => {
      started.push(name);
      return ends.promise;
    };
    const host = bounded({ run } as Partial<Host> as Host, 3, (name) => name === 'large');
    const all = ['large', 'large', 'a', 'b'].map((name) => host.run([name]));
    await turn();
    expect(started).to.deep.equal(['large', 'a', 'b']);
    ends.resolve(done);
    await Promise.all(all);
    expect(started.filter((name) => name === 'large')).to.have.length(2);
  });
});

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
