import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { ownLabels, schedulingGate } from '../api/names.ts';
import { annotationsOf, labelsOf, pickEntries, specOf, unlessEmpty, without } from '../split/pod.ts';

/** A container of the Pod with what isolation asks of it. */
export interface Member {
  readonly container: IContainer;
  readonly path: string;
  readonly list: 'containers' | 'initContainers';
  readonly index: number;
  /** The UID that the spec gives its processes: its own, else the Pod's. */
  readonly uid: number | undefined;
  readonly uidPath: string;
  /** A plain init container ends before the containers start; a restartable one runs beside them. */
  readonly runsBeside: boolean;
}

/** In the order in which they start. */
export function membersOf(pod: IPod): readonly Member[] {
  const spec = specOf(pod);
  const shared = spec.securityContext?.runAsUser;
  const member = (list: Member['list']) =>
    (spec[list] ?? []).map((container, index): Member => {
      const own = container.securityContext?.runAsUser;
      const path = `spec.${list}[${index}]`;
      return {
        container,
        path,
        list,
        index,
        uid: own ?? shared,
        uidPath:
          own === undefined && shared !== undefined
            ? 'spec.securityContext.runAsUser'
            : `${path}.securityContext.runAsUser`,
        runsBeside: list === 'containers' || container.restartPolicy === 'Always',
      };
    });
  return [...member('initContainers'), ...member('containers')];
}

/** A Pod without what admission put on it: it is asked again when a later webhook changed something. */
export function withoutOwnMarks(pod: IPod): IPod {
  const { [ownLabels.role]: role } = labelsOf(pod);
  const isOurs = role === 'isolated' || role === 'whole';
  const spec = specOf(pod);
  const gates = (spec.schedulingGates ?? []).filter(({ name }) => name !== schedulingGate);
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      labels: pickEntries(labelsOf(pod), (key) => !isOurs || key !== ownLabels.role),
      annotations: annotationsOf(pod),
    },
    spec: {
      ...without(spec, 'schedulingGates'),
      containers: spec.containers,
      ...unlessEmpty('schedulingGates', gates),
    },
  };
}
