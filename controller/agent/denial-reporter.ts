import { podSplitName } from '../api/identity.ts';
import type { Denial } from '../api/resources.ts';
import { sameJson } from '../api/same-json.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import { isApiError } from '../kube/errors.ts';
import { resources } from '../kube/resources.ts';
import type { Host } from '../netns/host.ts';
import { NetnsError } from '../netns/netns-error.ts';
import type { Logger } from '../observability/log.ts';
import { AgentError } from './agent-error.ts';
import { DenialLedger } from './denial-ledger.ts';
import { emptyRecords, readRecords, type Attempt } from './denials.ts';
import type { Sandbox } from './sandbox.ts';

/** What is asked of a sandbox whose records are reported. */
export type Reported = Pick<Sandbox, 'id' | 'split' | 'pod' | 'isPrimary' | 'netns'>;

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
  private readonly told = new Map<string, readonly Denial[]>();
  /** What an agent before this one kept: it has counted and told of them, and nobody knows what. */
  private readonly inherited: ReadonlySet<string>;

  /** @param options whose registry holds what was there when this agent started */
  constructor(options: DenialReporterOptions<S>) {
    this.options = options;
    const sandboxes = options.registry.list();
    this.inherited = new Set(sandboxes.flatMap(({ id, split }) => [id, split]));
  }

  /** One round over all sandboxes. */
  async report(): Promise<void> {
    const sandboxes = this.options.registry.list();
    const splits = new Set(sandboxes.map(({ split }) => split));
    for (const id of this.ledgers.keys()) if (!sandboxes.some((sandbox) => sandbox.id === id)) this.drop(id);
    for (const split of this.told.keys()) if (!splits.has(split)) this.told.delete(split);
    for (const split of splits) {
      await this.reportSplit(split).catch((error: unknown) => {
        this.options.log.error({ err: error, split }, 'what was denied in a Pod could not be read or told');
      });
    }
  }

  private async reportSplit(split: string): Promise<void> {
    const { registry, log } = this.options;
    const rows: Denial[] = [];
    for (const sandbox of registry.ofSplit(split)) {
      try {
        rows.push(...(await this.read(sandbox)));
      } catch (error) {
        // Its namespace is going: there is nothing to read any more.
        if (!(error instanceof NetnsError) && !(error instanceof AgentError)) throw error;
        log.debug({ err: error, pod: sandbox.pod }, 'records could not be read');
      }
    }
    const denied = rows.sort(newestFirst).slice(0, maxRows);
    const before = this.told.get(split) ?? (this.inherited.has(split) ? undefined : []);
    if (before !== undefined && sameJson(denied, before)) return;
    if (await this.tell(split, denied)) this.told.set(split, denied);
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
      .map(({ attempt, packets, lastSeen }) => denialOf({ ...attempt, packets }, sandbox, timeOf(lastSeen)));
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

  /** The field `denied` is the agent's alone; the rest of the status is the controller's. */
  private async tell(split: string, denied: readonly Denial[]): Promise<boolean> {
    const { registry, client } = this.options;
    const primary = registry.ofSplit(split).find((sandbox) => sandbox.isPrimary);
    if (primary === undefined) return false;
    const { namespace, name, uid } = primary.pod;
    try {
      await client.patch(
        resources.podSplits,
        { namespace, name: podSplitName(name, uid) },
        { type: 'merge', body: { status: { denied } } },
        { subresource: 'status', fieldManager: 'podsplit-agent' },
      );
      return true;
    } catch (error) {
      if (!isApiError(error)) throw error;
      this.options.log.info({ err: error, split }, 'what was denied could not be told, and is tried again');
      return false;
    }
  }
}

/** RFC 3339, to the second. */
function timeOf(epochMs: number): string {
  return new Date(epochMs).toISOString().replace(/\.\d+Z$/, 'Z');
}

/** A total order: what did not change is not written again. */
function newestFirst(one: Denial, other: Denial): number {
  if (one.lastSeen !== other.lastSeen) return one.lastSeen < other.lastSeen ? 1 : -1;
  return other.packets - one.packets || (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1);
}
