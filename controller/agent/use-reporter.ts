import { podSplitName } from '../api/identity.ts';
import type { ObservedUse } from '../api/resources.ts';
import { sameJson } from '../api/same-json.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import { isApiError } from '../kube/errors.ts';
import { resources } from '../kube/resources.ts';
import type { Host } from '../netns/host.ts';
import { NetnsError } from '../netns/netns-error.ts';
import type { Logger } from '../observability/log.ts';
import { tableName } from '../rules/nft.ts';
import { AgentError } from './agent-error.ts';
import { emptyRecords } from './denials.ts';
import { inNetns } from './netns.ts';
import { isObserved } from './observer.ts';
import type { Registry } from './registry.ts';
import type { Sandbox } from './sandbox.ts';
import { parseUsed, UseLedger, usesOf } from './use-ledger.ts';

export interface UseReporterOptions {
  readonly client: Pick<KubeClient, 'patch'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly host: Host;
  readonly registry: Registry;
  readonly log: Logger;
}

/** Rows in a PodSplit's status: the newest ones. */
const maxRows = 128;

/** Carries what observed pieces used to their PodSplits: once a round at most, and only what changed. */
export class UseReporter {
  private readonly options: UseReporterOptions;
  private readonly ledgers = new Map<string, UseLedger>();
  private readonly told = new Map<string, readonly ObservedUse[]>();

  constructor(options: UseReporterOptions) {
    this.options = options;
  }

  async report(): Promise<void> {
    const { registry, log } = this.options;
    const sandboxes = registry.list().filter(isObserved);
    const splits = new Set(sandboxes.map(({ split }) => split));
    for (const id of this.ledgers.keys()) if (!sandboxes.some((one) => one.id === id)) this.ledgers.delete(id);
    for (const split of this.told.keys()) if (!splits.has(split)) this.told.delete(split);
    for (const split of splits) {
      await this.reportSplit(split).catch((error: unknown) => {
        log.error({ err: error, split }, 'what a Pod used could not be read or told');
      });
    }
  }

  private async reportSplit(split: string): Promise<void> {
    const { registry, log } = this.options;
    const rows: ObservedUse[] = [];
    for (const sandbox of registry.ofSplit(split)) {
      try {
        rows.push(...(await this.read(sandbox)));
      } catch (error) {
        // Its namespace is going: there is nothing to read any more.
        if (!(error instanceof NetnsError) && !(error instanceof AgentError)) throw error;
        log.debug({ err: error, pod: sandbox.pod }, 'what a piece used could not be read');
      }
    }
    const observed = rows.sort(newestFirst).slice(0, maxRows);
    if (sameJson(observed, this.told.get(split) ?? [])) return;
    if (await this.tell(split, observed)) this.told.set(split, observed);
  }

  private async read(sandbox: Sandbox): Promise<readonly ObservedUse[]> {
    const { host, clock } = this.options;
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

  /** The field `observed` is the agent's alone, as `denied` is. */
  private async tell(split: string, observed: readonly ObservedUse[]): Promise<boolean> {
    const { registry, client, log } = this.options;
    const primary = registry.ofSplit(split).find((sandbox) => sandbox.isPrimary);
    if (primary === undefined) return false;
    const { namespace, name, uid } = primary.pod;
    try {
      await client.patch(
        resources.podSplits,
        { namespace, name: podSplitName(name, uid) },
        { type: 'merge', body: { status: { observed } } },
        { subresource: 'status', fieldManager: 'podsplit-agent' },
      );
      return true;
    } catch (error) {
      if (!isApiError(error)) throw error;
      log.info({ err: error, split }, 'what was observed could not be told, and is tried again');
      return false;
    }
  }
}

/** A total order: what did not change is not written again. */
function newestFirst(one: ObservedUse, other: ObservedUse): number {
  if (one.lastSeen !== other.lastSeen) return one.lastSeen < other.lastSeen ? 1 : -1;
  return JSON.stringify(one) < JSON.stringify(other) ? -1 : 1;
}
