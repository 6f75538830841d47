import type { KubeObject } from '../kube/resources.ts';

/** What two API servers, or two leaders, may tell of the same moment. */
const skewMs = 60_000;

/**
 * For how many ms from now an object is younger than `ageMs`; 0 where it is not. One of a time to come was made before the API
 * server's clock was set back: nobody knows how old it is, and it is no child for as long as that clock needs to catch up.
 */
export function youngFor({ metadata }: KubeObject, ageMs: number, now: number): number {
  const leftMs = Date.parse(metadata.creationTimestamp ?? '') + ageMs - now;
  return leftMs > 0 && leftMs <= ageMs + skewMs ? leftMs : 0;
}

/** Undefined where nobody knows when it was made. */
export function ageSeconds(creationTimestamp: string | undefined, now: number): number | undefined {
  const made = Date.parse(creationTimestamp ?? '');
  return Number.isNaN(made) ? undefined : Math.max(0, now - made) / 1000;
}
