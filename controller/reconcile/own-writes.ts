import type { KubeObject } from '../kube/resources.ts';
import { objectKey } from '../kube/store.ts';

interface Ahead<T> {
  readonly object: T;
  /** What the cache has said of it while it lagged behind; undefined: that there is none. */
  readonly older: Set<string | undefined>;
}

/**
 * What this process wrote and its watch cache has not heard of yet. Without it each write that follows another one of the
 * same object loses its compare-and-swap to that.
 *
 * Versions are told apart, never put in order: what the cache says is older as long as it is what it said before one of the
 * writes. Anything else is the last write, or somebody's after it.
 */
export class OwnWrites<T extends KubeObject> {
  private readonly ahead = new Map<string, Ahead<T>>();

  /** @param cached what the cache says at this moment */
  wrote(object: T, cached: T | undefined): void {
    const key = objectKey(object);
    const before = this.ahead.get(key);
    const older = new Set(before?.older).add(versionOf(cached));
    if (before !== undefined) older.add(versionOf(before.object));
    older.delete(versionOf(object));
    this.ahead.set(key, { object, older });
  }

  /** It is gone, or somebody else has written it. */
  forget(object: T): void {
    this.ahead.delete(objectKey(object));
  }

  /** The newer of what the cache says of one object and what was written. */
  newer(key: string, cached: T | undefined): T | undefined {
    const ahead = this.ahead.get(key);
    if (ahead === undefined) return cached;
    if (ahead.older.has(versionOf(cached))) return ahead.object;
    this.ahead.delete(key);
    return cached;
  }

  /** The same of all objects that either has. */
  over(cached: readonly T[], get: (key: string) => T | undefined): readonly T[] {
    if (this.ahead.size === 0) return cached;
    const rest = new Map<string, T>();
    for (const key of [...this.ahead.keys()]) {
      const known = get(key);
      const newest = this.newer(key, known);
      if (newest !== undefined && newest !== known) rest.set(key, newest);
    }
    const replaced = cached.map((object) => {
      const key = objectKey(object);
      const newest = rest.get(key);
      rest.delete(key);
      return newest ?? object;
    });
    return [...replaced, ...rest.values()];
  }
}

function versionOf(object: KubeObject | undefined): string | undefined {
  return object?.metadata.resourceVersion;
}
