import type { Clock } from './clock.ts';

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

/** A clock for tests: it stands still until `advance`. */
export class FakeClock implements Clock {
  private elapsed = 0;
  private created = 0;
  private readonly timers = new Set<Timer>();
  private epoch: number;

  constructor(epoch = Date.parse('2026-01-01T00:00:00Z')) {
    this.epoch = epoch;
  }

  now(): number {
    return this.epoch + this.elapsed;
  }

  monotonic(): number {
    return this.elapsed;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer: Timer = { at: this.elapsed + Math.max(0, delayMs), order: this.created++, callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  /** Fires what falls due, in order, and lets promises settle after each: as if the time had passed. */
  async advance(delayMs: number): Promise<void> {
    const end = this.elapsed + delayMs;
    await settle();
    for (let due = this.nextBefore(end); due !== undefined; due = this.nextBefore(end)) {
      this.timers.delete(due);
      this.elapsed = Math.max(this.elapsed, due.at);
      due.callback();
      await settle();
    }
    this.elapsed = end;
  }

  /** Somebody sets the clock, forward or back: no time passes. */
  jump(byMs: number): void {
    this.epoch += byMs;
  }

  /** Delays, from now, of the timers that wait. */
  pending(): readonly number[] {
    return [...this.timers].map((timer) => timer.at - this.elapsed).sort((a, b) => a - b);
  }

  private nextBefore(end: number): Timer | undefined {
    return [...this.timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at || a.order - b.order)[0];
  }
}

/** A turn of the event loop runs every promise that can go on. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
