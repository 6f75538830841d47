import type { Clock } from '../kube/clock.ts';

/**
 * When a workload is deleted, the garbage collector takes its network before its Pods; and what was made a moment ago the watch
 * cache need not have. What is missing this long, while Pods live on whose it is, was deleted by somebody. Running Pods do not
 * need it, and new ones have it made at once.
 */
const missingMs = 5_000;

/** By key of a workload or of a split Pod: something of it is not there. */
export class MissingSince {
  private readonly clock: Pick<Clock, 'monotonic'>;
  /** Monotonic ms. */
  private readonly since = new Map<string, number>();

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.clock = clock;
  }

  forget(key: string): void {
    this.since.delete(key);
  }

  /** For how many ms it may yet be the garbage collector's doing; 0 where nothing is missing. */
  wait(key: string, missing: boolean): number {
    if (!missing) {
      this.forget(key);
      return 0;
    }
    const now = this.clock.monotonic();
    const since = this.since.get(key) ?? now;
    this.since.set(key, since);
    return Math.max(0, since + missingMs - now);
  }
}
