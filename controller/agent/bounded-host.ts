import type { Host } from '../netns/host.ts';

/**
 * At most `most` programs of it run at the same time, and of those that `isLarge` names one; the others wait in the order in
 * which they came. A node that boots makes all its sandboxes at once, and a hundred `nft` would take each other's time and
 * the agent's memory, which the kernel charges for its children too.
 */
export function bounded(host: Host, most: number, isLarge: (program: string) => boolean = () => false): Host {
  const all = new Places(most);
  const large = new Places(1);
  const run: Host['run'] = (command, input) => all.with(() => host.run(command, input));
  return {
    ...host,
    // Who waits for the large one's place does not hold another.
    run: (command, input) => (isLarge(command[0]) ? large.with(() => run(command, input)) : run(command, input)),
  };
}

class Places {
  private taken = 0;
  private readonly most: number;
  private readonly waiting: (() => void)[] = [];

  constructor(most: number) {
    this.most = most;
  }

  async with<T>(work: () => Promise<T>): Promise<T> {
    if (this.taken >= this.most) await new Promise<void>((resolve) => this.waiting.push(resolve));
    else this.taken++;
    try {
      return await work();
    } finally {
      // The place goes from hand to hand, so that nobody who comes just now takes it.
      const next = this.waiting.shift();
      if (next === undefined) this.taken--;
      else next();
    }
  }
}
