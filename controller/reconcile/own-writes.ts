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

  /** The newer of what the cache says and what was written, of all objects that either has. */
  over(cached: readonly T[], get: (key: string) => T | undefined): readonly T[] {
    for (const [key, { older }] of this.ahead) if (!older.has(versionOf(get(key)))) this.ahead.delete(key);
    if (this.ahead.size === 0) return cached;
    const rest = new Map([...this.ahead].map(([key, { object }]) => [key, object]));
    const replaced = cached.map((object) => {
      const key = objectKey(object);
      const newer = rest.get(key);
      rest.delete(key);
      return newer ?? object;
    });
    return [...replaced, ...rest.values()];
  }
}

function versionOf(object: KubeObject | undefined): string | undefined {
  return object?.metadata.resourceVersion;
}
