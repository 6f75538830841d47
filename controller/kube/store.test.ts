import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import type { KubeObject } from './resources.ts';
import { Store } from './store.ts';

interface Thing extends KubeObject {
  readonly spec: { readonly color: string; readonly text: string };
}

function thing(name: string, color: string, text = 'ünïcödé \u{1F980} \u0000'): Thing {
  return { apiVersion: 'v1', kind: 'Thing', metadata: { namespace: 'shop', name }, spec: { color, text } };
}

const indexes = { color: ({ spec }: Thing) => [spec.color] };

for (const packed of [false, true]) {
  describe(`A store of ${packed ? 'packed' : 'plain'} objects`, () => {
    let store: Store<Thing>;

    beforeEach(() => {
      store = new Store(indexes, { packed });
      for (const name of ['a', 'b', 'c', 'd', 'e', 'f']) store.set(thing(name, name < 'c' ? 'red' : 'blue'));
    });

    it('gives back what it was given', () => {
      expect(store.get('shop/a')).to.deep.equal(thing('a', 'red'));
      expect(store.get('shop/f')).to.deep.equal(thing('f', 'blue'));
      expect(store.get('shop/x')).to.equal(undefined);
      expect(store.keys()).to.deep.equal(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `shop/${name}`));
      expect(store.list()).to.deep.equal(store.keys().map((key) => store.get(key)));
    });

    it('finds by an index what is there now', () => {
      store.set(thing('a', 'green'));
      store.delete('shop/c');
      expect(store.byIndex('color', 'red')).to.deep.equal([thing('b', 'red')]);
      expect(Object.fromEntries(store.countsOf('color'))).to.deep.equal({ green: 1, red: 1, blue: 3 });
      store.delete('shop/a');
      store.delete('shop/b');
      store.delete('shop/b');
      expect(Object.fromEntries(store.countsOf('color'))).to.deep.equal({ blue: 3 });
      expect(store.size).to.equal(3);
      expect(() => store.byIndex('shape', 'round')).to.throw(TypeError, 'There is no index shape.');
      expect(() => store.countsOf('shape')).to.throw(TypeError, 'There is no index shape.');
    });
  });
}

describe('A packed object', () => {
  const collect = async (): Promise<void> => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    // What was looked at in this turn is held until it is over (ECMA-262, 9.9).
    await turn();
    collectGarbage();
  };

  it('is the same to all who ask while it is held, and equal afterwards', async () => {
    const store = new Store<Thing>(indexes, { packed: true });
    const texts = Array.from({ length: 8 }, (_, index) => 'long '.repeat(10 * index));
    for (const [index, text] of texts.entries()) store.set(thing(`t${index}`, 'red', text));
    const held = store.get('shop/t7');
    await collect();
    expect(store.get('shop/t7')).to.equal(held);
    const read = store.list();
    expect(read.map(({ spec }) => spec.text)).to.deep.equal(texts);
    expect(store.list().every((object, index) => object === read[index])).to.equal(true);
  });

  it('is not in memory as an object when nobody holds it', async () => {
    const store = new Store<Thing>(indexes, { packed: true });
    const ended: string[] = [];
    const registry = new FinalizationRegistry<string>((name) => ended.push(name));
    const fill = (): void => {
      const object = thing('a', 'red');
      registry.register(object, 'a');
      store.set(object);
    };
    fill();
    for (let tries = 0; ended.length === 0 && tries < 20; tries++) await collect();
    expect(ended).to.deep.equal(['a']);
    expect(store.get('shop/a')).to.deep.equal(thing('a', 'red'));
  });
});
