import type { Host } from '../netns/host.ts';
import { createTable, inspectLinks, listTable, nft, proveMarker, setLinks } from '../netns/load.ts';
import { NetnsError } from '../netns/netns-error.ts';
import { changes } from '../rules/changes.ts';
import { fingerprint } from '../rules/fingerprint.ts';
import { differences } from '../rules/loaded.ts';
import { printTable, type Table } from '../rules/nft.ts';
import { compileSandbox, type Compiled, type OwnPart, type PeerPart } from './compile-sandbox.ts';
import { cutChanged } from './connections.ts';
import { inNetns } from './netns.ts';
import type { Sandbox } from './sandbox.ts';

/**
 * A table as it was loaded, by what it was compiled from: it is compiled again when it has to be changed, which is seldom. A
 * table of thousands of flows is megabytes of elements, and the wiring's text is kept for the sandbox anyway.
 */
interface Loaded {
  readonly source: Source;
  readonly marker: string;
  /** Of what the kernel listed first: finds rules that somebody edits, which the table's own data cannot. */
  readonly fingerprint: string | undefined;
}

interface Source {
  readonly own: OwnPart;
  readonly peers: readonly PeerPart[];
}

type Side = 'piece' | 'host';

/** How tables and links are not as they should be: a sentence each; none where they are. */
export type Drift = Readonly<Record<Side | 'links', readonly string[]>>;

export function allDrift({ piece, host, links }: Drift): readonly string[] {
  return [...piece, ...host, ...links];
}

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
    const wanted = { source: sourceOf(sandbox, peers), compiled };
    await bothOf(this.installPiece(sandbox, wanted), this.installHost(sandbox, wanted));
    return compiled;
  }

  /** One that runs: the least change, in one transaction for each table. */
  async update(sandbox: Sandbox, peers: readonly Sandbox[]): Promise<Compiled> {
    const compiled = compileSandbox(sandbox, peers);
    const netns = inNetns(sandbox.netns, this.node);
    const wanted = { source: sourceOf(sandbox, peers), compiled };
    const before = this.tables(sandbox.id);
    await bothOf(
      this.change('host', before.host, wanted, this.node),
      this.change('piece', before.piece, wanted, netns),
    );
    if (compiled.linksHash !== sandbox.links) await setLinks(compiled.wiring, sandbox.local, netns);
    if (before.piece !== undefined) await cutChanged(before.piece, compiled.piece, netns);
    return compiled;
  }

  /** Compares what the kernel lists with what there should be. */
  async inspect(sandbox: Sandbox, peers: readonly Sandbox[]): Promise<{ readonly compiled: Compiled; drift: Drift }> {
    const compiled = compileSandbox(sandbox, peers);
    const wanted = { source: sourceOf(sandbox, peers), compiled };
    const netns = inNetns(sandbox.netns, this.node);
    const piece = await this.look('piece', wanted, netns);
    const host = await this.look('host', wanted, this.node);
    // Others than these were set last where the hash differs: they will be set anew, and nobody has edited them.
    const isKnown = compiled.linksHash === sandbox.links;
    const links = isKnown ? await inspectLinks(compiled.wiring, sandbox.local, netns) : [];
    return { compiled, drift: { piece, host, links } };
  }

  /** Replaces what is not as it should be, and leaves alone what is: its counters, and the connections that it carries. */
  async mend(sandbox: Sandbox, peers: readonly Sandbox[], compiled: Compiled, drift: Drift): Promise<void> {
    const wanted = { source: sourceOf(sandbox, peers), compiled };
    const rewired = compiled.linksHash !== sandbox.links;
    const pieceIsOff = drift.piece.length > 0 || rewired;
    await bothOf(
      pieceIsOff ? this.installPiece(sandbox, wanted) : Promise.resolve(),
      drift.host.length > 0 ? this.installHost(sandbox, wanted) : Promise.resolve(),
    );
    if (pieceIsOff || drift.links.length === 0) return;
    await setLinks(compiled.wiring, sandbox.local, inNetns(sandbox.netns, this.node));
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

  private async installPiece(sandbox: Sandbox, wanted: Wanted): Promise<void> {
    const { piece, wiring } = wanted.compiled;
    const netns = inNetns(sandbox.netns, this.node);
    // What is there is the closed table, or one to be mended: it gives way in the same transaction.
    await nft(printTable(piece), netns);
    await bothOf(proveMarker(piece, netns), setLinks(wiring, sandbox.local, netns));
    this.keep('piece', wanted, undefined);
  }

  private async installHost(sandbox: Sandbox, wanted: Wanted): Promise<void> {
    const { host, hostLinks } = wanted.compiled;
    await createTable(host, this.node);
    await bothOf(proveMarker(host, this.node), bridge(hostLinks, this.node));
    this.keep('host', wanted, undefined);
  }

  private async change(side: Side, before: Table | undefined, wanted: Wanted, host: Host): Promise<void> {
    const table = wanted.compiled[side];
    const text = before === undefined ? undefined : changes(before, table);
    if (text === '') return;
    if (text !== undefined) {
      try {
        await nft(text, host);
        // It outlives a change of elements.
        this.keep(side, wanted, this.loaded.get(key(wanted.source.own.id, side))?.fingerprint);
        return;
      } catch (error) {
        // Somebody has changed the table since it was loaded: whole it is right again.
        if (!(error instanceof NetnsError)) throw error;
      }
    }
    await nft(printTable(table), host);
    this.keep(side, wanted, undefined);
  }

  /** Those that were loaded, compiled once if both were loaded at the same time, as they are as a rule. */
  private tables(id: string): Partial<Record<Side, Table>> {
    const [piece, host] = [this.loaded.get(key(id, 'piece')), this.loaded.get(key(id, 'host'))];
    const compiled = piece && compileSandbox(piece.source.own, piece.source.peers);
    if (host === undefined) return compiled === undefined ? {} : { piece: compiled.piece };
    const other = host.source === piece?.source ? compiled : compileSandbox(host.source.own, host.source.peers);
    return { ...(compiled && { piece: compiled.piece }), ...(other && { host: other.host }) };
  }

  private keep(side: Side, { source, compiled }: Wanted, found: string | undefined): void {
    this.loaded.set(key(source.own.id, side), { source, marker: compiled[side].marker, fingerprint: found });
  }

  /** Where no fingerprint is known yet, it is that of a table that otherwise is as it should be. */
  private async look(side: Side, wanted: Wanted, host: Host): Promise<readonly string[]> {
    const table = wanted.compiled[side];
    const listing = await listTable(table, host);
    if (listing === undefined) return [`the ${side}'s table is not there`];
    const unlike = differences(table, listing);
    if (unlike.length > 0) return unlike;
    const found = fingerprint(listing);
    const known = this.loaded.get(key(wanted.source.own.id, side));
    const expected = known?.marker === table.marker ? known.fingerprint : undefined;
    if (expected !== undefined && expected !== found) return [`rules of the ${side}'s table were edited`];
    this.keep(side, wanted, found);
    return [];
  }
}

/** What is to be there, and what it was compiled from. */
interface Wanted {
  readonly source: Source;
  readonly compiled: Compiled;
}

/** No more than is used: a sandbox of before would hold on to its wiring. */
function sourceOf({ id, wiring, local, host, ...own }: Sandbox, peers: readonly Sandbox[]): Source {
  return {
    own: { id, wiring, local, host, ...listeningOf(own) },
    peers: peers.map((peer) => ({ piece: peer.piece, local: peer.local, host: peer.host, ...listeningOf(peer) })),
  };
}

function listeningOf({ listening }: Pick<Sandbox, 'listening'>): Pick<Sandbox, 'listening'> {
  return listening === undefined ? {} : { listening };
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
