import { podSplitName } from '../api/identity.ts';
import { sameJson } from '../api/same-json.ts';
import type { KubeClient } from '../kube/client.ts';
import { isApiError } from '../kube/errors.ts';
import { resources } from '../kube/resources.ts';
import { NetnsError } from '../netns/netns-error.ts';
import type { Logger } from '../observability/log.ts';
import { AgentError } from './agent-error.ts';
import type { Sandbox } from './sandbox.ts';

/** What is asked of a sandbox whose records are reported. */
export type Reported = Pick<Sandbox, 'id' | 'split' | 'pod' | 'isPrimary' | 'netns'>;

export interface StatusRowsOptions<S extends Reported, Row> {
  readonly client: Pick<KubeClient, 'patch'>;
  readonly registry: { ofSplit(split: string): readonly S[] };
  readonly log: Logger;
  /** Of a PodSplit's status: the agent's alone, the rest is the controller's. */
  readonly field: 'denied' | 'observed';
  /** The newest ones. */
  readonly maxRows: number;
  /** A total order: what did not change is not written again. */
  readonly newestFirst: (one: Row, other: Row) => number;
  readonly read: (sandbox: S) => Promise<readonly Row[]>;
  /** Split Pods of which an agent before this one has told, and nobody knows what. */
  readonly inherited?: ReadonlySet<string>;
}

/** Rows that the agent carries to PodSplits: written at most once a round, and only when they changed. */
export class StatusRows<S extends Reported, Row extends { readonly lastSeen: string }> {
  private readonly options: StatusRowsOptions<S, Row>;
  private readonly told = new Map<string, readonly Row[]>();

  constructor(options: StatusRowsOptions<S, Row>) {
    this.options = options;
  }

  /** One round over these. Does not fail: what is wrong with one Pod must not keep it from the others. */
  async report(sandboxes: readonly S[]): Promise<void> {
    const { log, field } = this.options;
    const splits = new Set(sandboxes.map(({ split }) => split));
    for (const split of this.told.keys()) if (!splits.has(split)) this.told.delete(split);
    for (const split of splits) {
      await this.reportSplit(split).catch((error: unknown) => {
        log.error({ err: error, split, field }, 'what was recorded of a Pod could not be read or told');
      });
    }
  }

  private async reportSplit(split: string): Promise<void> {
    const { registry, log, field, maxRows, newestFirst, read, inherited } = this.options;
    const found: Row[] = [];
    for (const sandbox of registry.ofSplit(split)) {
      try {
        found.push(...(await read(sandbox)));
      } catch (error) {
        // Its namespace is going: there is nothing to read any more.
        if (!(error instanceof NetnsError) && !(error instanceof AgentError)) throw error;
        log.debug({ err: error, pod: sandbox.pod, field }, 'records could not be read');
      }
    }
    const rows = found.sort(newestFirst).slice(0, maxRows);
    const before = this.told.get(split) ?? (inherited?.has(split) === true ? undefined : []);
    if (before !== undefined && sameJson(rows, before)) return;
    if (await this.tell(split, rows)) this.told.set(split, rows);
  }

  private async tell(split: string, rows: readonly Row[]): Promise<boolean> {
    const { registry, client, log, field } = this.options;
    const primary = registry.ofSplit(split).find((sandbox) => sandbox.isPrimary);
    if (primary === undefined) return false;
    const { namespace, name, uid } = primary.pod;
    try {
      await client.patch(
        resources.podSplits,
        { namespace, name: podSplitName(name, uid) },
        { type: 'merge', body: { status: { [field]: rows } } },
        { subresource: 'status', fieldManager: 'podsplit-agent' },
      );
      return true;
    } catch (error) {
      if (!isApiError(error)) throw error;
      log.info({ err: error, split, field }, 'what was recorded could not be told, and is tried again');
      return false;
    }
  }
}
