import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { formatGuards, type Guard } from '../api/guards.ts';
import { userAnnotations } from '../api/names.ts';
import { exactQuantity } from '../api/quantity.ts';
import type { Refusal } from '../api/refusal.ts';
import { boundedResources } from '../api/resource-defaults.ts';
import { allContainers } from './checks/subject.ts';
import { specOf } from './pod.ts';

/**
 * The guard `resources`: a container without bounds takes what the others of its node need. One refusal for each container,
 * with all that it does not state. What the Pod as a whole states (KEP-2837) bounds no container, and neither does a limit of 0,
 * which the kubelet takes for none.
 *
 * `templates/51-resources.yaml` asks the same of what reaches the API server past the webhook.
 *
 * @param guards that hold: those that are left without this one are what to write, whoever asked for it
 */
export function missingResources(pod: IPod, guards: readonly Guard[]): readonly Refusal[] {
  const others = formatGuards(guards.filter((guard) => guard !== 'resources'));
  return allContainers(specOf(pod)).flatMap(({ container, path }): Refusal[] => {
    const missing = missingOf(container);
    if (missing.length === 0) return [];
    return [
      {
        code: 'MissingResources',
        path: `${path}.resources`,
        message: `Container ${JSON.stringify(container.name)} states no ${missing.join(', ')}.`,
        action: `State them, or set ${userAnnotations.guards} to "${others}".`,
      },
    ];
  });
}

/** Names of those of which something is missing. */
export function unboundedContainers(pod: IPod): readonly string[] {
  return allContainers(specOf(pod)).flatMap(({ container }) => (missingOf(container).length > 0 ? container.name : []));
}

/** An API server takes the limit for the request where none is stated; in a template it has not done so yet. */
function missingOf({ resources }: IContainer): readonly string[] {
  const { requests = {}, limits = {} } = resources ?? {};
  return [
    ...boundedResources.filter((one) => (requests[one] ?? limits[one]) === undefined).map((one) => `requests.${one}`),
    ...boundedResources.flatMap((one) => {
      const limit = limits[one];
      if (limit === undefined) return `limits.${one}`;
      return isZero(limit) ? `limits.${one} above 0` : [];
    }),
  ];
}

/** What does not parse is for the API server to refuse. */
function isZero(amount: string | number): boolean {
  return exactQuantity(String(amount)) === 0;
}
