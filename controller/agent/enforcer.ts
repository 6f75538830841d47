import type { Host } from '../netns/host.ts';
import { createTable, listTable, nft, proveMarker, setLinks } from '../netns/load.ts';
import { NetnsError } from '../netns/netns-error.ts';
import { changes } from '../rules/changes.ts';
import { fingerprint } from '../rules/fingerprint.ts';
import { differences } from '../rules/loaded.ts';
import { printTable, type Table } from '../rules/nft.ts';
import { compileSandbox, type Compiled } from './compile-sandbox.ts';
import { cutChanged } from './connections.ts';
import { inNetns } from './netns.ts';
import type { Sandbox } from './sandbox.ts';

/** A table as it was loaded. */
interface Loaded {
  readonly table: Table;
  /** Of what the kernel listed first: finds rules that somebody edits, which the table's own data cannot. */
  readonly fingerprint: string | undefined;
}

type Side = 'piece' | 'host';

/** How a table is not as it should be: a sentence each; none where it is. */
export type Drift = Readonly<Record<Side, readonly string[]>>;

/** Brings the kernel to what a sandbox shall have: in the piece's network namespace, and on the node. */
export class Enforcer {
  private readonly node: Host;
  private readonly loaded = new Map<string, Loaded>();

  constructor(node: Host) {
    this.node = node;
  }

  /**
   * A new sandbox: everything, whole, and proved by its markers. Rules before routes, as while one is there without the other
   * nothing is misled.
   */
  async install(sandbox: Sandbox, peers: readonly Sandbox[]): Promise<Compiled> {
    const compiled = compileSandbox(sandbox, peers);
    await bothOf(this.installPiece(sandbox, compiled), this.installHost(sandbox, compiled));
    return compiled;
  }

  /** One that runs: the least change, in one transaction for each table. */
  async update(sandbox: Sandbox, peers: readonly Sandbox[]): Promise<Compiled> {
    const compiled = compileSandbox(sandbox, peers);
    const netns = inNetns(sandbox.netns, this.node);
    const before = this.loaded.get(key(sandbox.id, 'piece'))?.table;
    await bothOf(
      this.change(sandbox.id, 'host', compiled.host, this.node),
      this.change(sandbox.id, 'piece', compiled.piece, netns),
    );
    if (compiled.linksHash !== sandbox.links) await setLinks(compiled.wiring, sandbox.local, netns);
    if (before !== undefined) await cutChanged(before, compiled.piece, netns);
    return compiled;
  }

  /** Compares what the kernel lists with what there should be. */
  async inspect(sandbox: Sandbox, peers: readonly Sandbox[]): Promise<{ readonly compiled: Compiled; drift: Drift }> {
    const compiled = compileSandbox(sandbox, peers);
    const { id, netns } = sandbox;
    const piece = await this.look(id, 'piece', compiled.piece, inNetns(netns, this.node));
    const host = await this.look(id, 'host', compiled.host, this.node);
    return { compiled, drift: { piece, host } };
  }

  /** Replaces what is not as it should be, and leaves alone what is: its counters, and the connections that it carries. */
  async mend(sandbox: Sandbox, compiled: Compiled, drift: Drift): Promise<void> {
    const rewired = compiled.linksHash !== sandbox.links;
    await bothOf(
      drift.piece.length > 0 || rewired ? this.installPiece(sandbox, compiled) : Promise.resolve(),
      drift.host.length > 0 ? this.installHost(sandbox, compiled) : Promise.resolve(),
    );
  }

  /** The piece's own table goes with its network namespace. */
  async remove(sandboxId: string, hostTableName: string): Promise<void> {
    this.forget(sandboxId);
    // Named first, so that deleting it cannot fail where it is not there.
    await nft(`table netdev ${hostTableName}\ndelete table netdev ${hostTableName}\n`, this.node);
  }

  forget(sandboxId: string): void {
    this.loaded.delete(key(sandboxId, 'piece'));
    this.loaded.delete(key(sandboxId, 'host'));
  }

  private async installPiece(sandbox: Sandbox, { piece, wiring }: Compiled): Promise<void> {
    const netns = inNetns(sandbox.netns, this.node);
    // What is there is the closed table, or one to be mended: it gives way in the same transaction.
    await nft(printTable(piece), netns);
    await bothOf(proveMarker(piece, netns), setLinks(wiring, sandbox.local, netns));
    this.keep(sandbox.id, 'piece', piece, undefined);
  }

  private async installHost(sandbox: Sandbox, { host, hostLinks }: Compiled): Promise<void> {
    await createTable(host, this.node);
    await bothOf(proveMarker(host, this.node), bridge(hostLinks, this.node));
    this.keep(sandbox.id, 'host', host, undefined);
  }

  private async change(id: string, side: Side, wanted: Table, host: Host): Promise<void> {
    const before = this.loaded.get(key(id, side));
    const text = before === undefined ? undefined : changes(before.table, wanted);
    if (text === '') return;
    if (before !== undefined && text !== undefined) {
      try {
        await nft(text, host);
        // It outlives a change of elements.
        this.keep(id, side, wanted, before.fingerprint);
        return;
      } catch (error) {
        // Somebody has changed the table since it was loaded: whole it is right again.
        if (!(error instanceof NetnsError)) throw error;
      }
    }
    await nft(printTable(wanted), host);
    this.keep(id, side, wanted, undefined);
  }

  private keep(id: string, side: Side, table: Table, found: string | undefined): void {
    this.loaded.set(key(id, side), { table, fingerprint: found });
  }

  /** Where no fingerprint is known yet, it is that of a table that otherwise is as it should be. */
  private async look(id: string, side: Side, wanted: Table, host: Host): Promise<readonly string[]> {
    const listing = await listTable(wanted, host);
    if (listing === undefined) return [`the ${side}'s table is not there`];
    const unlike = differences(wanted, listing);
    if (unlike.length > 0) return unlike;
    const found = fingerprint(listing);
    const known = this.loaded.get(key(id, side));
    const expected = known?.table.marker === wanted.marker ? known.fingerprint : undefined;
    if (expected !== undefined && expected !== found) return [`rules of the ${side}'s table were edited`];
    this.keep(id, side, wanted, found);
    return [];
  }
}

/** What the bridge knows of the link, beside what it carries. */
async function bridge(lines: readonly string[], node: Host): Promise<void> {
  const set = await node.run(['bridge', '-batch', '-'], lines.map((line) => `${line}\n`).join(''));
  if (set.status !== 0) throw new NetnsError('IpFailed', `bridge: ${set.stderr.trim()}`);
}

/** Fails when both have ended, and not before: what still ran would go on after the Pod's lock is given away. */
async function bothOf(one: Promise<void>, other: Promise<void>): Promise<void> {
  for (const result of await Promise.allSettled([one, other])) {
    if (result.status === 'rejected') throw result.reason;
  }
}

function key(id: string, side: Side): string {
  return `${side}/${id}`;
}
