import type { ObservedUse } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import { ClockSteps, type Clock } from '../kube/clock.ts';
import type { Host } from '../netns/host.ts';
import { NetnsError } from '../netns/netns-error.ts';
import type { Logger } from '../observability/log.ts';
import { tableName } from '../rules/nft.ts';
import { emptyRecords } from './denials.ts';
import { inNetns } from './netns.ts';
import { isObserved } from './observer.ts';
import type { Sandbox } from './sandbox.ts';
import { StatusRows, type Reported } from './status-rows.ts';
import { parseUsed, UseLedger } from './use-ledger.ts';

export interface UseReporterOptions<S extends Reported> {
  readonly client: Pick<KubeClient, 'patch'>;
  readonly clock: Pick<Clock, 'now' | 'monotonic'>;
  readonly host: Host;
  readonly registry: { list(): readonly S[]; ofSplit(split: string): readonly S[] };
  /** In the words of the Pod. */
  readonly usesOf: (ledger: UseLedger, sandbox: S) => Promise<readonly ObservedUse[]> | readonly ObservedUse[];
  readonly log: Logger;
}

/** Rows in a PodSplit's status: the newest ones. */
const maxRows = 128;

/** Carries what observed pieces used to their PodSplits: once a round at most, and only what changed. */
export class UseReporter<S extends Reported & Pick<Sandbox, 'wiring'> = Sandbox> {
  private readonly options: UseReporterOptions<S>;
  private readonly ledgers = new Map<string, UseLedger>();
  private readonly rows: StatusRows<S, ObservedUse>;
  private readonly clockSteps: ClockSteps;

  constructor(options: UseReporterOptions<S>) {
    this.options = options;
    this.clockSteps = new ClockSteps(options.clock);
    const read = (sandbox: S): Promise<readonly ObservedUse[]> => this.read(sandbox);
    this.rows = new StatusRows({ ...options, field: 'observed', maxRows, newestFirst, read });
  }

  async report(): Promise<void> {
    const sandboxes = this.options.registry.list().filter(isObserved);
    for (const id of this.ledgers.keys()) if (!sandboxes.some((one) => one.id === id)) this.ledgers.delete(id);
    const byMs = this.clockSteps.taken();
    if (byMs !== 0) for (const ledger of this.ledgers.values()) ledger.clockSet(byMs);
    await this.rows.report(sandboxes);
  }

  private async read(sandbox: S): Promise<readonly ObservedUse[]> {
    const { host, clock, usesOf } = this.options;
    const listed = await inNetns(sandbox.netns, host).run(['nft', '-j', 'list', 'table', 'inet', tableName]);
    if (listed.status !== 0) throw new NetnsError('NftFailed', `nft list: ${listed.stderr.trim()}`);
    const { uses, full } = parseUsed(JSON.parse(listed.stdout));
    const ledger = this.ledgers.get(sandbox.id) ?? new UseLedger();
    this.ledgers.set(sandbox.id, ledger);
    ledger.take(uses, clock.now());
    if (full.length > 0) {
      await emptyRecords(full, sandbox, host);
      ledger.emptied();
    }
    return usesOf(ledger, sandbox);
  }
}

/** A total order: what did not change is not written again. */
function newestFirst(one: ObservedUse, other: ObservedUse): number {
  if (one.lastSeen !== other.lastSeen) return one.lastSeen < other.lastSeen ? 1 : -1;
  return JSON.stringify(one) < JSON.stringify(other) ? -1 : 1;
}
