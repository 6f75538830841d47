import type { Host } from '../netns/host.ts';
import { canonicalAddress } from '../rules/addresses.ts';
import type { NamedSet } from '../rules/nft.ts';

interface Redirect {
  readonly family: 'ipv4' | 'ipv6';
  readonly address: string;
  readonly protocol: string;
  readonly port: string;
}

interface Tables {
  readonly sets: readonly NamedSet[];
}

/**
 * After a change of the redirect: ends the connections that the piece's own programs have to the ports that were taken or
 * added. Their packets are judged by the sets already. This is for the program: without its entry a taken connection is
 * reset by the own loopback at its next packet instead of hanging, and a datagram flow that began before its port was
 * redirected does not go on around it (a flow keeps the translation of its first packet as long as it sends).
 */
export async function cutChanged(before: Tables, after: Tables, netns: Host): Promise<void> {
  const old = redirects(before);
  const wanted = redirects(after);
  const changed = [...old].filter(([key]) => !wanted.has(key)).concat([...wanted].filter(([key]) => !old.has(key)));
  const wantedGone = new Set(changed.map(([, redirect]) => tupleOf(redirect)));
  for (const family of new Set(changed.map(([, redirect]) => redirect.family))) {
    // Of thousands of flows few have connections: those that are there are asked for, in one run.
    const listed = await netns.run(['conntrack', '-L', '-f', family]);
    const open = new Map(connections(listed.stdout, family).map((each) => [tupleOf(each), each]));
    for (const [tuple, { address, protocol, port }] of open) {
      if (!wantedGone.has(tuple)) continue;
      const selection = ['-p', protocol, '--orig-dst', address, '--orig-port-dst', port];
      await netns.run(['conntrack', '-D', '-f', family, ...selection]);
    }
  }
}

/** The original direction of each entry, as conntrack(8) prints it first in its line. */
function connections(listing: string, family: Redirect['family']): readonly Redirect[] {
  return listing.split('\n').flatMap((line) => {
    const found = /^(?<protocol>tcp|udp)\s.*?\bdst=(?<address>\S+) sport=\d+ dport=(?<port>\d+)/.exec(line)?.groups;
    const { protocol, address, port } = found ?? {};
    if (protocol === undefined || address === undefined || port === undefined) return [];
    return [{ family, protocol, address: canonicalAddress(address) ?? address, port }];
  });
}

function tupleOf({ family, address, protocol, port }: Redirect): string {
  return `${family} ${address} ${protocol} ${port}`;
}

/** Every address that means "this Pod" with every port that is redirected, by a key that names the peer too. */
function redirects(table: Tables): ReadonlyMap<string, Redirect> {
  const found = new Map<string, Redirect>();
  for (const [n, family] of [
    ['4', 'ipv4'],
    ['6', 'ipv6'],
  ] as const) {
    const called = elementsOf(table, `called${n}`);
    for (const element of elementsOf(table, `redirect${n}`)) {
      const [service = '', peer = ''] = element.split(' : ');
      const [protocol = '', port = ''] = service.split(' . ');
      for (const address of called) {
        found.set(`${address} ${protocol} ${port} ${peer}`, { family, address, protocol, port });
      }
    }
  }
  return found;
}

function elementsOf(table: Tables, name: string): readonly string[] {
  return table.sets.find((set) => set.name === name)?.elements ?? [];
}
