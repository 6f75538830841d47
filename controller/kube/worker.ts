import { setImmediate as turn } from 'node:timers/promises';
import type { Logger } from '../observability/log.ts';
import type { Clock } from './clock.ts';
import type { WorkQueue } from './work-queue.ts';

/** What became of a key: retry is said by value, so that no error is retried by accident. */
export type Outcome =
  | { readonly kind: 'done' }
  /** All well, but look again: forgets earlier failures. */
  | { readonly kind: 'requeue'; readonly afterMs: number }
  /** Tried again with backoff, unless it is terminal: then only a change of the object brings the key back. */
  | { readonly kind: 'failed'; readonly error: unknown; readonly terminal?: boolean };

export const done: Outcome = { kind: 'done' };

/** Of two that looked at the same key: what failed is tried again, else whoever wants to look again first is heard. */
export function sooner(one: Outcome, other: Outcome): Outcome {
  if (one.kind === 'failed' || other.kind === 'done') return one;
  if (other.kind === 'failed' || one.kind === 'done') return other;
  return one.afterMs <= other.afterMs ? one : other;
}

export interface WorkerOptions {
  /** For logs and metrics. */
  readonly name: string;
  readonly queue: WorkQueue;
  readonly concurrency: number;
  readonly reconcile: (key: string) => Promise<Outcome>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly hooks?: WorkerHooks;
}

export interface WorkerHooks {
  reconciled?(result: 'done' | 'requeue' | 'failed' | 'terminal', milliseconds: number): void;
}

export interface Workers {
  /** Resolves when what was in work is done. */
  stop(): Promise<void>;
}

export function startWorkers(options: WorkerOptions): Workers {
  const loops = Array.from({ length: options.concurrency }, () => workLoop(options));
  return {
    async stop() {
      await options.queue.stop();
      await Promise.all(loops);
    },
  };
}

async function workLoop(options: WorkerOptions): Promise<void> {
  const { queue } = options;
  for (let key = await queue.take(); key !== undefined; key = await queue.take()) {
    await work(options, key);
    // A reconcile that finds all well waits for nobody. A sweep of thousands of them would let no admission review in, and no
    // object be freed: what was read of packed stores is held until the event loop goes on (ECMA-262, 9.9).
    await turn();
  }
}

async function work(options: WorkerOptions, key: string): Promise<void> {
  const { queue, clock, log, name, hooks } = options;
  const started = clock.monotonic();
  // A throw is a mistake of ours or something nobody foresaw: it is retried like a failure, and it is loud.
  const outcome = await options.reconcile(key).catch((error: unknown): Outcome => ({ kind: 'failed', error }));
  const result = outcome.kind === 'failed' && outcome.terminal === true ? 'terminal' : outcome.kind;
  switch (outcome.kind) {
    case 'done':
      queue.forget(key);
      break;
    case 'requeue':
      queue.forget(key);
      queue.addAfter(key, outcome.afterMs);
      break;
    case 'failed':
      log.warn({ err: outcome.error, controller: name, key, retries: queue.failures(key), result }, 'reconcile failed');
      if (outcome.terminal === true) queue.forget(key);
      else queue.retry(key);
      break;
  }
  hooks?.reconciled?.(result, clock.monotonic() - started);
  queue.done(key);
}
