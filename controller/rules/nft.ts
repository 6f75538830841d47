/** A table as data: printed for `nft -f`, and compared with what `nft -j list` says is loaded. */
export interface Table {
  /** `inet` in a piece, `netdev` on the node's end of its links. */
  readonly family: 'inet' | 'netdev';
  readonly name: string;
  /** Proves which table is loaded: the comment of the counter `wiring`, in the same transaction as everything else. */
  readonly marker: string;
  readonly counters: readonly string[];
  readonly sets: readonly NamedSet[];
  readonly chains: readonly Chain[];
}

export interface NamedSet {
  readonly name: string;
  /** `type ether_addr . ipv4_addr`; a map has `: ipv4_addr` behind it. */
  readonly type: string;
  /**
   * `interval` sets merge what overlaps, so what is listed may be fewer than what was loaded. In `ranges` each part of a
   * key may be a range, written as `first-last`; nothing may overlap.
   */
  readonly kind: 'set' | 'map' | 'interval' | 'ranges' | 'dynamic';
  /** Further properties of dynamic sets. */
  readonly properties?: string;
  readonly elements: readonly string[];
  readonly comment: string;
}

export interface Chain {
  readonly name: string;
  readonly base?: BaseChain;
  readonly comment: string;
  readonly rules: readonly string[];
}

export type BaseChain = InetBase | DeviceBase;

interface InetBase {
  readonly type: 'filter' | 'nat' | 'route';
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';
  readonly priority: number;
  readonly policy: 'accept' | 'drop';
}

/** Only in a netdev table: all frames that come in by one device, before bridging and routing see them, or go out by it. */
interface DeviceBase {
  readonly type: 'filter';
  readonly hook: 'ingress' | 'egress';
  readonly device: string;
  readonly priority: number;
  readonly policy: 'accept' | 'drop';
}

export const tableName = 'podsplit';
export const markerName = 'wiring';

/**
 * Netfilter's hook priorities (nft(8), "standard priority names"); -400 is conntrack's defragmentation, -200 conntrack.
 * `ingress` is before what others on the node hook there.
 */
export const priority = {
  ingress: -500,
  raw: -300,
  mangle: -150,
  dnat: -100,
  filter: 0,
  snat: 100,
  afterSnat: 150,
} as const;

/** One transaction: the table named first so that deleting it cannot fail. In two, NAT'd connections would be reset. */
export function printTable(table: Table): string {
  const named = `table ${table.family} ${table.name}`;
  return `${named}\ndelete ${named}\n${printBody(table)}`;
}

/** The same for a table that is not there yet, else nft refuses it: the kernel waits a grace period for what is deleted. */
export function printNewTable(table: Table): string {
  return `create table ${table.family} ${table.name}\n${printBody(table)}`;
}

function printBody(table: Table): string {
  const blocks = [
    `\tcounter ${markerName} { comment "${table.marker}"; }`,
    ...table.counters.map((name) => `\tcounter ${name} { }`),
    ...table.sets.map(printSet),
    ...table.chains.map(printChain),
  ];
  return `table ${table.family} ${table.name} {\n${blocks.join('\n')}\n}\n`;
}

/** A device as nft writes it. What a kernel allows in a device's name includes the quote and the wildcard of nft. */
export function deviceName(name: string): string {
  if (!/^[A-Za-z0-9_.@:-]{1,15}$/.test(name)) throw new TypeError(`no device that podsplit filters: ${name}`);
  return `"${name}"`;
}

function printSet(set: NamedSet): string {
  const flags = {
    set: '',
    map: '',
    interval: ' flags interval; auto-merge;',
    ranges: ' flags interval;',
    dynamic: '',
  }[set.kind];
  const lines = [
    `\t# ${set.comment}`,
    `\t${set.kind === 'map' ? 'map' : 'set'} ${set.name} {`,
    `\t\ttype ${set.type};${flags}`,
    ...(set.properties === undefined ? [] : [`\t\t${set.properties}`]),
    ...(set.elements.length === 0 ? [] : [`\t\telements = { ${set.elements.join(', ')} }`]),
    '\t}',
  ];
  return lines.join('\n');
}

function printChain({ name, base, comment, rules }: Chain): string {
  const lines = [`\t# ${comment}`, `\tchain ${name} {`];
  if (base !== undefined) {
    const device = 'device' in base ? ` device ${deviceName(base.device)}` : '';
    lines.push(`\t\ttype ${base.type} hook ${base.hook}${device} priority ${base.priority}; policy ${base.policy};`);
  }
  return [...lines, ...rules.map((rule) => `\t\t${rule}`), '\t}'].join('\n');
}
