import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import { selects } from './label-selector.ts';
import {
  isNegative,
  isOwn,
  isolatesEgress,
  isolatesIngress,
  mayBeIn,
  podPeers,
  type SplitPodLabels,
} from './pieces-found.ts';

/** How a policy means other things for a Pod's siblings than for the Pod, and no further policy can put it right. */
export type Inexactness = 'selects' | 'lets-in';

/** A sentence each, the policy's name before it. */
export const inexactnesses: Readonly<Record<Inexactness, string>> = {
  selects: 'selects siblings whose Pod it does not select, so its egress rules hold for them',
  'lets-in': 'lets in siblings whose Pod it does not let in',
};

/** Can it be inexact for some Pod? Cheap, and false for nearly every policy. */
export function mayBeInexact(policy: INetworkPolicy): boolean {
  return selectsNegatively(policy) || podPeers(policy).some(({ podSelector }) => isNegative(podSelector));
}

/**
 * Siblings have none of the Pod's labels, so a selector that is satisfied by their absence finds them: `app NotIn (web)` the
 * siblings of web too. Policies only add up, so nothing can be taken back. A sibling that ingress rules select needs no
 * word: its own table lets in its node and nobody else.
 */
export function inexactFor(policy: INetworkPolicy, pod: SplitPodLabels): readonly Inexactness[] {
  const { namespace = '' } = policy.metadata ?? {};
  const { podSelector, ingress = [] } = policy.spec ?? {};
  const selected = namespace === pod.namespace && selectsNegatively(policy) && !selects(podSelector, pod.labels);
  const letIn =
    !isOwn(policy) &&
    isolatesIngress(policy) &&
    ingress.some(({ from = [] }) => {
      const peers = from.filter((peer) => peer.ipBlock === undefined && mayBeIn(peer, namespace, pod.namespace));
      return (
        peers.some((peer) => isNegative(peer.podSelector)) &&
        !peers.some((peer) => selects(peer.podSelector, pod.labels))
      );
    });
  return [...(selected ? ['selects' as const] : []), ...(letIn ? ['lets-in' as const] : [])];
}

function selectsNegatively(policy: INetworkPolicy): boolean {
  return !isOwn(policy) && isolatesEgress(policy) && isNegative(policy.spec?.podSelector);
}
