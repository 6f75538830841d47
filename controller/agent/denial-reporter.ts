import type { Denial } from '../api/resources.ts';
import { timestamp } from '../api/timestamp.ts';
import type { KubeClient } from '../kube/client.ts';
import { ClockSteps, type Clock } from '../kube/clock.ts';
import type { Host } from '../netns/host.ts';
import type { Logger } from '../observability/log.ts';
import { DenialLedger } from './denial-ledger.ts';
import { emptyRecords, readRecords, type Attempt } from './denials.ts';
import type { Sandbox } from './sandbox.ts';
import { StatusRows, type Reported } from './status-rows.ts';

export interface DenialReporterOptions<S extends Reported> {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly host: Host;
  readonly registry: { list(): readonly S[]; ofSplit(split: string): readonly S[] };
  /** In the words of the Pod. */
  readonly denialOf: (attempt: Attempt, sandbox: S, lastSeen: string) => Denial;
  readonly log: Logger;
  /** Packets that a counter has gained since the last look. */
  readonly counted: (counter: string, packets: number) => void;
}

/** Rows in a PodSplit's status: the newest ones. The kernel's sets hold 256 for each piece and family. */
const maxRows = 64;

/**
 * Carries what the pieces' tables recorded to the PodSplits and the metrics. Bounded at each step, so that whoever is denied
 * floods nothing: the kernel's sets are, each split Pod's status is written at most once a round, and only when it changed.
 */
export class DenialReporter<S extends Reported = Sandbox> {
  private readonly options: DenialReporterOptions<S>;
  private readonly ledgers = new Map<string, DenialLedger>();
  private readonly counters = new Map<string, Readonly<Record<string, number>>>();
  private readonly rows: StatusRows<S, Denial>;
  private readonly clockSteps: ClockSteps;
  /** What an agent before this one kept: it has counted and told of them, and nobody knows what. */
  private readonly inherited: ReadonlySet<string>;

  /** @param options whose registry holds what was there when this agent started */
  constructor(options: DenialReporterOptions<S>) {
    this.options = options;
    this.clockSteps = new ClockSteps(options.clock);
    const sandboxes = options.registry.list();
    this.inherited = new Set(sandboxes.flatMap(({ id, split }) => [id, split]));
    const read = (sandbox: S): Promise<readonly Denial[]> => this.read(sandbox);
    this.rows = new StatusRows({ ...options, field: 'denied', maxRows, newestFirst, read, inherited: this.inherited });
  }

  /** One round over all sandboxes. */
  async report(): Promise<void> {
    const sandboxes = this.options.registry.list();
    for (const id of this.ledgers.keys()) if (!sandboxes.some((sandbox) => sandbox.id === id)) this.drop(id);
    const byMs = this.clockSteps.taken();
    if (byMs !== 0) for (const ledger of this.ledgers.values()) ledger.clockSet(byMs);
    await this.rows.report(sandboxes);
  }

  private async read(sandbox: S): Promise<readonly Denial[]> {
    const { host, denialOf, clock } = this.options;
    const { counters, attempts, full } = await readRecords(sandbox, host);
    this.count(sandbox.id, counters);
    const ledger = this.ledgers.get(sandbox.id) ?? new DenialLedger();
    this.ledgers.set(sandbox.id, ledger);
    ledger.take(attempts, clock.now());
    if (full.length > 0) {
      await emptyRecords(full, sandbox, host);
      ledger.emptied();
    }
    return ledger
      .list()
      .slice(0, maxRows)
      .map(({ attempt, packets, lastSeen }) => denialOf({ ...attempt, packets }, sandbox, timestamp(lastSeen)));
  }

  private count(id: string, counters: Readonly<Record<string, number>>): void {
    const before = this.counters.get(id) ?? (this.inherited.has(id) ? counters : {});
    for (const [name, packets] of Object.entries(counters)) {
      const known = before[name] ?? 0;
      // A table that was loaded anew counts from zero.
      const gained = packets < known ? packets : packets - known;
      if (gained > 0) this.options.counted(name, gained);
    }
    this.counters.set(id, counters);
  }

  private drop(id: string): void {
    this.ledgers.delete(id);
    this.counters.delete(id);
  }
}

/** A total order: what did not change is not written again. */
function newestFirst(one: Denial, other: Denial): number {
  if (one.lastSeen !== other.lastSeen) return one.lastSeen < other.lastSeen ? 1 : -1;
  return other.packets - one.packets || (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1);
}
