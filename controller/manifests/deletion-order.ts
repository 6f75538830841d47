import type { RenderedDocument } from './render.ts';

/** What is left at each moment has all that it needs to work, or to end: the first that stand here go first. */
const order: readonly string[] = [
  // No new Pod is split.
  'MutatingWebhookConfiguration',
  // Each agent takes the plugin off its node when it is told that its DaemonSet is gone, and for that it has to ask.
  'DaemonSet',
  'Deployment',
  'PodDisruptionBudget',
  'Service',
  'CSIDriver',
  // PodSplits and AddressBlocks go with them: nobody is left to write them.
  'CustomResourceDefinition',
  // The guards hold as long as there is something to guard.
  'ValidatingAdmissionPolicyBinding',
  'ValidatingAdmissionPolicy',
  'RoleBinding',
  'Role',
  'ClusterRoleBinding',
  'ClusterRole',
  'ServiceAccount',
  // With all that is in them: the Secret, the Lease, and whatever options made.
  'Namespace',
];

export function kindOf({ object }: RenderedDocument): string {
  return object.slice(0, object.indexOf('/'));
}

/** @throws Error where a kind has no place: it has to be decided */
export function inDeletionOrder(documents: readonly RenderedDocument[]): readonly RenderedDocument[] {
  const rank = (document: RenderedDocument): number => {
    const place = order.indexOf(kindOf(document));
    if (place === -1)
      throw new Error(`${document.object}: when is it deleted? See controller/manifests/deletion-order.ts`);
    return place;
  };
  return documents
    .map((document) => ({ document, place: rank(document) }))
    .toSorted((one, other) => one.place - other.place)
    .map(({ document }) => document);
}
