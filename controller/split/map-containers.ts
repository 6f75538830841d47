import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { Reason } from './plan.ts';
import { specOf, unlessEmpty } from './pod.ts';

/** A Pod in which admission has written something, and why. The Pod itself where there was nothing to write. */
export interface Changed {
  readonly pod: IPod;
  readonly reasons: readonly Reason[];
}

type Change = (
  container: IContainer,
  path: string,
) => { readonly container: IContainer; readonly reason?: Reason | undefined };

/** Each container of the Pod, init containers first, as `change` gives it back. */
export function mapContainers(pod: IPod, change: Change): Changed {
  const spec = specOf(pod);
  const of = (list: 'initContainers' | 'containers') =>
    (spec[list] ?? []).map((container, index) => change(container, `spec.${list}[${index}]`));
  const initContainers = of('initContainers');
  const containers = of('containers');
  const reasons = [...initContainers, ...containers].flatMap(({ reason }) => reason ?? []);
  if (reasons.length === 0) return { pod, reasons };
  return {
    pod: {
      ...pod,
      spec: {
        ...spec,
        ...unlessEmpty(
          'initContainers',
          initContainers.map(({ container }) => container),
        ),
        containers: containers.map(({ container }) => container),
      },
    },
    reasons,
  };
}
