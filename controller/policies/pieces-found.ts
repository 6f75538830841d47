import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import type { INetworkPolicyPeer } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicyPeer';
import { isReservedKey } from '../api/keys.ts';
import { ownLabels } from '../api/names.ts';
import { selects, type Labels, type LabelSelector } from './label-selector.ts';

/** A split Pod as the selectors of policies see it: its primary. Its siblings have labels of podsplit's only. */
export interface SplitPodLabels {
  readonly namespace: string;
  readonly labels: Labels;
}

/** Every namespace has it, with its name (kubernetes.io, "Automatic labelling"). */
const namespaceName = 'kubernetes.io/metadata.name';

export function isOwn(policy: INetworkPolicy): boolean {
  return policy.metadata?.labels?.[ownLabels.managedBy] === 'podsplit';
}

/** Without `policyTypes`, a policy is about egress if it has an egress rule (NetworkPolicySpec's documentation). */
export function isolatesEgress({ spec }: INetworkPolicy): boolean {
  return spec?.policyTypes?.includes('Egress') ?? (spec?.egress ?? []).length > 0;
}

/** Without `policyTypes`, a policy is always about ingress. */
export function isolatesIngress({ spec }: INetworkPolicy): boolean {
  return spec?.policyTypes?.includes('Ingress') ?? true;
}

/**
 * Does it say by podsplit's labels which pieces it means? Then it finds what its author wrote, and nothing is repeated.
 * `podsplit.io/role NotIn (sibling)` only says that Pods are meant.
 */
export function namesPieces(selector: LabelSelector | undefined): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector ?? {};
  const expressions = matchExpressions.filter(
    ({ key, operator, values }) => key !== ownLabels.role || operator !== 'NotIn' || values?.join() !== 'sibling',
  );
  return [...Object.keys(matchLabels), ...expressions.map(({ key }) => key)].some(isReservedKey);
}

/** Every Pod of a namespace, pieces among them. */
export function isEmpty(selector: LabelSelector | undefined): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector ?? {};
  return Object.keys(matchLabels).length === 0 && matchExpressions.length === 0;
}

/**
 * Only of what is absent (`app NotIn (db)`, `app DoesNotExist`): it finds every sibling, which has no label of the user's,
 * and not every Pod that siblings belong to.
 */
export function isNegative(selector: LabelSelector | undefined): boolean {
  return !isEmpty(selector) && !namesPieces(selector) && selects(selector, { [ownLabels.role]: 'sibling' });
}

/** The peers of a policy's ingress that are Pods found by labels. */
export function podPeers(policy: INetworkPolicy): readonly INetworkPolicyPeer[] {
  if (isOwn(policy) || !isolatesIngress(policy)) return [];
  return (policy.spec?.ingress ?? []).flatMap(({ from }) => from ?? []).filter(isPodPeer);
}

export function isPodPeer({ podSelector }: INetworkPolicyPeer): boolean {
  return !isEmpty(podSelector) && !namesPieces(podSelector);
}

/**
 * Namespaces are not watched: but for its name, which a namespace carries as a label, any may have the labels that a peer
 * asks for. What a mirror repeats keeps the selector, and the engine judges it.
 */
export function mayBeIn(peer: INetworkPolicyPeer, policyNamespace: string, namespace: string): boolean {
  const { namespaceSelector } = peer;
  if (namespaceSelector === undefined) return namespace === policyNamespace;
  const { matchLabels = {}, matchExpressions = [] } = namespaceSelector;
  const named = Object.entries(matchLabels).filter(([key]) => key === namespaceName);
  const byName = {
    matchLabels: Object.fromEntries(named),
    matchExpressions: matchExpressions.filter(({ key }) => key === namespaceName),
  };
  return selects(byName, { [namespaceName]: namespace });
}
