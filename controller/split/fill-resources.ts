import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { exactQuantity } from '../api/quantity.ts';
import { boundedResources, type ResourceAmounts, type ResourceDefaults } from '../api/resource-defaults.ts';
import { mapContainers, type Changed } from './map-containers.ts';
import type { Reason } from './plan.ts';

type Resources = NonNullable<IContainer['resources']>;
type Amounts = NonNullable<Resources['limits']>;

/**
 * What a SplitNetwork says for containers that state no memory or CPU, written into them. What a container states stays; a
 * default that it contradicts (a limit below its request) is not filled in.
 */
export function fillResources(pod: IPod, defaults: ResourceDefaults, network: string): Changed {
  return mapContainers(pod, (container, path) => {
    const stated = container.resources ?? {};
    const filled = boundedResources.reduce((resources, one) => fill(resources, one, defaults), stated);
    const added = (['requests', 'limits'] as const).flatMap((list) => newIn(list, stated, filled));
    if (added.length === 0) return { container };
    const reason: Reason = {
      code: 'ResourcesFilled',
      piece: container.name,
      path: `${path}.resources`,
      message: `SplitNetwork ${network} gives it ${added.join(', ')}.`,
    };
    return { container: { ...container, resources: filled }, reason };
  });
}

function fill(resources: Resources, one: keyof ResourceAmounts, { requests, limits }: ResourceDefaults): Resources {
  const statedRequest = resources.requests?.[one];
  const statedLimit = resources.limits?.[one];
  const limit = statedLimit ?? smallest(limits?.[one], statedRequest);
  // As the API server does it: a limit that is stated is the request too.
  const request = statedRequest ?? statedLimit ?? bounded(requests?.[one], limit);
  return {
    ...resources,
    ...(request === undefined ? {} : { requests: { ...resources.requests, [one]: request } }),
    ...(limit === undefined ? {} : { limits: { ...resources.limits, [one]: limit } }),
  };
}

/** The default limit, unless the container asks for more than that. */
function smallest(limit: Amount, request: Amount): Amount {
  return request === undefined || limit === undefined || valueOf(request) <= valueOf(limit) ? limit : undefined;
}

function bounded(request: Amount, limit: Amount): Amount {
  return request === undefined || (limit !== undefined && valueOf(limit) < valueOf(request)) ? limit : request;
}

type Amount = string | number | undefined;

function valueOf(amount: string | number): number {
  return exactQuantity(String(amount)) ?? Number.NaN;
}

function newIn(list: 'requests' | 'limits', stated: Resources, filled: Resources): readonly string[] {
  const before: Amounts = stated[list] ?? {};
  return Object.entries(filled[list] ?? {})
    .filter(([resource]) => before[resource] === undefined)
    .map(([resource, amount]) => `${list}.${resource} ${amount}`);
}
