import { isRecord } from '../api/json.ts';
import { peerInterface } from '../api/names.ts';
import type { Denial } from '../api/resources.ts';
import type { Host } from '../netns/host.ts';
import { nft } from '../netns/load.ts';
import { NetnsError } from '../netns/netns-error.ts';
import { markerName, tableName } from '../rules/nft.ts';
import type { Protocol } from '../api/flow.ts';
import { recordSeconds, recordSize } from '../rules/redirect-sets.ts';
import { parseWiring } from '../rules/wiring-json.ts';
import { inNetns } from './netns.ts';
import { isOwnLoopback, meantAtLoopback } from './own-loopback.ts';
import type { Sandbox } from './sandbox.ts';

/** What a piece's table has counted and recorded so far. */
export interface Recorded {
  /** Packets by counter: `denied_in`, `spoofed`, … */
  readonly counters: Readonly<Record<string, number>>;
  readonly attempts: readonly Attempt[];
  /** Names of the sets that take no other attempts any more. */
  readonly full: readonly string[];
}

/** One element of the sets `tried4` and `tried6`, or `audited4` and `audited6`, which the kernel bounds (rules/redirect-sets.ts). */
export interface Attempt {
  /** In an isolated Pod the mark in its place, which says who called and who answered (rules/isolate-model.ts). */
  readonly interfaceName: string;
  readonly from: string;
  readonly to: string;
  readonly protocol: Protocol;
  readonly port: number;
  readonly packets: number;
  /** It passed: policies that audit would refuse it. */
  readonly audited?: true;
  /** Seconds until the kernel forgets it: counted from its last packet. */
  readonly expiresIn: number;
}

/** The whole table at once: nft 1.0.6 lists no two things in one run. */
export async function readRecords(sandbox: Pick<Sandbox, 'netns'>, node: Host): Promise<Recorded> {
  const listed = await inNetns(sandbox.netns, node).run(['nft', '-j', 'list', 'table', 'inet', tableName]);
  if (listed.status !== 0) throw new NetnsError('NftFailed', `nft list: ${listed.stderr.trim()}`);
  return parseRecords(JSON.parse(listed.stdout));
}

export function parseRecords(listing: unknown): Recorded {
  const all: readonly unknown[] = isRecord(listing) && Array.isArray(listing['nftables']) ? listing['nftables'] : [];
  const objects = all.filter((each) => isRecord(each));
  const counters = objects
    .flatMap(({ counter }) => (isRecord(counter) ? [counter] : []))
    .filter(({ name }) => name !== markerName);
  const tried = setsOf(objects, ['tried4', 'tried6']);
  const audited = setsOf(objects, ['audited4', 'audited6']);
  return {
    counters: Object.fromEntries(counters.map((each) => [String(each['name']), Number(each['packets'])])),
    attempts: [
      ...tried.flatMap((set) => attemptsIn(set, recordSeconds)),
      ...audited.flatMap((set) => attemptsIn(set, recordSeconds)).map((each) => ({ ...each, audited: true as const })),
    ],
    full: [...tried, ...audited].filter((set) => elementsOf(set).length >= recordSize).map(({ name }) => String(name)),
  };
}

/**
 * Empties full sets. Otherwise an attacker fills them with nonsense, and what it tries then is dropped, but not recorded for
 * an hour.
 */
export async function emptyRecords(
  full: readonly string[],
  sandbox: Pick<Sandbox, 'netns'>,
  node: Host,
): Promise<void> {
  await nft(full.map((name) => `flush set inet ${tableName} ${name}\n`).join(''), inNetns(sandbox.netns, node));
}

/** Of the objects that `nft -j` lists. */
export function setsOf(
  objects: readonly unknown[],
  names: readonly string[],
): readonly Readonly<Record<string, unknown>>[] {
  return objects
    .flatMap((object) => (isRecord(object) && isRecord(object['set']) ? [object['set']] : []))
    .filter(({ name }) => names.includes(String(name)));
}

/** @param seconds after which the set forgets an element */
export function attemptsIn(set: Readonly<Record<string, unknown>>, seconds: number): readonly Attempt[] {
  return elementsOf(set).flatMap((element) => attemptOf(element, seconds));
}

function elementsOf(set: Readonly<Record<string, unknown>>): readonly unknown[] {
  return Array.isArray(set['elem']) ? set['elem'] : [];
}

function attemptOf(element: unknown, seconds: number): readonly Attempt[] {
  const { val, counter, expires } = isRecord(element) && isRecord(element['elem']) ? element['elem'] : {};
  const parts = isRecord(val) && Array.isArray(val['concat']) ? (val['concat'] as unknown[]) : [];
  const [interfaceName, from, to, protocol, port] = parts;
  const known = protocolOf(protocol);
  if (known === undefined) return [];
  return [
    {
      interfaceName: String(interfaceName),
      from: String(from),
      to: String(to),
      protocol: known,
      port: Number(port),
      packets: isRecord(counter) ? Number(counter['packets']) : 0,
      expiresIn: Number(expires ?? seconds),
    },
  ];
}

function protocolOf(value: unknown): Protocol | undefined {
  if (value === 6 || value === 'tcp') return 'tcp';
  return value === 17 || value === 'udp' ? 'udp' : undefined;
}

/**
 * An attempt in the words of the Pod: which container wanted what of which.
 *
 * @param peers the other sandboxes of the same Pod
 */
export function denialOf(attempt: Attempt, sandbox: Sandbox, peers: readonly Sandbox[], lastSeen: string): Denial {
  const wiring = parseWiring(sandbox.wiring);
  if (isOwnLoopback(attempt)) {
    const { packets, port, protocol, to: address } = attempt;
    const to = meantAtLoopback(attempt, wiring) ?? address;
    const from = sandbox.piece;
    return { from, to, address, port, protocol, network: 'loopback', seenBy: from, packets, lastSeen };
  }
  const own = new Set([wiring.self.ipv4, wiring.self.ipv6, ...sandbox.local.podIPs]);
  const outgoing = own.has(attempt.from) || attempt.from === '127.0.0.1' || attempt.from === '::1';
  const other = outgoing ? attempt.to : attempt.from;
  const peer =
    wiring.peers.find(({ ipv4, ipv6 }) => ipv4 === other || ipv6 === other)?.name ??
    peers.find(({ local }) => local.podIPs.includes(other))?.piece;
  const network = attempt.interfaceName === peerInterface ? 'peer' : 'pod';
  // By the Pod's own Service: the primary judges for the sibling that serves the port.
  const served = network === 'pod' && peer !== undefined && sandbox.isPrimary;
  const server = served
    ? wiring.facade.find(({ protocol, port }) => protocol === attempt.protocol && port === attempt.port)?.piece
    : undefined;
  return {
    from: outgoing ? sandbox.piece : (peer ?? other),
    to: outgoing ? (peer ?? other) : (server ?? sandbox.piece),
    address: attempt.to,
    port: attempt.port,
    protocol: attempt.protocol,
    network,
    seenBy: sandbox.piece,
    packets: attempt.packets,
    ...(attempt.audited === undefined ? {} : { audited: true }),
    lastSeen,
  };
}
