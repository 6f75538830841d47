import { recordSeconds } from '../rules/redirect-sets.ts';
import type { Attempt } from './denials.ts';
import { isOwnLoopback } from './own-loopback.ts';

export interface Remembered {
  readonly attempt: Attempt;
  /** Of all tables of this sandbox so far. */
  readonly packets: number;
  /** Milliseconds since the epoch. */
  readonly lastSeen: number;
}

/** Whoever tries everything is told apart no further than this. */
const maxRemembered = 512;

/**
 * What one sandbox was denied in the last hour. The kernel's sets are small, are emptied when they are full, and begin anew
 * with the table: their counts are added up here, and kept as long as the kernel would have. What the kernel refused inside of
 * the piece is kept no longer than the kernel does, which forgets it when the port answers.
 */
export class DenialLedger {
  private readonly rows = new Map<string, Remembered & { readonly raw: number }>();

  /** @param now milliseconds since the epoch */
  take(attempts: readonly Attempt[], now: number): void {
    for (const attempt of attempts) {
      const key = keyOf(attempt);
      const before = this.rows.get(key);
      // A set that was emptied counts from zero.
      const gained =
        before === undefined || attempt.packets < before.raw ? attempt.packets : attempt.packets - before.raw;
      const isNew = before === undefined || gained > 0;
      this.rows.set(key, {
        attempt,
        raw: attempt.packets,
        packets: (before?.packets ?? 0) + gained,
        // Each packet sets the element's time anew, so that it tells when the last one came, whoever looked then.
        lastSeen: isNew ? now - 1000 * Math.max(0, recordSeconds - attempt.expiresIn) : before.lastSeen,
      });
    }
    const found = new Set(attempts.map(keyOf));
    for (const [key, { attempt, raw }] of this.rows) {
      // Not what was in a set that was emptied.
      if (isOwnLoopback(attempt) && raw > 0 && !found.has(key)) this.rows.delete(key);
    }
    this.forget(now);
  }

  /** Those elements are in no table any more: what comes is counted from zero. */
  emptied(): void {
    for (const [key, row] of this.rows) this.rows.set(key, { ...row, raw: 0 });
  }

  /** The clock was set, and what was seen before is told by the new one. */
  clockSet(byMs: number): void {
    for (const [key, row] of this.rows) this.rows.set(key, { ...row, lastSeen: row.lastSeen + byMs });
  }

  list(): readonly Remembered[] {
    return [...this.rows.values()].sort(newestFirst);
  }

  private forget(now: number): void {
    const old = this.list().filter(
      ({ lastSeen }, index) => index >= maxRemembered || now - lastSeen > recordSeconds * 1000,
    );
    for (const { attempt } of old) this.rows.delete(keyOf(attempt));
  }
}

function keyOf({ interfaceName, from, to, protocol, port, audited }: Attempt): string {
  return `${interfaceName} ${from} ${to} ${protocol} ${port}${audited === undefined ? '' : ' audited'}`;
}

/** A total order: the same rows are always told in the same one. */
function newestFirst(one: Remembered, other: Remembered): number {
  return (
    Math.floor(other.lastSeen / 1000) - Math.floor(one.lastSeen / 1000) ||
    other.packets - one.packets ||
    (keyOf(one.attempt) < keyOf(other.attempt) ? -1 : 1)
  );
}
