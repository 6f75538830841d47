import { expect } from 'chai';
import { KeyedLock } from './keyed-lock.ts';

describe('a lock for each key', () => {
  it('lets one after the other in, in order, and other keys past them', async () => {
    const lock = new KeyedLock();
    const order: string[] = [];
    const first = Promise.withResolvers<undefined>();
    const all = [
      lock.run('a', () => first.promise.then(() => order.push('a1'))),
      lock.run('a', () => Promise.resolve(order.push('a2'))),
      lock.run('b', () => Promise.resolve(order.push('b1'))),
    ];
    await all[2];
    expect(order).to.deep.equal(['b1']);
    first.resolve(undefined);
    await Promise.all(all);
    expect(order).to.deep.equal(['b1', 'a1', 'a2']);
  });

  it('goes on after a failure, which only its caller sees', async () => {
    const lock = new KeyedLock();
    const failing = lock.run('a', () => Promise.reject(new Error('mine')));
    const next = lock.run('a', () => Promise.resolve('fine'));
    await failing.then(
      () => expect.fail(),
      (error: unknown) => expect(error).to.have.property('message', 'mine'),
    );
    expect(await next).to.equal('fine');
  });
});
