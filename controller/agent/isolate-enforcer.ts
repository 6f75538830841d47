import { shortHash } from '../api/identity.ts';
import type { Host } from '../netns/host.ts';
import { createTable, listTable, nft, proveMarker } from '../netns/load.ts';
import { NetnsError } from '../netns/netns-error.ts';
import { changes } from '../rules/changes.ts';
import { fingerprint } from '../rules/fingerprint.ts';
import { compileIsolateTable } from '../rules/isolate-table.ts';
import { parseIsolateWiring } from '../rules/isolate-wiring.ts';
import { differences } from '../rules/loaded.ts';
import { printTable, type Table } from '../rules/nft.ts';
import type { IsolatedSandbox } from './isolate-sandbox.ts';
import { inNetns } from './netns.ts';

/** Brings the kernel to what the sandbox of an isolated Pod shall have: one table, and nothing on the node. */
export class IsolateEnforcer {
  private readonly node: Host;
  /** By sandbox: the wiring that was loaded last, and the fingerprint of what the kernel listed first. */
  private readonly loaded = new Map<string, { readonly sandbox: IsolatedSandbox; readonly fingerprint?: string }>();

  constructor(node: Host) {
    this.node = node;
  }

  /** Whole, and proved. Gives the sandbox as it is then. */
  async install(sandbox: IsolatedSandbox): Promise<IsolatedSandbox> {
    const table = compile(sandbox);
    const netns = inNetns(sandbox.netns, this.node);
    await createTable(table, netns);
    await proveMarker(table, netns);
    this.loaded.set(sandbox.id, { sandbox });
    return { ...sandbox, loaded: hashOf(table) };
  }

  /** The least change, in one transaction; counters, records and connections stay. */
  async update(sandbox: IsolatedSandbox): Promise<IsolatedSandbox> {
    const before = this.loaded.get(sandbox.id);
    const table = compile(sandbox);
    const text = before === undefined ? undefined : changes(compile(before.sandbox), table);
    if (before === undefined || text === undefined) return this.install(sandbox);
    try {
      if (text !== '') await nft(text, inNetns(sandbox.netns, this.node));
    } catch (error) {
      // Somebody has changed the table since it was loaded: whole it is right again.
      if (!(error instanceof NetnsError)) throw error;
      return this.install(sandbox);
    }
    this.loaded.set(sandbox.id, { ...before, sandbox });
    return { ...sandbox, loaded: hashOf(table) };
  }

  /** How the table is not as it should be: a sentence each; none where it is. */
  async inspect(sandbox: IsolatedSandbox): Promise<readonly string[]> {
    const table = compile(sandbox);
    const listing = await listTable(table, inNetns(sandbox.netns, this.node));
    if (listing === undefined) return ['the table is not there'];
    const unlike = differences(table, listing);
    if (unlike.length > 0) return unlike;
    const found = fingerprint(listing);
    const known = this.loaded.get(sandbox.id);
    const isSame = known?.sandbox.wiring === sandbox.wiring;
    if (isSame && known.fingerprint !== undefined && known.fingerprint !== found) return ['rules were edited'];
    this.loaded.set(sandbox.id, { sandbox, fingerprint: found });
    return [];
  }

  /** Is what was loaded last what this version would load? */
  isCurrent(sandbox: IsolatedSandbox): boolean {
    return sandbox.loaded === hashOf(compile(sandbox));
  }

  forget(id: string): void {
    this.loaded.delete(id);
  }
}

function compile({ wiring, local }: IsolatedSandbox): Table {
  return compileIsolateTable(parseIsolateWiring(wiring), local);
}

function hashOf(table: Table): string {
  return shortHash(printTable(table), 16);
}
