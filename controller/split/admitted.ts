import type { IPod } from 'kubernetes-models/v1/Pod';
import { networkStatusAnnotation, networksAnnotation, ownAnnotations, ownLabels } from '../api/names.ts';
import { annotationsOf, labelsOf, pickEntries, specOf, without } from './pod.ts';

const addedAnnotations: readonly string[] = [
  ownAnnotations.wiring,
  ownAnnotations.nudged,
  ownAnnotations.started,
  networksAnnotation,
  networkStatusAnnotation,
];
const addedLabels: readonly string[] = [ownLabels.split, ownLabels.workload];

/**
 * A live primary as admission left it: without what the controller, the scheduler and Multus have put on it since.
 * `split` would take those for a user's forgeries. Never for a Pod under admission, where they are just that.
 */
export function asAdmitted(pod: IPod): IPod {
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      labels: pickEntries(labelsOf(pod), (key) => !addedLabels.includes(key)),
      annotations: pickEntries(annotationsOf(pod), (key) => !addedAnnotations.includes(key)),
    },
    spec: { ...without(specOf(pod), 'nodeName'), containers: specOf(pod).containers },
  };
}
