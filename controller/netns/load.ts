import { linkDifferences, linkListing } from '../rules/links-listed.ts';
import { links } from '../rules/links.ts';
import { differences } from '../rules/loaded.ts';
import { markerName, printNewTable, printTable, type Table } from '../rules/nft.ts';
import type { Local, Wiring } from '../rules/wiring.ts';
import type { Host } from './host.ts';
import { NetnsError } from './netns-error.ts';

/** Loads a table in one transaction and proves that the kernel has it. Gives the listing that proves it. */
export async function loadTable(table: Table, host: Host): Promise<unknown> {
  await nft(printTable(table), host);
  return proveTable(table, host);
}

async function proveTable(table: Table, host: Host): Promise<unknown> {
  const listing = await listTable(table, host);
  const unlike = listing === undefined ? ['it is not there'] : differences(table, listing);
  if (unlike.length > 0) throw new NetnsError('NotLoaded', unlike.join('; '));
  return listing;
}

/** As `printNewTable` has it, and where there is one already as `printTable` has it. */
export async function createTable(table: Table, host: Host): Promise<void> {
  const created = await host.run(['nft', '-f', '-'], printNewTable(table));
  if (created.status !== 0) await nft(printTable(table), host);
}

/**
 * The marker alone, in a fraction of the time of a whole listing: it is made in the transaction that makes everything else,
 * so where it is the kernel has taken all of it. On the node, where there are many tables, it is the other way round: for a
 * counter nft reads all of them, for a table that one.
 *
 * @throws NetnsError NotLoaded
 */
export async function proveMarker({ family, name, marker }: Table, host: Host): Promise<void> {
  const listed = await host.run(
    family === 'netdev' ? ['nft', 'list', 'table', family, name] : ['nft', 'list', 'counter', family, name, markerName],
  );
  if (listed.status === 0 && listed.stdout.includes(`"${marker}"`)) return;
  throw new NetnsError(
    'NotLoaded',
    `table ${family} ${name} has another marker than was loaded: ${listed.stderr.trim()}`,
  );
}

/** One transaction: all of it, or nothing. */
export async function nft(text: string, host: Host): Promise<void> {
  const loaded = await host.run(['nft', '-f', '-'], text);
  if (loaded.status !== 0) throw new NetnsError('NftFailed', `nft -f: ${loaded.stderr.trim()}`);
}

/** As `nft -j` prints it, parsed; undefined where there is no such table. */
export async function listTable({ family, name }: Table, host: Host): Promise<unknown> {
  const listed = await host.run(['nft', '-j', 'list', 'table', family, name]);
  if (listed.status === 0) return JSON.parse(listed.stdout);
  if (listed.stderr.includes('No such file or directory')) return undefined;
  throw new NetnsError('NftFailed', `nft list: ${listed.stderr.trim()}`);
}

/** Neighbours, routes and rules. May be run again at any time. */
export async function setLinks(wiring: Wiring, local: Local, host: Host): Promise<void> {
  const { ipv4, ipv6, once } = links(wiring, local);
  // One after the other: what comes first in the first makes the kernel forget all neighbours, those of IPv6 too.
  await ip(['-4', '-batch', '-'], host, ipv4);
  if (once.length > 0) await host.run(['ip', '-4', ...once]);
  if (!(await hasIPv6(wiring, host))) return;
  await ip(['-6', '-batch', '-'], host, ipv6);
  if (once.length > 0) await host.run(['ip', '-6', ...once]);
}

/** How what the kernel lists differs from what `setLinks` sets. */
export async function inspectLinks(wiring: Wiring, local: Local, host: Host): Promise<readonly string[]> {
  const { ipv4, ipv6 } = links(wiring, local);
  const four = linkDifferences(ipv4, arrays(await ip(['-4', '-json', '-batch', '-'], host, linkListing)));
  if (!(await hasIPv6(wiring, host))) return four;
  return [...four, ...linkDifferences(ipv6, arrays(await ip(['-6', '-json', '-batch', '-'], host, linkListing)))];
}

/** A kernel without IPv6 refuses each line of it, and has no address to be taken away. */
async function hasIPv6({ pool }: Wiring, host: Host): Promise<boolean> {
  return pool.ipv6 !== undefined || (await host.read('/proc/sys/net/ipv6/conf/all/forwarding')) !== undefined;
}

/** An array for each line of a batch, one after the other. */
function arrays(text: string): readonly unknown[] {
  return text.split('\n').flatMap((line): unknown[] => (line.trim() === '' ? [] : [JSON.parse(line)].flat()));
}

export async function ip(args: readonly string[], host: Host, lines: readonly string[] = []): Promise<string> {
  const { status, stdout, stderr } = await host.run(['ip', ...args], lines.map((line) => `${line}\n`).join(''));
  if (status !== 0) throw new NetnsError('IpFailed', `ip ${args.join(' ')}: ${stderr.trim()}`);
  return stdout;
}
