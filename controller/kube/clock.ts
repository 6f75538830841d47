/** Time as an argument: tests turn the hands themselves. */
export interface Clock {
  /** Milliseconds since the epoch. Jumps when the node's clock is set: for time stamps only. */
  now(): number;
  /** Milliseconds that only go forward: for durations and deadlines. */
  monotonic(): number;
  /** Calls back once; what it returns cancels. */
  after(delayMs: number, callback: () => void): () => void;
}

/** Node takes a longer delay for none, and would call back at once, again and again. */
const longestDelayMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, Math.min(delayMs, longestDelayMs));
    return () => {
      clearTimeout(timer);
    };
  },
};

/** Ends early, without an error, when the signal fires: every caller looks at the signal next anyway. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve();
      return;
    }
    const finish = (): void => {
      cancel();
      signal?.removeEventListener('abort', finish);
      resolve();
    };
    const cancel = clock.after(delayMs, finish);
    signal?.addEventListener('abort', finish, { once: true });
  });
}

/** What is nearer than this is a clock that goes, and not one that was set. */
const leastStepMs = 1_000;

/** Tells when the wall clock was set: the monotonic one is not. */
export class ClockSteps {
  private readonly clock: Pick<Clock, 'now' | 'monotonic'>;
  private offset: number;

  constructor(clock: Pick<Clock, 'now' | 'monotonic'>) {
    this.clock = clock;
    this.offset = clock.now() - clock.monotonic();
  }

  /** By how many ms it was set since the last call, forward or back; 0 where it was not. */
  taken(): number {
    const offset = this.clock.now() - this.clock.monotonic();
    const step = offset - this.offset;
    if (Math.abs(step) < leastStepMs) return 0;
    this.offset = offset;
    return step;
  }
}
