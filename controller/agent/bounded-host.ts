import type { Host } from '../netns/host.ts';

/**
 * At most `most` programs of it run at the same time; the others wait in the order in which they came. A node that boots
 * makes all its sandboxes at once, and a hundred `nft` would take each other's time and the agent's memory, which the
 * kernel charges for its children too.
 */
export function bounded(host: Host, most: number): Host {
  let running = 0;
  const waiting: (() => void)[] = [];
  return {
    ...host,
    run: async (command, input) => {
      if (running >= most) await new Promise<void>((resolve) => waiting.push(resolve));
      else running++;
      try {
        return await host.run(command, input);
      } finally {
        // The place goes from hand to hand, so that nobody who comes just now takes it.
        const next = waiting.shift();
        if (next === undefined) running--;
        else next();
      }
    },
  };
}
