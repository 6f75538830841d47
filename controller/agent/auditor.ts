import { existsSync } from 'node:fs';
import { isRecord } from '../api/json.ts';
import { bridgeNamePrefix } from '../api/names.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { Host } from '../netns/host.ts';
import { ip, nft } from '../netns/load.ts';
import { NetnsError } from '../netns/netns-error.ts';
import type { Logger } from '../observability/log.ts';
import { hostTableName, hostTablePrefix } from '../rules/host.ts';
import { loadedAs, type Attachments } from './attachments.ts';
import { allDrift, type Enforcer } from './enforcer.ts';
import { hostEndOfEth0 } from './host-ends.ts';
import { inNetns, netnsFile } from './netns.ts';
import type { Registry } from './registry.ts';
import { shortId, type Sandbox } from './sandbox.ts';

export interface AuditorOptions {
  readonly host: Host;
  readonly registry: Registry<Sandbox>;
  readonly attachments: Attachments;
  readonly enforcer: Enforcer;
  readonly events: Pick<EventRecorder, 'event'>;
  /** Bridges of the Pods that are bound to this node; undefined as long as they are not known. */
  readonly bridgesInUse: () => ReadonlySet<string> | undefined;
  readonly log: Logger;
  readonly repaired: () => void;
  /** A piece's rules could not be mended: the next audit should not wait for its time. */
  readonly behind: () => void;
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
  /** Sandboxes that were found to have no end of eth0 on the node. */
  private withoutEth0 = new Set<string>();

  constructor(options: AuditorOptions) {
    this.options = options;
  }

  /** Does not fail: what is wrong with one thing must not keep the audit from the others. */
  async audit(): Promise<void> {
    const { registry, log } = this.options;
    for (const sandbox of registry.list()) {
      const { pod, piece } = sandbox;
      await this.auditSandbox(sandbox).catch((error: unknown) => {
        log.error({ err: error, pod, piece }, 'the rules of a piece could not be audited');
        this.options.behind();
      });
    }
    this.withoutEth0 = new Set([...this.withoutEth0].filter((id) => registry.get(id) !== undefined));
    for (const collect of [() => this.collectTables(), () => this.collectBridges()]) {
      await collect().catch((error: unknown) => {
        log.error({ err: error }, 'what belongs to no piece could not be collected');
      });
    }
  }

  private async auditSandbox(sandbox: Sandbox): Promise<void> {
    const { registry, attachments, log } = this.options;
    // Its ADD holds the lock, and looks itself at what it does.
    if (attachments.underWay().includes(sandbox.id)) return;
    const isGone = (): boolean => !existsSync(netnsFile(sandbox.netns));
    if (isGone()) {
      log.info({ pod: sandbox.pod, containerID: sandbox.id }, 'a sandbox ended while no agent heard of it');
      await attachments.detach(sandbox.id);
      return;
    }
    await attachments.lock.run(sandbox.split, async () => {
      const current = registry.get(sandbox.id);
      if (current === undefined) return;
      try {
        await this.compare(current);
      } catch (error) {
        // It ends while it is looked at: its DEL comes, or the next audit sees it.
        if (!isGone()) throw error;
      }
    });
  }

  private async compare(known: Sandbox): Promise<void> {
    const { registry, attachments, enforcer, log } = this.options;
    const sandbox = await this.withEth0(known);
    const peers = attachments.peersOf(sandbox);
    const { compiled, drift } = await enforcer.inspect(sandbox, peers);
    const loaded = loadedAs(sandbox, compiled);
    const isOutdated = loaded.loaded !== sandbox.loaded;
    const found = allDrift(drift);
    if (found.length > 0 || loaded.links !== sandbox.links) await enforcer.mend(sandbox, peers, compiled, drift);
    if (isOutdated || loaded.links !== sandbox.links) await registry.put(loaded);
    if (isOutdated) log.info({ pod: sandbox.pod, piece: sandbox.piece }, 'rules of before were brought up to date');
    else if (found.length > 0) this.sayRepaired(sandbox, found);
  }

  /**
   * An earlier version may have missed the node's end of eth0: the sandbox is not filtered there. Asked once by each agent,
   * as where eth0 is no veth there is none.
   */
  private async withEth0(sandbox: Sandbox): Promise<Sandbox> {
    const { host, registry, log } = this.options;
    if (sandbox.host.eth0 !== undefined || this.withoutEth0.has(sandbox.id)) return sandbox;
    try {
      const eth0 = await hostEndOfEth0(inNetns(sandbox.netns, host), host);
      if (eth0 === undefined) {
        this.withoutEth0.add(sandbox.id);
        return sandbox;
      }
      const healed = { ...sandbox, host: { ...sandbox.host, eth0 } };
      await registry.put(healed);
      log.info({ pod: sandbox.pod, piece: sandbox.piece, eth0: eth0.device }, "the node's end of eth0 was found");
      return healed;
    } catch (error) {
      // The rest of it can be audited all the same.
      log.warn({ err: error, pod: sandbox.pod, piece: sandbox.piece }, "the node's end of eth0 could not be asked for");
      return sandbox;
    }
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
    const { host, registry, attachments, log } = this.options;
    // Before the listing: an ADD that ends meanwhile is known by one or the other.
    const underWay = attachments.underWay();
    // Not the tables: for those nft 1.0 reads all that is in each.
    const listed = await host.run(['nft', '-j', 'list', 'chains', 'netdev']);
    if (listed.status !== 0) throw new NetnsError('NftFailed', `nft list chains: ${listed.stderr.trim()}`);
    const known = new Set([...underWay, ...registry.ids()].map((id) => hostTableName(shortId(id))));
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

  /**
   * The bridge plugin makes bridges and never removes one. One without ports may get one in the next moment: it goes when no
   * Pod of its workload is bound to this node, which a Pod is before the runtime hears of it.
   */
  private async collectBridges(): Promise<void> {
    const { host, log, bridgesInUse } = this.options;
    const idle = idleBridges(await ip(['-json', 'link', 'show'], host));
    const used = bridgesInUse();
    if (used === undefined) return;
    const strays = idle.filter((name) => !used.has(name));
    for (const name of strays) {
      if (!this.strayBridges.has(name)) continue;
      log.info({ bridge: name }, 'a bridge without ports is removed');
      await ip(['link', 'delete', name, 'type', 'bridge'], host);
    }
    this.strayBridges = new Set(strays);
  }
}

/** Of ours, in what `ip -json link show` lists. */
export function idleBridges(listing: string): readonly string[] {
  const parsed: unknown = listing.trim() === '' ? [] : JSON.parse(listing);
  const links = Array.isArray(parsed) ? parsed.filter((each) => isRecord(each)) : [];
  const busy = new Set(links.map(({ master }) => master));
  return links
    .map(({ ifname }) => String(ifname))
    .filter((name) => name.startsWith(bridgeNamePrefix) && !busy.has(name));
}

function tableNames(listing: unknown): readonly string[] {
  const objects = isRecord(listing) && Array.isArray(listing['nftables']) ? (listing['nftables'] as unknown[]) : [];
  const names = objects.flatMap((each) => {
    const chain = isRecord(each) ? each['chain'] : undefined;
    return isRecord(chain) ? [String(chain['table'])] : [];
  });
  return [...new Set(names)];
}
