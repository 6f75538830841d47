import { quote, refusal, unknownContainer, type Context, type Parsed } from './annotation-context.ts';
import { userAnnotations } from './names.ts';
import type { Refusal } from './refusal.ts';

/** `none`: no name is resolved. `cluster`: the cluster's DNS and nothing else. `proxy`: every query is the proxy's. */
export const egressDnsModes = ['none', 'cluster', 'proxy'] as const;

export type EgressDns = (typeof egressDnsModes)[number];

/** One entry of `podsplit.io/egress-via`: `from` goes out by `to` and by nothing else. */
export interface IntendedVia {
  readonly from: string;
  readonly to: string;
  /** Where all its TCP is carried to. Absent: it calls the proxy itself, by flows. */
  readonly port?: number;
  readonly dns: EgressDns;
}

const grammar = 'FROM->PROXY:PORT (all TCP is carried there) or FROM->PROXY (the program calls its proxy by flows)';

/** Both annotations: who goes out by whom, and what becomes of name resolution. */
export function parseEgressVia(at: Context): Parsed<readonly IntendedVia[]> {
  const dns = parseDns(at);
  const text = at.values.get(userAnnotations.egressVia);
  if (text === undefined) return 'refusals' in dns ? dns : { value: [] };
  const entries = text
    .split(',')
    .slice(0, at.containers.length + 1)
    .map((entry) => parseEntry(at, entry.trim()));
  const parsed = entries.flatMap((entry) => ('value' in entry ? [entry.value] : []));
  const refusals = [
    ...entries.flatMap((entry) => ('refusals' in entry ? entry.refusals : [])),
    ...contradictions(at, parsed),
    ...('refusals' in dns ? dns.refusals : []),
  ];
  if (refusals.length > 0 || 'refusals' in dns) return { refusals };
  return { value: parsed.map((entry) => ({ ...entry, dns: dns.value })) };
}

function parseDns(at: Context): Parsed<EgressDns> {
  const text = at.values.get(userAnnotations.egressDns);
  if (text === undefined) return { value: 'none' };
  const path = at.path(userAnnotations.egressDns);
  const refused = (message: string, action: string): Parsed<EgressDns> => ({
    refusals: [refusal('InvalidEgressDns', path, message, action)],
  });
  if (!at.values.has(userAnnotations.egressVia)) {
    return refused('No container is kept from the outside.', `Remove it, or set ${userAnnotations.egressVia} too.`);
  }
  const mode = egressDnsModes.find((each) => each === text);
  if (mode !== undefined) return { value: mode };
  return refused(`${quote(text)} is not known.`, `Set it to ${egressDnsModes.map(quote).join(', ')}, or remove it.`);
}

type Entry = Omit<IntendedVia, 'dns'>;

const entryPattern = /^(?<from>[^\s>:]+?)\s*->\s*(?<to>[^\s>:]+)(?::(?<port>.*))?$/;

function parseEntry(at: Context, entry: string): Parsed<Entry> {
  const path = at.path(userAnnotations.egressVia);
  const { from, to, port } = entryPattern.exec(entry)?.groups ?? {};
  if (from === undefined || to === undefined) {
    return { refusals: [invalid(at, `${quote(entry)} names no way out.`, `Write ${grammar}.`)] };
  }
  const refusals = [from, to]
    .filter((name) => !at.containers.includes(name))
    .map((name) => unknownContainer(at, path, name));
  if (from === to) {
    refusals.push(invalid(at, `${quote(entry)} leads from a container to itself.`, 'Name another as its way out.'));
  }
  const number = port !== undefined && /^[1-9][0-9]{0,4}$/.test(port) ? Number(port) : 0;
  if (port !== undefined && (number < 1 || number > 65535)) {
    refusals.push(invalid(at, `${quote(entry)} has port ${quote(port)}.`, 'Use a number from 1 to 65535, or none.'));
  }
  if (refusals.length > 0) return { refusals };
  return { value: { from, to, ...(port === undefined ? {} : { port: number }) } };
}

/** A container has one way out, and a proxy that is kept in itself would lead nowhere, or in a circle. */
function contradictions(at: Context, entries: readonly Entry[]): readonly Refusal[] {
  return entries.flatMap(({ from, to }, i) => [
    ...(entries.findIndex((other) => other.from === from) < i
      ? [invalid(at, `${quote(from)} has two ways out.`, 'Name one.')]
      : []),
    ...(entries.some((other) => other.from === to && other.to !== to)
      ? [invalid(at, `${quote(to)} is to be a way out, and has one of its own.`, 'Name one that has none.')]
      : []),
  ]);
}

function invalid(at: Context, message: string, action: string): Refusal {
  return refusal('InvalidEgressVia', at.path(userAnnotations.egressVia), message, action);
}
