import type { IsolateWiring } from '../rules/isolate-wiring.ts';
import type { PodNetwork } from '../rules/wiring.ts';
import type { IsolatePlan } from './plan.ts';

/** @param podNetworks what policies leave of the Pod's network, by container; whoever is not in it is not restricted */
export function buildIsolateWiring(
  { containers, flows }: Pick<IsolatePlan, 'containers' | 'flows'>,
  split: string,
  podNetworks: ReadonlyMap<string, PodNetwork> = new Map(),
): IsolateWiring {
  return {
    version: 1,
    mode: 'isolate',
    split,
    containers: containers.map((container) => {
      const podNetwork = podNetworks.get(container.name);
      return podNetwork === undefined ? container : { ...container, podNetwork };
    }),
    flows,
  };
}
