import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';
import type { DeclaredPort } from '../api/flow.ts';
import { indexed } from '../split/checks/subject.ts';
import { declaredPortsOf, isNativeSidecar, specOf } from '../split/pod.ts';
import type { Labels } from '../split/namespace-defaults.ts';
import { powersOf, type Powers } from './capabilities.ts';
import type { Modes } from './modes.ts';

/** A whole Pod under audit. */
export interface Subject {
  readonly pod: IPod;
  readonly spec: IPodSpec;
  /** In the order in which they start. */
  readonly members: readonly Member[];
  /** Those of them that run side by side. */
  readonly running: readonly Member[];
  readonly facts: Facts;
  readonly modes: Modes;
}

/** What the Pod itself does not say. */
export interface Facts {
  /** The ServiceAccount admission plugin has been there: who has a token has a volume of it. */
  readonly admitted: boolean;
  /** False where the Pod's ServiceAccount is known to say so. */
  readonly accountMountsToken: boolean;
  /** podsplit's, of the Pod's namespace, where it has some. */
  readonly namespaceLabels?: Labels;
  /** NetworkPolicies that restrict the Pod's egress. */
  readonly egressPolicies: readonly string[];
}

export interface Member {
  readonly name: string;
  readonly container: IContainer;
  readonly path: string;
  readonly kind: 'container' | 'sidecar' | 'init';
  readonly powers: Powers;
  readonly ports: readonly DeclaredPort[];
}

/** `running` in the order of the Pod: containers, then native sidecars. */
export function subjectOf(pod: IPod, facts: Facts, modes: Modes): Subject {
  const spec = specOf(pod);
  const member = (container: IContainer, path: string, kind: Member['kind']): Member => ({
    name: container.name,
    container,
    path,
    kind,
    powers: powersOf(container, spec),
    ports: declaredPortsOf(container),
  });
  const inits = indexed(spec.initContainers, 'spec.initContainers').map(({ item, path }) =>
    member(item, path, isNativeSidecar(item) ? 'sidecar' : 'init'),
  );
  const containers = indexed(spec.containers, 'spec.containers').map(({ item, path }) =>
    member(item, path, 'container'),
  );
  return {
    pod,
    spec,
    members: [...inits, ...containers],
    running: [...containers, ...inits.filter(({ kind }) => kind === 'sidecar')],
    facts,
    modes,
  };
}

/** Every container that runs with each of the others. */
export function pairsOf({ running }: Subject): readonly (readonly [Member, Member])[] {
  return running.flatMap((actor) =>
    running.filter((victim) => victim !== actor).map((victim) => [actor, victim] as const),
  );
}
