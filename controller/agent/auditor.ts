import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { isRecord } from '../api/json.ts';
import { bridgeNamePrefix } from '../api/names.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { Host } from '../netns/host.ts';
import { ip, nft } from '../netns/load.ts';
import { NetnsError } from '../netns/netns-error.ts';
import type { Logger } from '../observability/log.ts';
import { hostTableName, hostTablePrefix } from '../rules/host.ts';
import type { Attachments } from './attachments.ts';
import type { Enforcer } from './enforcer.ts';
import { netnsFile } from './netns.ts';
import type { Registry } from './registry.ts';
import { shortId, type Sandbox } from './sandbox.ts';

export interface AuditorOptions {
  readonly host: Host;
  readonly registry: Registry;
  readonly attachments: Attachments;
  readonly enforcer: Enforcer;
  readonly events: EventRecorder;
  readonly log: Logger;
  readonly repaired: () => void;
}

/**
 * Looks at everything that is on the node, whatever events were missed: sandboxes that ended while no agent ran, tables that
 * somebody changed, tables and bridges that belong to nobody.
 */
export class Auditor {
  private readonly options: AuditorOptions;
  /** Strays that the last audit saw: an ADD makes a table and a bridge a moment before it is known whose they are. */
  private strayTables: ReadonlySet<string> = new Set();
  private strayBridges: ReadonlySet<string> = new Set();

  constructor(options: AuditorOptions) {
    this.options = options;
  }

  async audit(): Promise<void> {
    for (const sandbox of this.options.registry.list()) await this.auditSandbox(sandbox);
    await this.collectTables();
    await this.collectBridges();
  }

  private async auditSandbox(sandbox: Sandbox): Promise<void> {
    const { registry, attachments, enforcer, log } = this.options;
    if (!existsSync(netnsFile(sandbox.netns))) {
      log.info({ pod: sandbox.pod, containerID: sandbox.id }, 'a sandbox ended while no agent heard of it');
      await attachments.detach(sandbox.id);
      return;
    }
    await attachments.lock.run(sandbox.split, async () => {
      const current = registry.get(sandbox.id);
      if (current === undefined) return;
      try {
        const { drift } = await enforcer.audit(current, attachments.peersOf(current), true);
        if (drift.length > 0) this.sayRepaired(current, drift);
      } catch (error) {
        if (!(error instanceof NetnsError)) throw error;
        log.error({ err: error, pod: current.pod, piece: current.piece }, 'the rules of a piece could not be audited');
      }
    });
  }

  private sayRepaired(sandbox: Sandbox, drift: readonly string[]): void {
    const { events, log, repaired } = this.options;
    repaired();
    const what = drift.join('; ');
    log.warn({ pod: sandbox.pod, piece: sandbox.piece, drift: what }, 'rules had been changed and were loaded anew');
    events.event(
      { apiVersion: 'v1', kind: 'Pod', ...sandbox.pod },
      'Warning',
      'RulesRepaired',
      `The rules of piece ${sandbox.piece} had been changed on the node, and were loaded anew: ${what}`.slice(0, 1000),
    );
  }

  /** A netdev chain outlives its device, and would bind to the next one of that name. */
  private async collectTables(): Promise<void> {
    const { host, registry, log } = this.options;
    const listed = await host.run(['nft', '-j', 'list', 'tables', 'netdev']);
    if (listed.status !== 0) throw new NetnsError('NftFailed', `nft list tables: ${listed.stderr.trim()}`);
    const known = new Set(registry.list().map(({ id }) => hostTableName(shortId(id))));
    const strays = tableNames(JSON.parse(listed.stdout)).filter(
      (name) => name.startsWith(hostTablePrefix) && !known.has(name),
    );
    for (const name of strays) {
      if (!this.strayTables.has(name)) continue;
      log.info({ table: name }, 'a table of no sandbox is removed');
      await nft(`table netdev ${name}\ndelete table netdev ${name}\n`, host);
    }
    this.strayTables = new Set(strays);
  }

  /** The bridge plugin makes bridges and never removes one. */
  private async collectBridges(): Promise<void> {
    const { host, log } = this.options;
    const strays = new Set<string>();
    for (const name of await readdir('/sys/class/net')) {
      if (!name.startsWith(bridgeNamePrefix)) continue;
      const ports = await readdir(`/sys/class/net/${name}/brif`).catch(() => undefined);
      if (ports?.length === 0) strays.add(name);
    }
    for (const name of strays) {
      if (!this.strayBridges.has(name)) continue;
      log.info({ bridge: name }, 'a bridge without ports is removed');
      await ip(['link', 'delete', name, 'type', 'bridge'], host);
    }
    this.strayBridges = strays;
  }
}

function tableNames(listing: unknown): readonly string[] {
  const objects = isRecord(listing) && Array.isArray(listing['nftables']) ? (listing['nftables'] as unknown[]) : [];
  return objects.flatMap((each) => {
    const table = isRecord(each) ? each['table'] : undefined;
    return isRecord(table) ? [String(table['name'])] : [];
  });
}
