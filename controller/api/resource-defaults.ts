import { isRecord } from './json.ts';
import { exactQuantity } from './quantity.ts';

/** What every container states by the guard `resources`. */
export const boundedResources = ['cpu', 'memory'] as const;

/** `spec.resources` of a SplitNetwork: what admission fills into containers that state nothing. Quantities. */
export interface ResourceDefaults {
  readonly requests?: ResourceAmounts;
  readonly limits?: ResourceAmounts;
}

export interface ResourceAmounts {
  readonly cpu?: string | number;
  readonly memory?: string | number;
}

/** For a manifest that no API server has looked at: what is wrong with it, as paths below `spec.resources`. */
export function resourceDefaultsFaults(value: unknown): readonly string[] {
  if (!isRecord(value)) return [''];
  return Object.entries(value).flatMap(([list, amounts]) => {
    if (list !== 'requests' && list !== 'limits') return [`.${list}`];
    if (!isRecord(amounts)) return [`.${list}`];
    return Object.entries(amounts).flatMap(([resource, amount]) =>
      boundedResources.some((one) => one === resource) && isAmount(amount) ? [] : [`.${list}.${resource}`],
    );
  });
}

/** What of it can be read: all, where `resourceDefaultsFaults` finds nothing. */
export function readResourceDefaults(value: unknown): ResourceDefaults {
  const lists = isRecord(value) ? value : {};
  const amounts = (list: unknown): ResourceAmounts =>
    Object.fromEntries(
      boundedResources.flatMap((resource): [string, string | number][] => {
        const amount = isRecord(list) ? list[resource] : undefined;
        return isAmount(amount) ? [[resource, amount]] : [];
      }),
    );
  return { requests: amounts(lists['requests']), limits: amounts(lists['limits']) };
}

function isAmount(value: unknown): value is string | number {
  if (typeof value !== 'string' && typeof value !== 'number') return false;
  const exact = exactQuantity(String(value));
  return exact !== undefined && exact > 0;
}
