import type { Flow } from '../api/flow.ts';
import type { IsolateWiring } from '../rules/isolate-wiring.ts';
import type { Observed, PodNetwork, WiringVia } from '../rules/wiring.ts';
import { viaOf } from '../split/wire.ts';
import type { IsolatePlan } from './plan.ts';

/** What policies make of an isolated Pod, on top of its annotations. */
export interface IsolatePolicies {
  /** All that passes between its containers. */
  readonly flows: readonly Flow[];
  /** What they leave of the Pod's network, by container; whoever is not in it is not restricted. */
  readonly podNetwork: ReadonlyMap<string, PodNetwork>;
  /** Of the flows those that policies that audit would refuse. */
  readonly auditedFlows: readonly Flow[];
  /** Whose only way out is whose: of policies and annotation. */
  readonly via: readonly WiringVia[];
  /** Whose calls, and calls to whom, no policy has a say in. Absent where no policy selects the Pod. */
  readonly unselected?: Observed;
}

/** Where there are no policies. */
export function withoutPolicies({ flows, via }: Pick<IsolatePlan, 'flows' | 'via'>): IsolatePolicies {
  return { flows, podNetwork: new Map(), auditedFlows: [], via };
}

export interface IsolateWiringInput {
  readonly plan: Pick<IsolatePlan, 'containers' | 'observe'>;
  readonly split: string;
  readonly policies: IsolatePolicies;
  /** Addresses of the cluster's DNS, for containers that may ask it and nobody else. */
  readonly resolvers: readonly string[];
}

export function buildIsolateWiring({ plan, split, policies, resolvers }: IsolateWiringInput): IsolateWiring {
  const { containers, observe } = plan;
  const { flows, podNetwork, auditedFlows, via, unselected } = policies;
  const names = containers.map(({ name }) => name).sort();
  return {
    version: 1,
    mode: 'isolate',
    split,
    containers: containers.map((container) => {
      const own = podNetwork.get(container.name);
      return own === undefined ? container : { ...container, podNetwork: own };
    }),
    flows,
    ...(auditedFlows.length === 0 ? {} : { auditedFlows }),
    ...viaOf(via, resolvers),
    ...(observe === undefined ? {} : { observe: unselected ?? { from: names, to: names } }),
  };
}
