import { sleep, type Clock } from '../kube/clock.ts';
import type { Logger } from '../observability/log.ts';
import type { Check } from '../observability/health.ts';

export interface RoundsOptions {
  readonly name: string;
  readonly everyMs: number;
  readonly work: () => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

/** One round that takes longer than this is stuck, and only a restart helps. */
const stuckMs = 10 * 60_000;
const soonMs = 1_000;

/** The same work again and again, each some time after the one before has ended. */
export class Rounds {
  private readonly options: RoundsOptions;
  private running: Promise<void> | undefined;
  private readonly stopping = new AbortController();
  private woken = new AbortController();
  private wanted = false;
  /** How many rounds in a row came soon. */
  private hurried = 0;
  private lastEnd: number;

  constructor(options: RoundsOptions) {
    this.options = options;
    this.lastEnd = options.clock.monotonic();
  }

  start(): void {
    this.running ??= this.loop();
  }

  /** Something is left to do: the next round comes in a second, then in two, … as long as each wants another one. */
  soon(): void {
    this.wanted = true;
    this.woken.abort();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    this.woken.abort();
    await this.running;
  }

  get check(): Check {
    const { name, everyMs, clock } = this.options;
    const check = (): string | undefined => {
      const silentMs = clock.monotonic() - this.lastEnd;
      return silentMs > stuckMs + everyMs ? `the last round ended ${Math.round(silentMs / 1000)} s ago` : undefined;
    };
    return { name, check };
  }

  private async loop(): Promise<void> {
    const { name, work, clock, log } = this.options;
    for (;;) {
      await this.pause();
      if (this.stopping.signal.aborted) return;
      await work().catch((error: unknown) => {
        log.error({ err: error, round: name }, 'a round failed, the next one comes');
      });
      this.lastEnd = clock.monotonic();
    }
  }

  private async pause(): Promise<void> {
    const { everyMs, clock } = this.options;
    if (!this.wanted) {
      this.hurried = 0;
      await sleep(clock, everyMs, this.woken.signal);
    }
    if (!this.wanted) return;
    await sleep(clock, Math.min(everyMs, soonMs * 2 ** this.hurried++), this.stopping.signal);
    this.wanted = false;
    this.woken = new AbortController();
  }
}
