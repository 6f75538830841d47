import type { Host } from '../netns/host.ts';
import { NetnsError } from '../netns/netns-error.ts';
import { maxListening, type Listening } from '../rules/observe.ts';

/** Linux' default net.ipv4.ip_local_port_range: where a resolver's or client's UDP socket waits for its answers. */
const ephemeral = { first: 32_768, last: 60_999 };
/** By whichever of these a program listens, a redirected call reaches it: it arrives at 127.0.0.1 or ::1. */
const anywhere = ['0.0.0.0', '127.0.0.1', '[::]', '[::1]', '*', '[::ffff:127.0.0.1]'];

/** @param inside the network namespace of a piece */
export async function readListening(inside: Host): Promise<readonly Listening[]> {
  const listed = await inside.run(['ss', '-Hlntu']);
  if (listed.status !== 0) throw new NetnsError('SsFailed', `ss: ${listed.stderr.trim()}`);
  return parseListening(listed.stdout);
}

/** Of `ss -Hlntu` (iproute2), sorted. A TCP socket that listens is meant to be called, at whatever port; UDP ones wait for answers too. */
export function parseListening(text: string): readonly Listening[] {
  const found = text.split('\n').flatMap((line): readonly Listening[] => {
    const [protocol, , , , local = ''] = line.trim().split(/\s+/);
    const { address = '', number } = /^(?<address>.*):(?<number>\d+)$/.exec(local)?.groups ?? {};
    const port = Number(number);
    if (number === undefined || port < 1 || !anywhere.includes(address.replace(/%[^:\]]*/, ''))) return [];
    if (protocol === 'tcp') return [{ protocol, port }];
    if (protocol !== 'udp' || (port >= ephemeral.first && port <= ephemeral.last)) return [];
    return [{ protocol, port }];
  });
  return sorted(found);
}

/**
 * What a piece listens at from now on: what it did before stays, since a connection outlives the socket that took it, unless
 * another piece took the port over. The first ones stay where there are too many.
 */
export function stillListening(
  before: readonly Listening[],
  now: readonly Listening[],
  ofOthers: readonly Listening[],
): readonly Listening[] {
  const has = (some: readonly Listening[], one: Listening): boolean =>
    some.some(({ protocol, port }) => protocol === one.protocol && port === one.port);
  const kept = before.filter((one) => has(now, one) || !has(ofOthers, one));
  const added = now.filter((one) => !has(kept, one));
  return sorted([...kept, ...added].slice(0, maxListening));
}

function sorted(some: readonly Listening[]): readonly Listening[] {
  const unique = new Map(some.map((one) => [`${one.protocol} ${one.port}`, one]));
  return [...unique.values()].sort((a, b) =>
    a.protocol === b.protocol ? a.port - b.port : a.protocol < b.protocol ? -1 : 1,
  );
}
