import type { Local, Wiring } from './wiring.ts';

/** Input of `ip -4 -batch -` and `ip -6 -batch -`, in this order. */
export interface LinkBatches {
  readonly ipv4: readonly string[];
  readonly ipv6: readonly string[];
}

export function links(_wiring: Wiring, _local: Local): LinkBatches {
  throw new Error('not there yet');
}
