import type { Clock } from './clock.ts';

export interface WorkQueueOptions {
  readonly clock: Clock;
  /** First retry of a key, doubled with each further one. Default 100 ms. */
  readonly baseDelayMs?: number;
  /** Default 60 s. */
  readonly maxDelayMs?: number;
  readonly hooks?: WorkQueueHooks;
}

export interface WorkQueueHooks {
  /** Keys that wait for a worker, after each change. */
  depth?(waiting: number): void;
  /** From the moment a key was due until a worker took it. */
  waited?(milliseconds: number): void;
  retried?(): void;
}

/**
 * Keys that need work. A key is in it once however often it is added, and is handed to one worker at a time: what comes in
 * while it is worked on (the key is dirty then) makes it due again afterwards. The semantics of client-go's workqueue.
 */
export class WorkQueue {
  private readonly clock: Clock;
  private readonly baseDelayMs: number;
  private readonly maxDelayMs: number;
  private readonly hooks: WorkQueueHooks;
  /** Due keys in the order they came, with the time they fell due. */
  private readonly waiting = new Map<string, number>();
  private readonly processing = new Set<string>();
  private readonly dirty = new Set<string>();
  /** Keys that fall due later: the earliest wins. */
  private readonly delayed = new Map<string, { readonly at: number; readonly cancel: () => void }>();
  private readonly failureCounts = new Map<string, number>();
  private readonly takers: ((key: string | undefined) => void)[] = [];
  private stopped = false;
  private drained: (() => void) | undefined;

  constructor(options: WorkQueueOptions) {
    this.clock = options.clock;
    this.baseDelayMs = options.baseDelayMs ?? 100;
    this.maxDelayMs = options.maxDelayMs ?? 60_000;
    this.hooks = options.hooks ?? {};
  }

  /** Keys that wait for a worker. */
  get depth(): number {
    return this.waiting.size;
  }

  /** Retries of the key since it was last forgotten. */
  failures(key: string): number {
    return this.failureCounts.get(key) ?? 0;
  }

  add(key: string): void {
    if (this.stopped || this.waiting.has(key)) return;
    if (this.processing.has(key)) {
      this.dirty.add(key);
      return;
    }
    this.waiting.set(key, this.clock.monotonic());
    this.hooks.depth?.(this.waiting.size);
    this.handOut();
  }

  /** A key that is already to come earlier keeps its time. */
  addAfter(key: string, delayMs: number): void {
    if (this.stopped) return;
    if (delayMs <= 0) {
      this.add(key);
      return;
    }
    const at = this.clock.monotonic() + delayMs;
    const earlier = this.delayed.get(key);
    if (earlier !== undefined && earlier.at <= at) return;
    earlier?.cancel();
    const cancel = this.clock.after(delayMs, () => {
      this.delayed.delete(key);
      this.add(key);
    });
    this.delayed.set(key, { at, cancel });
  }

  /** Adds after a delay that doubles with every retry, until `forget`. */
  retry(key: string): void {
    const failures = this.failures(key);
    this.failureCounts.set(key, failures + 1);
    this.hooks.retried?.();
    this.addAfter(key, Math.min(this.maxDelayMs, this.baseDelayMs * 2 ** failures));
  }

  /** The key's next retry is its first again. */
  forget(key: string): void {
    this.failureCounts.delete(key);
  }

  /** The next key, once there is one; undefined when the queue has stopped. Every key taken ends with `done`. */
  take(): Promise<string | undefined> {
    if (this.stopped) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.takers.push(resolve);
      this.handOut();
    });
  }

  done(key: string): void {
    this.processing.delete(key);
    if (this.dirty.delete(key)) this.add(key);
    if (this.processing.size === 0) this.drained?.();
  }

  /**
   * Hands out nothing more and resolves when the keys in work are done. What waits is dropped: whoever starts next
   * lists everything and finds it again.
   */
  stop(): Promise<void> {
    this.stopped = true;
    for (const { cancel } of this.delayed.values()) cancel();
    this.delayed.clear();
    this.waiting.clear();
    this.dirty.clear();
    this.hooks.depth?.(0);
    for (const resolve of this.takers.splice(0)) resolve(undefined);
    if (this.processing.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.drained = resolve;
    });
  }

  private handOut(): void {
    for (const [key, due] of this.waiting) {
      const taker = this.takers.shift();
      if (taker === undefined) return;
      this.waiting.delete(key);
      this.processing.add(key);
      this.hooks.depth?.(this.waiting.size);
      this.hooks.waited?.(this.clock.monotonic() - due);
      taker(key);
    }
  }
}
