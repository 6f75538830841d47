import { setTimeout as pause } from 'node:timers/promises';

const betweenTriesMs = 250;

/** Far more than anything takes on a machine that does other things as well: what is slow is not wrong. */
export const patienceMs = 180_000;

/** kubectl's flag for the same. */
export const patience = `--timeout=${patienceMs / 1000}s`;

/**
 * Tries until `attempt` does not throw, and returns what it returned. The cluster has to do something first, and how long
 * that takes depends on the machine; a failure tells what was last in the way.
 */
export async function eventually<T>(what: string, attempt: () => T | Promise<T>, timeoutMs = patienceMs): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline) {
        const last = error instanceof Error ? error.message : String(error);
        throw new Error(`${what}: not within ${timeoutMs / 1000} s; last: ${last}`, { cause: error });
      }
    }
    await pause(betweenTriesMs);
  }
}
