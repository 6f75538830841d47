import { expect } from 'chai';
import { Batches } from './batches.ts';

describe('Batches', () => {
  /** Each batch answers when it is told to. */
  function harness() {
    const batches: { readonly inputs: readonly string[]; readonly end: (error?: Error) => void }[] = [];
    const work = new Batches<string, string>((inputs) => {
      const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
      const end = (error?: Error): void => {
        if (error === undefined) resolve(inputs.map((input) => input.toUpperCase()));
        else reject(error);
      };
      batches.push({ inputs, end });
      return promise;
    });
    return { work, batches };
  }

  it('works on the first at once, and on all that came meanwhile together', async () => {
    const { work, batches } = harness();
    const answers = ['a', 'b', 'c'].map((input) => work.run('key', input));
    expect(batches.map(({ inputs }) => inputs)).to.deep.equal([['a']]);
    batches[0]?.end();
    expect(await answers[0]).to.equal('A');
    expect(batches.map(({ inputs }) => inputs)).to.deep.equal([['a'], ['b', 'c']]);
    batches[1]?.end();
    expect(await Promise.all(answers)).to.deep.equal(['A', 'B', 'C']);
  });

  it('lets no key wait for another', () => {
    const { work, batches } = harness();
    void work.run('one', 'a');
    void work.run('other', 'b');
    expect(batches.map(({ inputs }) => inputs)).to.deep.equal([['a'], ['b']]);
  });

  it('fails for those of the batch only, and goes on', async () => {
    const { work, batches } = harness();
    const first = work.run('key', 'a').catch((error: unknown) => error);
    const second = work.run('key', 'b');
    batches[0]?.end(new Error('no'));
    expect(await first)
      .to.be.an('error')
      .with.property('message', 'no');
    batches[1]?.end();
    expect(await second).to.equal('B');
    void work.run('key', 'c');
    expect(batches.at(-1)?.inputs, 'a key that had rest begins at once').to.deep.equal(['c']);
  });
});
