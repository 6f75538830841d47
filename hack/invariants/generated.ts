// Of what podsplit makes beside them.

import { splitId } from '../../controller/api/identity.ts';
import { ownLabels } from '../../controller/api/names.ts';
import { sameJson } from '../../controller/api/same-json.ts';
import type { KubeObject, NetworkPolicy } from '../../controller/kube/resources.ts';
import { isOwnBudget } from '../../controller/policies/disruption-budget.ts';
import { selects } from '../../controller/policies/label-selector.ts';
import { findsAsPeer, peerMirror } from '../../controller/policies/peer-mirror.ts';
import { isOwn } from '../../controller/policies/pieces-found.ts';
import { podViolation, workloadKeyOf, workloadOfPiece, type Piece, type View, type Violation } from './view.ts';

export function volumesOwned(view: View): readonly Violation[] {
  return view.volumes
    .filter(({ node, folder }) => view.primaries.get(splitId(folder))?.pod.spec?.nodeName !== node)
    .map(({ node, folder }) => ({
      check: 'VolumeOwned' as const,
      object: `Node ${node}`,
      message: folder.startsWith('.')
        ? `volumes/${folder} is not deleted.`
        : `no split Pod of UID ${folder} is there: its volumes are a leak.`,
    }));
}

export function networksUsed(view: View): readonly Violation[] {
  const there = new Set(view.nads.map(workloadKeyOf));
  const missing = [...view.workloads].filter(
    (key) => !there.has(key) && view.pieces.some((piece) => !piece.gated && workloadOfPiece(piece) === key),
  );
  return [
    ...strays(view, 'NetworkUsed', 'NetworkAttachmentDefinition', view.nads),
    ...missing.map((key) => ({ check: 'NetworkUsed' as const, object: `workload ${key}`, message: 'it has no NAD.' })),
  ];
}

export function policiesUsed(view: View): readonly Violation[] {
  const names = new Set(view.networkPolicies.map(({ metadata }) => `${metadata.namespace ?? ''}/${metadata.name}`));
  const open = view.pieces.filter(
    (piece) =>
      piece.role === 'sibling' &&
      !names.has(`${piece.namespace}/podsplit-${piece.workload}-in-${piece.container}`) &&
      view.workloads.has(workloadOfPiece(piece)),
  );
  return [
    ...strays(
      view,
      'PolicyUsed',
      'NetworkPolicy',
      view.networkPolicies.filter((policy) => !isPeerMirror(policy)),
    ),
    ...strays(view, 'PolicyUsed', 'MultiNetworkPolicy', view.multiNetworkPolicies),
    ...open.map((piece) => podViolation('PolicyUsed', piece, 'no NetworkPolicy closes its ingress.')),
  ];
}

export function budgetsUsed(view: View): readonly Violation[] {
  const own = view.budgets.filter(isOwnBudget);
  const unguarded = view.pieces.filter(
    (piece) =>
      piece.role === 'sibling' &&
      !isOfDaemonSet(view.primaries.get(piece.split)) &&
      view.workloads.has(workloadOfPiece(piece)) &&
      !own.some(
        ({ metadata, spec }) =>
          metadata.namespace === piece.namespace && selects(spec?.selector, piece.pod.metadata.labels ?? {}),
      ),
  );
  return [
    ...strays(view, 'BudgetUsed', 'PodDisruptionBudget', own),
    ...unguarded.map((piece) => podViolation('BudgetUsed', piece, 'no PodDisruptionBudget keeps it from eviction.')),
  ];
}

function isOfDaemonSet(primary: Piece | undefined): boolean {
  return primary?.pod.metadata.ownerReferences?.some(({ kind }) => kind === 'DaemonSet') ?? false;
}

export function mirrorsUsed(view: View): readonly Violation[] {
  const primaries = view.pieces.filter(({ role }) => role === 'primary');
  const pods = primaries.map(({ pod, namespace }) => ({ namespace, labels: pod.metadata.labels ?? {} }));
  const wanted = new Map<string, ReturnType<typeof peerMirror>>(
    view.networkPolicies
      .filter((policy) => pods.some((pod) => findsAsPeer(policy, pod)))
      .map((policy) => {
        const mirror = peerMirror(policy);
        return [`${policy.metadata.namespace ?? ''}/${mirror?.metadata?.name ?? ''}`, mirror] as const;
      }),
  );
  const mirrors = new Map(
    view.networkPolicies
      .filter(isPeerMirror)
      .map((mirror) => [`${mirror.metadata.namespace ?? ''}/${mirror.metadata.name}`, mirror]),
  );
  const report = (name: string, message: string) => ({
    check: 'MirrorUsed' as const,
    object: `NetworkPolicy ${name}`,
    message,
  });
  return [
    ...[...wanted].flatMap(([name, mirror]) => {
      const found = mirrors.get(name);
      if (found === undefined) return [report(name, 'it is missing.')];
      return sameJson(found.spec, mirror?.spec) ? [] : [report(name, 'it is not what its original asks for.')];
    }),
    ...[...mirrors.keys()]
      .filter((name) => !wanted.has(name))
      .map((name) => report(name, 'its original lets in no split Pod.')),
  ];
}

function isPeerMirror(policy: NetworkPolicy): boolean {
  return isOwn(policy) && policy.metadata.ownerReferences?.some(({ kind }) => kind === 'NetworkPolicy') === true;
}

export function podSplitsOwned(view: View): readonly Violation[] {
  const described = new Set(view.podSplits.map((split) => split.spec.pod.uid));
  const primaries = [...view.primaries.values()];
  const uids = new Set(primaries.map((primary) => primary.uid));
  return [
    ...view.podSplits
      .filter((split) => !uids.has(split.spec.pod.uid) && !view.isolated.has(split.spec.pod.uid))
      .map((split) => ({
        check: 'PodSplitOwned' as const,
        object: `PodSplit ${split.metadata.namespace ?? ''}/${split.metadata.name}`,
        message: `Pod ${split.spec.pod.name} (${split.spec.pod.uid}) is gone.`,
      })),
    ...primaries
      .filter((primary) => !primary.gated && !primary.ending && !described.has(primary.uid))
      .map((primary) => podViolation('PodSplitOwned', primary, 'no PodSplit describes it.')),
  ];
}

/** Of objects that podsplit generates for a workload: those whose workload has no split Pod. */
function strays(
  view: View,
  check: Violation['check'],
  kind: string,
  objects: readonly KubeObject[],
): readonly Violation[] {
  return objects
    .filter(({ metadata }) => metadata.labels?.[ownLabels.managedBy] === 'podsplit')
    .filter((object) => !view.workloads.has(workloadKeyOf(object)))
    .map(({ metadata }) => ({
      check,
      object: `${kind} ${metadata.namespace ?? ''}/${metadata.name}`,
      message: 'its workload has no split Pod.',
    }));
}
