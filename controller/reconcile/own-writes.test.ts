import { expect } from 'chai';
import type { KubeObject } from '../kube/resources.ts';
import { OwnWrites } from './own-writes.ts';

function version(resourceVersion: string, name = 'a'): KubeObject {
  return { metadata: { name, resourceVersion } };
}

describe('OwnWrites', () => {
  let writes: OwnWrites<KubeObject>;
  let cache: Map<string, KubeObject>;

  beforeEach(() => {
    writes = new OwnWrites();
    cache = new Map();
  });

  function seen(): readonly string[] {
    return writes
      .over([...cache.values()], (key) => cache.get(key))
      .map(({ metadata }) => metadata.resourceVersion ?? '');
  }

  function wrote(object: KubeObject): void {
    writes.wrote(object, cache.get(object.metadata.name));
  }

  it('shows what was made before the cache has it, and what the cache says from then on', () => {
    wrote(version('10'));
    expect(seen()).to.deep.equal(['10']);
    cache.set('a', version('10'));
    expect(seen()).to.deep.equal(['10']);
    cache.delete('a');
    expect(seen()).to.deep.equal([]);
  });

  it('shows the last of several writes while the cache goes through those before it', () => {
    cache.set('a', version('10'));
    wrote(version('11'));
    wrote(version('12'));
    for (const lagging of ['10', '11', '12']) {
      cache.set('a', version(lagging));
      expect(seen()).to.deep.equal(['12']);
    }
  });

  it('gives way to what others wrote', () => {
    cache.set('a', version('10'));
    wrote(version('11'));
    cache.set('a', version('9'));
    expect(seen()).to.deep.equal(['9']);
    cache.set('a', version('10'));
    expect(seen()).to.deep.equal(['10']);
  });

  it('leaves other objects as they are, and forgets', () => {
    cache.set('b', version('5', 'b'));
    wrote(version('10'));
    expect(seen()).to.deep.equal(['5', '10']);
    writes.forget(version('10'));
    expect(seen()).to.deep.equal(['5']);
  });
});
