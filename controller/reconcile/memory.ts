import type { Clock } from '../kube/clock.ts';
import { wiringHash } from '../rules/wiring-json.ts';
import { deadlineOf } from './ending.ts';
import { outdated, type Observed } from './lifecycle.ts';
import { podIPs, type LivePod } from './piece-pod.ts';
import { waitOf, type Wait } from './placement.ts';
import type { Obstacle } from './wire.ts';
import type { SplitKey, World } from './world.ts';

/**
 * What is remembered of a split Pod between two looks. All of it is harmless to lose: times start anew. They are monotonic, so
 * that a clock that is set ends no Pod before its time, and lets none wait for an hour.
 */
export interface Memory {
  addresses: string;
  addressesSince: number;
  outdatedSince: number | undefined;
  wait: Wait | undefined;
  end: End | undefined;
  obstacle: Obstacle | undefined;
  /** When it was last said how the Pod is; at first, when it was first seen, and then when it was first seen to end. */
  toldAt: number;
}

interface End {
  /** As the API server said it. */
  readonly deadline: number;
  readonly by: number;
}

export interface MemoriesOptions {
  readonly clock: Pick<Clock, 'now' | 'monotonic'>;
  readonly world: Pick<World, 'splitsOn'>;
}

/** Of all split Pods. */
export class Memories {
  private readonly options: MemoriesOptions;
  private readonly known = new Map<SplitKey, Memory>();

  constructor(options: MemoriesOptions) {
    this.options = options;
  }

  forget(key: SplitKey): void {
    this.known.delete(key);
  }

  /** As it is now, with what was known before. */
  look(key: SplitKey, primary: LivePod | undefined, siblings: readonly LivePod[]): Memory {
    const { clock, world } = this.options;
    const now = clock.monotonic();
    const pieces = primary === undefined ? siblings : [primary, ...siblings];
    const addresses = JSON.stringify(pieces.map((piece) => [piece.uid, ...podIPs(piece)]));
    const memory = this.known.get(key) ?? {
      addresses,
      addressesSince: now,
      outdatedSince: undefined,
      wait: undefined,
      end: undefined,
      obstacle: undefined,
      toldAt: now,
    };
    if (memory.addresses !== addresses) {
      memory.addresses = addresses;
      memory.addressesSince = now;
    }
    memory.outdatedSince = outdated(pieces, wiringHash) ? (memory.outdatedSince ?? now) : undefined;
    memory.wait = waitOf({ primary, siblings }, memory.wait, { world, clock });
    // Once it is gone nobody else knows.
    const lived = memory.end === undefined;
    if (primary !== undefined) memory.end = this.endOf(primary, memory.end);
    if (lived && memory.end !== undefined) memory.toldAt = now;
    this.known.set(key, memory);
    return memory;
  }

  /** For `nextStep`, which reckons with stamps of the API server too: each time as the wall clock has it today. */
  timesOf(memory: Memory): Pick<Observed, 'addressesSince' | 'outdatedSince' | 'misfitSince' | 'endBy'> {
    const { clock } = this.options;
    const offset = clock.now() - clock.monotonic();
    const today = (at: number | undefined): number | undefined => (at === undefined ? undefined : at + offset);
    return {
      addressesSince: memory.addressesSince + offset,
      outdatedSince: today(memory.outdatedSince),
      misfitSince: today(memory.wait?.since),
      endBy: today(memory.end?.by),
    };
  }

  /** The grace runs from when the deletion is first seen on, and is never more than the whole of it. */
  private endOf(primary: LivePod, before: End | undefined): End | undefined {
    const { clock } = this.options;
    const deadline = deadlineOf(primary);
    if (deadline === undefined || deadline === before?.deadline) return before;
    const { deletionGracePeriodSeconds: grace = Number.POSITIVE_INFINITY } = primary.raw.metadata ?? {};
    const leftMs = Math.min(Math.max(0, deadline - clock.now()), grace * 1000);
    return { deadline, by: clock.monotonic() + leftMs };
  }
}
