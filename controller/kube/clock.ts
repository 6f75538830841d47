/** Time as an argument: tests turn the hands themselves. */
export interface Clock {
  /** Milliseconds since the epoch. Jumps when the node's clock is set: for time stamps only. */
  now(): number;
  /** Milliseconds that only go forward: for durations and deadlines. */
  monotonic(): number;
  /** Calls back once; what it returns cancels. */
  after(delayMs: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
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
