import type { Logger } from '../observability/log.ts';
import type { KubeClient } from './client.ts';
import type { Clock } from './clock.ts';
import { sleep } from './clock.ts';
import { isApiError } from './errors.ts';
import type { Lease } from './resources.ts';
import { resources } from './resources.ts';

export interface LeaderOptions {
  readonly client: Pick<KubeClient, 'get' | 'create' | 'replace'>;
  readonly namespace: string;
  readonly name: string;
  /** Unique for each process: Pod name and a random part. */
  readonly identity: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** 0 to 1. */
  readonly random?: () => number;
  readonly timing?: LeaderTiming;
  /**
   * The leader's work; the signal fires when it must end. Its promise is awaited before the lease is released; if it
   * rejects, the lease counts as lost.
   */
  readonly onStarted: (signal: AbortSignal) => void | Promise<void>;
  /** The lease is lost, not released: another may lead from now on. The process does best to exit. */
  readonly onLost: (reason: string) => void;
  readonly onNewLeader?: (identity: string) => void;
}

/** Milliseconds; the defaults are those of Kubernetes' own components. */
export interface LeaderTiming {
  /** Others wait this long after the last renewal they saw. */
  readonly leaseDurationMs: number;
  /** A leader that has not renewed for this long stops: earlier than others may start. */
  readonly renewDeadlineMs: number;
  readonly retryPeriodMs: number;
}

export const defaultTiming: LeaderTiming = { leaseDurationMs: 15_000, renewDeadlineMs: 10_000, retryPeriodMs: 2_000 };

/** What was last read of the lease, and when, by our own clock: the times in it are other machines' times. */
interface Observation {
  readonly lease: Lease;
  readonly at: number;
}

interface Leadership {
  readonly abort: AbortController;
  readonly work: Promise<void>;
}

/**
 * Holds a Lease of coordination.k8s.io/v1. A lease is an optimization, not a lock: a process that was stopped for a while
 * believes for a moment that it leads. What must never happen twice is guarded by compare-and-swap on the objects.
 */
export class LeaderElector {
  private readonly options: LeaderOptions;
  private readonly timing: LeaderTiming;
  private readonly stopping = new AbortController();
  private observation: Observation | undefined;
  private leadership: Leadership | undefined;
  /** Start of the last request that renewed the lease: it holds from then at the latest. */
  private renewedAt = Number.NEGATIVE_INFINITY;
  private lastContact: number | undefined;
  private running: Promise<void> | undefined;

  constructor(options: LeaderOptions) {
    this.options = options;
    this.timing = options.timing ?? defaultTiming;
  }

  start(): void {
    this.running ??= this.run();
  }

  /** Ends the work, waits for it, releases the lease: the next leader need not wait for it to expire. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
    const { leadership } = this;
    this.leadership = undefined;
    if (leadership === undefined) return;
    leadership.abort.abort();
    await leadership.work;
    if (this.remainingMs() > 0) await this.release();
  }

  isLeading(): boolean {
    return this.leadership !== undefined && this.remainingMs() > 0;
  }

  /** Who holds the lease, as last read. */
  leader(): string | undefined {
    const holder = this.observation?.lease.spec?.holderIdentity;
    return holder === '' ? undefined : holder;
  }

  /** Milliseconds since the lease was last read or written; undefined before the first time. */
  silentMs(): number | undefined {
    return this.lastContact === undefined ? undefined : this.options.clock.monotonic() - this.lastContact;
  }

  private async run(): Promise<void> {
    const { clock, random = Math.random } = this.options;
    const { signal } = this.stopping;
    while (!signal.aborted) {
      await this.round();
      // Jitter as in client-go: replicas that started together do not ask together.
      const jitter = this.leadership === undefined ? 1 + 1.2 * random() : 1;
      await sleep(clock, this.timing.retryPeriodMs * jitter, signal);
    }
  }

  private async round(): Promise<void> {
    const { clock, log } = this.options;
    const cancelDeadline = this.armDeadline();
    const started = clock.monotonic();
    try {
      if (await this.acquireOrRenew()) this.held(started);
      else if (this.leadership !== undefined) this.lose(`${this.leader() ?? 'nobody'} holds the lease`);
    } catch (error) {
      // Conflict: somebody else wrote first. The next round reads what.
      log.debug({ err: error, lease: this.options.name }, 'the lease could not be written');
    } finally {
      cancelDeadline();
    }
    if (this.leadership !== undefined && this.remainingMs() <= 0) this.lose('the renewal deadline passed');
  }

  /** Stops the work on time even while a request hangs. */
  private armDeadline(): () => void {
    if (this.leadership === undefined) return () => undefined;
    return this.options.clock.after(Math.max(0, this.remainingMs()), () => {
      this.lose('the renewal deadline passed');
    });
  }

  private remainingMs(): number {
    return this.renewedAt + this.timing.renewDeadlineMs - this.options.clock.monotonic();
  }

  private async acquireOrRenew(): Promise<boolean> {
    const { client, namespace, name, identity } = this.options;
    const request = { timeoutMs: this.timing.renewDeadlineMs / 2, signal: this.stopping.signal };
    const current = await this.read();
    if (current === undefined) {
      this.observe(await client.create(resources.leases, this.record(undefined), request));
      return true;
    }
    this.observe(current);
    const holder = current.spec?.holderIdentity;
    if (holder !== identity && holder !== undefined && holder !== '' && !this.expired()) return false;
    const { resourceVersion } = current.metadata;
    const metadata = {
      ...current.metadata,
      namespace,
      name,
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    };
    this.observe(await client.replace(resources.leases, { ...this.record(current), metadata }, request));
    return true;
  }

  private async read(): Promise<Lease | undefined> {
    const { client, namespace, name } = this.options;
    const request = { timeoutMs: this.timing.renewDeadlineMs / 2, signal: this.stopping.signal };
    try {
      return await client.get(resources.leases, { namespace, name }, request);
    } catch (error) {
      if (isApiError(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  private record(current: Lease | undefined): Lease {
    const { namespace, name, identity, clock } = this.options;
    const now = microTime(clock.now());
    const ours = current?.spec?.holderIdentity === identity;
    return {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { namespace, name },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: this.timing.leaseDurationMs / 1000,
        acquireTime: ours ? (current.spec?.acquireTime ?? now) : now,
        renewTime: now,
        leaseTransitions: (current?.spec?.leaseTransitions ?? 0) + (ours || current === undefined ? 0 : 1),
      },
    };
  }

  private observe(lease: Lease): void {
    const { clock, onNewLeader } = this.options;
    this.lastContact = clock.monotonic();
    const before = this.observation?.lease;
    if (before?.metadata.resourceVersion === lease.metadata.resourceVersion && before !== undefined) return;
    this.observation = { lease, at: clock.monotonic() };
    const holder = lease.spec?.holderIdentity ?? '';
    if (holder !== '' && holder !== before?.spec?.holderIdentity) onNewLeader?.(holder);
  }

  /** Nobody wrote the lease for as long as its holder promised to, counted from when we first saw this version. */
  private expired(): boolean {
    if (this.observation === undefined) return false;
    const { lease, at } = this.observation;
    const durationMs = (lease.spec?.leaseDurationSeconds ?? this.timing.leaseDurationMs / 1000) * 1000;
    return this.options.clock.monotonic() - at >= durationMs;
  }

  private held(since: number): void {
    this.renewedAt = since;
    if (this.leadership !== undefined || this.stopping.signal.aborted || this.remainingMs() <= 0) return;
    this.options.log.info({ lease: this.options.name, identity: this.options.identity }, 'leading');
    const abort = new AbortController();
    const work = this.lead(abort.signal);
    this.leadership = { abort, work };
  }

  /** A leader whose work has failed must not go on holding the lease: nobody would do the work. */
  private async lead(signal: AbortSignal): Promise<void> {
    // The leadership is on record before its work can fail.
    await Promise.resolve();
    try {
      await this.options.onStarted(signal);
    } catch (error) {
      this.options.log.error({ err: error }, "the leader's work failed");
      if (!signal.aborted) this.lose('the work failed');
    }
  }

  private lose(reason: string): void {
    if (this.leadership === undefined) return;
    const { abort } = this.leadership;
    this.leadership = undefined;
    this.options.log.error({ lease: this.options.name, reason }, 'leadership lost');
    abort.abort();
    this.options.onLost(reason);
  }

  private async release(): Promise<void> {
    const { client, name, log, clock } = this.options;
    const lease = this.observation?.lease;
    if (lease?.spec?.holderIdentity !== this.options.identity) return;
    const now = microTime(clock.now());
    const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, acquireTime: now, renewTime: now };
    try {
      await client.replace(resources.leases, { ...lease, spec }, { timeoutMs: this.timing.renewDeadlineMs / 2 });
    } catch (error) {
      log.info({ err: error, lease: name }, 'the lease could not be released: it will expire');
    }
  }
}

/** metav1.MicroTime wants six digits of a second. */
function microTime(epochMs: number): string {
  return new Date(epochMs).toISOString().replace('Z', '000Z');
}
