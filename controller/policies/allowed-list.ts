import { addressOf, families, type Family } from '../rules/addresses.ts';
import type { Allowed, PolicyProtocol, PortRange } from '../rules/wiring.ts';
import type { AddressRange } from './address-range.ts';

/** What one rule opens at one range of addresses; any number of them may overlap. */
export interface Opening extends AddressRange {
  /** Absent: whatever is not TCP, UDP or SCTP too. */
  readonly protocol?: PolicyProtocol;
  /** Absent: every port. */
  readonly ports?: PortRange;
}

export const everyPort: PortRange = { first: 0, last: 65535 };

/**
 * The same as few ranges that do not overlap, sorted: one list for one meaning, so that a wiring's text changes with its
 * meaning only. Undefined where there would be more than `most`.
 */
export function allowedList(openings: readonly Opening[], most = Infinity): readonly Allowed[] | undefined {
  const list: Allowed[] = [];
  for (const family of families) {
    const rows = sweep(
      openings.filter((opening) => opening.family === family),
      most - list.length,
    );
    if (rows === undefined) return undefined;
    list.push(...rows.toSorted(byPlace).map((row) => allowedOf(row, family)));
  }
  return list;
}

/** A protocol's ports, or everything. */
interface Service {
  readonly protocol?: PolicyProtocol;
  readonly ports: PortRange;
}

interface Row {
  readonly service: Service;
  readonly first: bigint;
  last: bigint;
}

/**
 * Between two neighbouring bounds of addresses the same openings hold: there their ports are merged, and a service that
 * goes on in the next segment goes on in the same row.
 */
function sweep(openings: readonly Opening[], most: number): readonly Row[] | undefined {
  const rows: Row[] = [];
  let open = new Map<string, Row>();
  for (const { first, last, active } of segments(openings)) {
    const next = new Map<string, Row>();
    for (const service of servicesOf(active)) {
      const key = `${service.protocol ?? ''} ${service.ports.first}-${service.ports.last}`;
      const row = open.get(key) ?? { service, first, last };
      if (!open.has(key)) rows.push(row);
      row.last = last;
      next.set(key, row);
    }
    if (rows.length > most) return undefined;
    open = next;
  }
  return rows;
}

interface Segment {
  readonly first: bigint;
  readonly last: bigint;
  readonly active: ReadonlySet<Opening>;
}

/** In order, without gaps: where nothing is open the segment has no openings. */
function* segments(openings: readonly Opening[]): Generator<Segment> {
  const starts = openings.toSorted((a, b) => compare(a.first, b.first));
  const ends = openings.toSorted((a, b) => compare(a.last, b.last));
  const active = new Set<Opening>();
  let [started, ended] = [0, 0];
  let first = starts[0]?.first;
  while (first !== undefined && ended < ends.length) {
    for (let opening = starts[started]; opening?.first === first; opening = starts[++started]) active.add(opening);
    const nextStart = starts[started]?.first;
    const nextEnd = ends[ended]?.last ?? first;
    const last: bigint = nextStart !== undefined && nextStart <= nextEnd ? nextStart - 1n : nextEnd;
    yield { first, last, active };
    for (let opening = ends[ended]; opening?.last === last; opening = ends[++ended]) active.delete(opening);
    first = last + 1n;
  }
}

/** Everything swallows the rest; ports of one protocol that overlap or touch are one range. */
function servicesOf(active: ReadonlySet<Opening>): readonly Service[] {
  const byProtocol = new Map<PolicyProtocol, PortRange[]>();
  for (const { protocol, ports = everyPort } of active) {
    if (protocol === undefined) return [{ ports: everyPort }];
    const ranges = byProtocol.get(protocol);
    if (ranges === undefined) byProtocol.set(protocol, [ports]);
    else ranges.push(ports);
  }
  return [...byProtocol].flatMap(([protocol, ranges]) => mergePorts(ranges).map((ports) => ({ protocol, ports })));
}

function mergePorts(ranges: readonly PortRange[]): readonly PortRange[] {
  const merged: PortRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
    const before = merged.at(-1);
    if (before === undefined || range.first > before.last + 1) merged.push(range);
    else merged[merged.length - 1] = { first: before.first, last: Math.max(before.last, range.last) };
  }
  return merged;
}

function byPlace(a: Row, b: Row): number {
  return (
    compare(a.first, b.first) ||
    compare(a.service.protocol ?? '', b.service.protocol ?? '') ||
    a.service.ports.first - b.service.ports.first
  );
}

function compare<T extends bigint | string>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function allowedOf({ service: { protocol, ports }, first, last }: Row, family: Family): Allowed {
  const every = ports.first === everyPort.first && ports.last === everyPort.last;
  return {
    addresses: `${addressOf(first, family)}-${addressOf(last, family)}`,
    ...(protocol === undefined ? {} : { protocol }),
    ...(every ? {} : { ports }),
  };
}
