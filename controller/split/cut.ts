import { isDeepStrictEqual } from 'node:util';
import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { ownAnnotations, ownLabels, readinessGate, schedulingGate, userAnnotations } from '../api/names.ts';
import { initContainers, wiringVolumes } from './init-container.ts';
import type { Plan, SplitOptions } from './plan.ts';
import { annotationsOf, labelsOf, pickEntries, specOf, unlessEmpty, without } from './pod.ts';
import { formatRemoved, removedBy } from './removed.ts';
import { pieceVolume } from './shared-volumes.ts';
import { startedVolumes, startingContainers } from './wait-containers.ts';

/**
 * What admission leaves of a Pod: its primary container, held back until it is wired, and the rest in an annotation.
 * Cutting a cut Pod again changes nothing, or merges what another webhook has added. Fields that podsplit does not know
 * stay as they are.
 */
export function cutPod(pod: IPod, plan: Plan, options: SplitOptions): IPod {
  const spec = specOf(pod);
  const { primary } = plan;
  const removed = removedBy(plan);
  const schedulingGates = (spec.schedulingGates ?? []).filter((gate) => gate.name !== schedulingGate);
  const readinessGates = (spec.readinessGates ?? []).filter((gate) => gate.conditionType !== readinessGate);
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      // The controller selects by the role. The rest of the labels needs the Pod's UID, which it has not got yet.
      labels: { ...labelsOf(pod), [ownLabels.role]: 'primary', [ownLabels.container]: primary.name },
      annotations: {
        ...pickEntries(annotationsOf(pod), (key) => !Object.hasOwn(removed.annotations, key)),
        [ownAnnotations.removed]: formatRemoved(removed),
        [userAnnotations.install]: plan.install,
      },
    },
    spec: {
      ...without(spec, 'initContainers', 'volumes', 'resourceClaims'),
      ...(plan.tokenKeepers === undefined ? {} : { automountServiceAccountToken: false }),
      containers: [facade(plan)],
      ...unlessEmpty('initContainers', [
        ...initContainers(plan, options, [primary.container, ...primary.initContainers]),
        ...startingContainers(plan, options),
      ]),
      ...unlessEmpty('volumes', [
        ...primary.volumes.map((volume) => pieceVolume(volume, plan)),
        ...wiringVolumes(plan),
        ...startedVolumes(plan),
      ]),
      ...unlessEmpty('resourceClaims', primary.resourceClaims),
      schedulingGates: [...schedulingGates, { name: schedulingGate }],
      readinessGates: [...readinessGates, { conditionType: readinessGate }],
    },
  };
}

/**
 * The primary container with its siblings' ports. The Pod's address serves them: Services resolve a named targetPort by
 * the Pod's containers, and a hostPort must be this Pod's.
 */
function facade(plan: Plan): IContainer {
  const { container } = plan.primary;
  const ports = plan.siblings.flatMap((piece) => piece.container.ports ?? []);
  return ports.length === 0 ? container : { ...container, ports: [...(container.ports ?? []), ...ports] };
}

/** RFC 6902, as an AdmissionResponse carries it. */
export type JsonPatchOperation =
  | { readonly op: 'add' | 'replace'; readonly path: string; readonly value: unknown }
  | { readonly op: 'remove'; readonly path: string };

/**
 * The operations that make `cutPod(pod, …)` of `before`: one for each changed field of the spec, label and annotation.
 *
 * @param before as it was sent: without what its namespace says
 */
export function cutPatch(pod: IPod, plan: Plan, options: SplitOptions, before = pod): readonly JsonPatchOperation[] {
  return podOperations(before, cutPod(pod, plan, options));
}

export function podOperations(before: IPod, after: IPod): readonly JsonPatchOperation[] {
  return [
    ...mapOperations('/metadata/labels', before.metadata?.labels, labelsOf(after)),
    ...mapOperations('/metadata/annotations', before.metadata?.annotations, annotationsOf(after)),
    ...mapOperations('/spec', before.spec, specOf(after)),
  ];
}

function mapOperations(path: string, before: object | null | undefined, after: object): JsonPatchOperation[] {
  if (before === undefined || before === null) return [{ op: 'add', path, value: after }];
  const old = new Map<string, unknown>(Object.entries(before));
  const wanted = new Map<string, unknown>(Object.entries(after));
  return [
    ...[...old.keys()]
      .filter((key) => !wanted.has(key))
      .map((key): JsonPatchOperation => ({ op: 'remove', path: `${path}/${escapePointer(key)}` })),
    ...[...wanted]
      .filter(([key, value]) => !isDeepStrictEqual(old.get(key), value))
      // RFC 6902, section 4.1: "add" on a member that exists replaces it.
      .map(([key, value]): JsonPatchOperation => ({ op: 'add', path: `${path}/${escapePointer(key)}`, value })),
  ];
}

/** RFC 6901, section 3. */
function escapePointer(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}
