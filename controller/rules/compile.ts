import { closedTable } from './closed.ts';
import { model } from './model.ts';
import { printTable, type Table } from './nft.ts';
import { redirectTable } from './redirect.ts';
import { formatWiring, wiringHash } from './wiring-json.ts';
import type { Local, Wiring } from './wiring.ts';

/** The nftables text for one piece: one transaction that replaces table inet podsplit. For nft 1.0.6 or newer. */
export function compile(wiring: Wiring, local: Local): string {
  return printTable(compileTable(wiring, local));
}

/** The same as data, to compare with what the kernel lists. Its marker is the hash of the wiring's canonical text. */
export function compileTable(wiring: Wiring, local: Local): Table {
  return redirectTable(model(wiring, local), wiringHash(formatWiring(wiring)));
}

/** The table that holds before anything is known. */
export function compileClosed(): string {
  return printTable(closedTable);
}
