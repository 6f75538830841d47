import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { ownLabels, schedulingGate } from '../api/names.ts';
import { podOperations, type JsonPatchOperation } from '../split/cut.ts';
import { labelsOf, specOf } from '../split/pod.ts';
import { shapeOf } from '../split/shape.ts';
import { guardToken } from '../split/token.ts';
import type { IsolatePlan } from './plan.ts';

type Marks = Pick<IsolatePlan, 'assigned' | 'tokenKeepers'>;

/** What admission makes of an isolated Pod: a label, the gate that holds it until it is wired, assigned UIDs, and guarded tokens. */
export function markedPod(pod: IPod, { assigned, tokenKeepers }: Marks): IPod {
  // A Pod under admission may have null where nothing is; the plan is of one that has not.
  const shape = shapeOf(pod);
  const guarded = guardToken(shape.kind === 'pod' ? shape.pod : pod, tokenKeepers);
  const spec = specOf(guarded);
  const gates = spec.schedulingGates ?? [];
  const withUser =
    (list: 'containers' | 'initContainers') =>
    (container: IContainer, index: number): IContainer => {
      const user = assigned.find((user) => user.list === list && user.index === index);
      if (user === undefined) return container;
      return { ...container, securityContext: { ...container.securityContext, runAsUser: user.uid } };
    };
  return {
    ...guarded,
    metadata: { ...guarded.metadata, labels: { ...labelsOf(guarded), [ownLabels.role]: 'isolated' } },
    spec: {
      ...spec,
      containers: spec.containers.map(withUser('containers')),
      ...(spec.initContainers === undefined
        ? {}
        : { initContainers: spec.initContainers.map(withUser('initContainers')) }),
      schedulingGates: gates.some(({ name }) => name === schedulingGate) ? gates : [...gates, { name: schedulingGate }],
    },
  };
}

/** @param before as it was sent: without what its namespace says */
export function markPatch(pod: IPod, plan: Marks, before = pod): readonly JsonPatchOperation[] {
  return podOperations(before, markedPod(pod, plan));
}
