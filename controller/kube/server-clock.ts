import type { Clock } from './clock.ts';

/** Answers carry whole seconds, and were some time on their way: what is that near to them is the better clock. */
const nearMs = 2_500;

/**
 * The API server's time. What is compared with it (when an object was made, when the grace of a deleted Pod is over) the API
 * server has stamped, so what the clock of this node says, or is set to, is of no matter. Known by the Date of its answers (RFC
 * 9110, section 6.6.1), and between two of them by the monotonic clock.
 */
export class ServerClock implements Clock {
  private readonly local: Clock;
  /** Of the last answer: its time, and ours. */
  private heard: { readonly epochMs: number; readonly at: number } | undefined;

  constructor(local: Clock) {
    this.local = local;
  }

  /** @param date the header of an answer that has just come */
  hear(date: string): void {
    const epochMs = Date.parse(date);
    if (!Number.isNaN(epochMs)) this.heard = { epochMs, at: this.local.monotonic() };
  }

  now(): number {
    const local = this.local.now();
    if (this.heard === undefined) return local;
    const server = this.heard.epochMs + (this.local.monotonic() - this.heard.at);
    return Math.abs(local - server) < nearMs ? local : server;
  }

  monotonic(): number {
    return this.local.monotonic();
  }

  after(delayMs: number, callback: () => void): () => void {
    return this.local.after(delayMs, callback);
  }
}
