import type { WorkloadRef } from '../../../controller/api/identity.ts';
import type { LivePod } from '../../../controller/reconcile/piece-pod.ts';

/** Gives an address to each piece of split Pods. */
export interface Allocator {
  /** As figures call it. */
  readonly name: string;
  /** The user name under which it writes. */
  readonly user: string;
  claim(pods: readonly WiredPod[]): Promise<readonly Claimed[]>;
  /** As if nothing had ever been claimed. */
  clear(): Promise<void>;
}

/** A split Pod that runs, with all of its pieces: the primary is one of them. */
export interface WiredPod {
  readonly primary: LivePod;
  readonly pieces: readonly LivePod[];
  readonly workload: WorkloadRef;
}

/** One piece's. */
export interface Claimed {
  /** Without the length of its prefix; empty if there is none. */
  readonly address: string;
  /** From the call that asked for it. */
  readonly afterMs: number;
}
