import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import type { InstallMode } from '../../api/install.ts';
import type { Refusal } from '../../api/refusal.ts';
import type { Division } from '../divide.ts';
import type { SplitOptions } from '../plan.ts';
import { isNativeSidecar } from '../pod.ts';

/** A reason not to split, of the code that the table in checks.ts gives the check. */
export type Finding = Omit<Refusal, 'code'>;

export interface Subject {
  /** The whole Pod. */
  readonly pod: IPod;
  readonly options: SplitOptions;
}

export interface DividedSubject extends Subject {
  readonly division: Division;
  readonly install: InstallMode;
}

/** Init containers too: they run in the primary piece, after its rules were loaded, or are pieces themselves. */
export function allContainers(spec: IPodSpec): readonly { readonly container: IContainer; readonly path: string }[] {
  return [...indexed(spec.initContainers, 'spec.initContainers'), ...indexed(spec.containers, 'spec.containers')].map(
    ({ item, path }) => ({ container: item, path }),
  );
}

/** Those that run side by side, in the order of `runningContainers`. */
export function piecesToBe(spec: IPodSpec): readonly { readonly item: IContainer; readonly path: string }[] {
  return [
    ...indexed(spec.containers, 'spec.containers'),
    ...indexed(spec.initContainers, 'spec.initContainers').filter(({ item }) => isNativeSidecar(item)),
  ];
}

/** The elements of a list with their paths. */
export function indexed<T>(
  items: readonly T[] | undefined,
  path: string,
): readonly { readonly item: T; readonly path: string }[] {
  return (items ?? []).map((item, index) => ({ item, path: `${path}[${index}]` }));
}
