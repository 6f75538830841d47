import { sameFlow } from '../api/flow.ts';
import type { ObservedUse } from '../api/resources.ts';
import { peerInterface } from '../api/names.ts';
import { isRecord } from '../api/json.ts';
import { timestamp } from '../api/timestamp.ts';
import { usedSeconds, usedSize } from '../rules/observe.ts';
import { parseWiring } from '../rules/wiring-json.ts';
import type { Wiring } from '../rules/wiring.ts';
import { attemptsIn, setsOf, type Attempt } from './denials.ts';
import type { Sandbox } from './sandbox.ts';

/** What a piece's table has recorded of the connections that it opened. */
export interface Used {
  readonly uses: readonly Attempt[];
  /** Names of the sets that take no others any more. */
  readonly full: readonly string[];
}

/** Of `nft -j list table`, parsed. */
export function parseUsed(listing: unknown): Used {
  const all: readonly unknown[] = isRecord(listing) && Array.isArray(listing['nftables']) ? listing['nftables'] : [];
  const sets = setsOf(all, ['used4', 'used6']);
  return {
    uses: sets.flatMap((set) => attemptsIn(set, usedSeconds)),
    full: sets.filter((set) => attemptsIn(set, usedSeconds).length >= usedSize).map(({ name }) => String(name)),
  };
}

interface Row {
  readonly use: Attempt;
  readonly raw: number;
  readonly connections: number;
  /** Milliseconds since the epoch. */
  readonly lastSeen: number;
}

const maxRemembered = 1024;

/** What one sandbox used since it is observed: the kernel's sets are emptied when they are full, and begin anew with the table. */
export class UseLedger {
  private rows = new Map<string, Row>();

  take(uses: readonly Attempt[], now: number): void {
    for (const use of uses) {
      const key = [use.interfaceName, use.from, use.to, use.protocol, use.port].join(' ');
      const before = this.rows.get(key);
      const gained = before === undefined || use.packets < before.raw ? use.packets : use.packets - before.raw;
      const lastSeen = now - 1000 * Math.max(0, usedSeconds - use.expiresIn);
      this.rows.set(key, {
        use,
        raw: use.packets,
        connections: (before?.connections ?? 0) + gained,
        lastSeen: before === undefined || gained > 0 ? lastSeen : before.lastSeen,
      });
    }
    if (this.rows.size <= maxRemembered) return;
    const newest = [...this.rows].sort(([, one], [, other]) => other.lastSeen - one.lastSeen);
    this.rows = new Map(newest.slice(0, maxRemembered));
  }

  emptied(): void {
    for (const [key, row] of this.rows) this.rows.set(key, { ...row, raw: 0 });
  }

  /** The clock was set, and what was seen before is told by the new one. */
  clockSet(byMs: number): void {
    for (const [key, row] of this.rows) this.rows.set(key, { ...row, lastSeen: row.lastSeen + byMs });
  }

  list(): readonly Pick<Row, 'use' | 'connections' | 'lastSeen'>[] {
    return [...this.rows.values()];
  }
}

/** In the words of the Pod, and whether its flows would have denied it. */
export function usesOf(ledger: UseLedger, sandbox: Pick<Sandbox, 'wiring'>): readonly ObservedUse[] {
  const wiring = parseWiring(sandbox.wiring);
  return together(ledger, (use) => useOf(use, wiring));
}

export type UseOfPod = Omit<ObservedUse, 'connections' | 'lastSeen'>;

/** What the ledger's rows have in common with others is added up: both families, as a flow has none. */
export function together(ledger: UseLedger, useOf: (use: Attempt) => UseOfPod): readonly ObservedUse[] {
  const rows = new Map<string, ObservedUse>();
  for (const { use, connections, lastSeen } of ledger.list()) {
    const one = { ...useOf(use), connections, lastSeen: timestamp(lastSeen) };
    const key = JSON.stringify([one.from, one.to, one.network, one.protocol, one.port]);
    const before = rows.get(key);
    rows.set(key, before === undefined ? one : joined(before, one));
  }
  return [...rows.values()];
}

function useOf(use: Attempt, wiring: Wiring): UseOfPod {
  const network = use.interfaceName === peerInterface ? 'peer' : 'pod';
  const peer = wiring.peers.find(({ ipv4, ipv6 }) => ipv4 === use.to || ipv6 === use.to)?.name;
  const to = network === 'peer' ? (peer ?? use.to) : use.to;
  const { port, protocol } = use;
  const flow = { from: wiring.piece, to, port, protocol };
  return { ...flow, network, wouldDeny: network === 'peer' && !wiring.flows.some((one) => sameFlow(one, flow)) };
}

function joined(one: ObservedUse, other: ObservedUse): ObservedUse {
  const lastSeen = one.lastSeen < other.lastSeen ? other.lastSeen : one.lastSeen;
  return { ...one, connections: one.connections + other.connections, lastSeen };
}
