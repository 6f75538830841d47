import type { SplitOptions } from '../../controller/split/plan.ts';
import { split } from '../../controller/split/split.ts';
import { benchPod } from './pod.ts';
import type { Figure } from './figures.ts';

const options: SplitOptions = {
  image: 'podsplit.local/podsplit:dev',
  maxContainers: 30,
  install: { otherwise: 'node', byNetwork: new Map() },
};

/** Decisions a second on one core, after a warm-up: admission's lower bound. */
export function benchCore(): readonly Figure[] {
  return [3, 10].map((containers) => {
    const pod = benchPod(containers);
    const run = (milliseconds: number): number => {
      const end = performance.now() + milliseconds;
      let count = 0;
      while (performance.now() < end) {
        if (split(pod, options).kind !== 'split') throw new Error('the benchmark’s Pod is not split');
        count++;
      }
      return count / (milliseconds / 1000);
    };
    run(500);
    return { name: `split() of a ${containers}-container Pod`, value: `${Math.round(run(2000))} a second` };
  });
}
