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
import type { Attachments } from './attachments.ts';
import { denialOf, readRecords, type Attempt } from './denials.ts';
import type { Registry } from './registry.ts';
import type { Sandbox } from './sandbox.ts';

export interface DenialReporterOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly host: Host;
  readonly registry: Registry;
  readonly attachments: Attachments;
  readonly log: Logger;
  /** Packets that a counter has gained since the last look. */
  readonly counted: (counter: string, packets: number) => void;
}

/** Rows in a PodSplit's status: the newest ones. The kernel's sets hold 256 for each piece and family. */
const maxRows = 64;

interface Seen {
  readonly packets: number;
  readonly lastSeen: string;
}

/**
 * Carries what the pieces' tables recorded to the PodSplits and the metrics. Bounded at each step, so that whoever is denied
 * floods nothing: the kernel's sets are, each split Pod's status is written at most once a round, and only when it changed.
 */
export class DenialReporter {
  private readonly options: DenialReporterOptions;
  /** By sandbox: when each attempt was last seen to grow. */
  private readonly seen = new Map<string, Map<string, Seen>>();
  private readonly counters = new Map<string, Readonly<Record<string, number>>>();
  private readonly told = new Map<string, readonly Denial[]>();

  constructor(options: DenialReporterOptions) {
    this.options = options;
  }

  /** One round over all sandboxes. */
  async report(): Promise<void> {
    const sandboxes = this.options.registry.list();
    const splits = new Set(sandboxes.map(({ split }) => split));
    for (const id of this.seen.keys()) if (!sandboxes.some((sandbox) => sandbox.id === id)) this.drop(id);
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
        if (!(error instanceof NetnsError)) throw error;
        log.debug({ err: error, pod: sandbox.pod }, 'records could not be read');
      }
    }
    const denied = rows.sort(newestFirst).slice(0, maxRows);
    if (denied.length === 0 && (this.told.get(split)?.length ?? 0) === 0) return;
    if (sameJson(denied, this.told.get(split))) return;
    if (await this.tell(split, denied)) this.told.set(split, denied);
  }

  private async read(sandbox: Sandbox): Promise<readonly Denial[]> {
    const { host, attachments, clock } = this.options;
    const { counters, attempts } = await readRecords(sandbox, host);
    this.count(sandbox.id, counters);
    const known = this.seen.get(sandbox.id) ?? new Map<string, Seen>();
    const now = new Date(clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
    const current = new Map<string, Seen>();
    const peers = attachments.peersOf(sandbox);
    const rows = attempts.map((attempt) => {
      const key = attemptKey(attempt);
      const before = known.get(key);
      const lastSeen = before?.packets === attempt.packets ? before.lastSeen : now;
      current.set(key, { packets: attempt.packets, lastSeen });
      return denialOf(attempt, sandbox, peers, lastSeen);
    });
    this.seen.set(sandbox.id, current);
    return rows;
  }

  private count(id: string, counters: Readonly<Record<string, number>>): void {
    const before = this.counters.get(id) ?? {};
    for (const [name, packets] of Object.entries(counters)) {
      // A table that was loaded anew counts from zero.
      const gained = packets - (before[name] ?? 0);
      if (gained > 0) this.options.counted(name, gained);
    }
    this.counters.set(id, counters);
  }

  private drop(id: string): void {
    this.seen.delete(id);
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

function attemptKey({ interfaceName, from, to, protocol, port }: Attempt): string {
  return `${interfaceName} ${from} ${to} ${protocol} ${port}`;
}

function newestFirst(one: Denial, other: Denial): number {
  if (one.lastSeen !== other.lastSeen) return one.lastSeen < other.lastSeen ? 1 : -1;
  return other.packets - one.packets;
}
