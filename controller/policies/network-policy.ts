import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import { shortHash, workloadKey, type WorkloadRef } from '../api/identity.ts';
import { originalLabelKey } from '../api/keys.ts';
import { mirrorOfAnnotation, ownLabels } from '../api/names.ts';
import type { OwnerReference } from '../api/resources.ts';
import { selects, withKeys, type Labels, type LabelSelector } from './label-selector.ts';
import { isOwn, isolatesEgress, namesPieces } from './pieces-found.ts';

export interface PiecePoliciesInput {
  readonly workload: WorkloadRef;
  /** Names of the siblings' containers. */
  readonly siblings: readonly string[];
  /** The label sets of the workload's primaries: one, or several while a rollout changes the template's labels. */
  readonly labels: readonly Labels[];
  /** All NetworkPolicies of the namespace; podsplit's own among them are passed over. */
  readonly userPolicies: readonly INetworkPolicy[];
  readonly owner?: OwnerReference;
}

/**
 * NetworkPolicies for `eth0` of a workload's siblings: nobody may call them there, and they may call nobody whom the
 * user's own policies keep from the Pod. See docs/decisions/0005-network-policies.md.
 */
export function pieceNetworkPolicies(input: PiecePoliciesInput): readonly INetworkPolicy[] {
  const { workload, siblings, labels, userPolicies } = input;
  const restricting = userPolicies.filter(
    (policy) =>
      !isOwn(policy) &&
      isolatesEgress(policy) &&
      !namesPieces(policy.spec?.podSelector) &&
      labels.some((set) => selects(policy.spec?.podSelector, set)),
  );
  const closed = siblings.map((container) => closedIngress(workload, container));
  const mirrored = restricting.map((policy) => mirroredEgress(workload, policy));
  return [...closed, ...mirrored]
    .map((policy) => withOwner(policy, input.owner))
    .sort((one, other) => ((one.metadata?.name ?? '') < (other.metadata?.name ?? '') ? -1 : 1));
}

/**
 * No rule at all: the pieces talk on the peer network, and clients call the primary's address. The kubelet's probes come
 * from the piece's own node, which no NetworkPolicy keeps out ("Network Policies", kubernetes.io).
 */
function closedIngress(workload: WorkloadRef, container: string): INetworkPolicy {
  const podSelector = { matchLabels: { ...siblingLabels(workload), [ownLabels.container]: container } };
  return policyOf(workload, `in-${container}`, { podSelector, policyTypes: ['Ingress'], ingress: [] });
}

/**
 * The user's policy again, for siblings. They have none of the Pod's labels, so the selector is put in terms of those that
 * a sibling keeps the originals in: each sibling is under exactly the policies that select its own primary, also while
 * primaries with other labels live beside it.
 *
 * Peers (`to`) stay as they are: a selector there finds the primary of a split Pod, whose address is the Pod's facade.
 */
function mirroredEgress(workload: WorkloadRef, policy: INetworkPolicy): INetworkPolicy {
  const { matchLabels, ...rest } = withKeys(policy.spec?.podSelector, originalLabelKey);
  const podSelector: LabelSelector = { ...rest, matchLabels: { ...matchLabels, ...siblingLabels(workload) } };
  const mirror = policyOf(workload, `out-${shortHash(policy.metadata?.name ?? '', 10)}`, {
    podSelector,
    policyTypes: ['Egress'],
    egress: policy.spec?.egress ?? [],
  });
  const annotations = { [mirrorOfAnnotation]: policy.metadata?.name ?? '' };
  return { ...mirror, metadata: { ...mirror.metadata, annotations } };
}

function siblingLabels(workload: WorkloadRef) {
  return { [ownLabels.role]: 'sibling', [ownLabels.workload]: workloadKey(workload) };
}

/** `podsplit-` and the key are 22 characters, a container's name at most 63: well within a name's 253. */
function policyOf(workload: WorkloadRef, suffix: string, spec: NonNullable<INetworkPolicy['spec']>): INetworkPolicy {
  const key = workloadKey(workload);
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: {
      name: `podsplit-${key}-${suffix}`,
      namespace: workload.namespace,
      labels: { [ownLabels.managedBy]: 'podsplit', [ownLabels.workload]: key },
    },
    spec,
  };
}

function withOwner(policy: INetworkPolicy, owner: OwnerReference | undefined): INetworkPolicy {
  return owner === undefined ? policy : { ...policy, metadata: { ...policy.metadata, ownerReferences: [owner] } };
}
