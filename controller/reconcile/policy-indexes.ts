import type { NetworkPolicy } from '../kube/resources.ts';
import type { Indexes, Store } from '../kube/store.ts';
import { mayBeInexact } from '../policies/inexact.ts';
import { isOwn, podPeers } from '../policies/pieces-found.ts';

/** Where a policy is listed that may be about Pods of any namespace. */
const anywhere = '*';

/** Few of a cluster's policies matter to a Pod as its peers, and they are asked for each Pod that comes. */
export const policyIndexes = {
  /** With a peer that is found by labels: by the namespace of such Pods. */
  peers: (policy: NetworkPolicy) => [
    ...new Set(
      podPeers(policy).map(({ namespaceSelector }) =>
        namespaceSelector === undefined ? (policy.metadata.namespace ?? '') : anywhere,
      ),
    ),
  ],
  /** That may mean other things for siblings than for their Pods: likewise. */
  inexact: (policy: NetworkPolicy) => {
    if (!mayBeInexact(policy)) return [];
    return podPeers(policy).some(({ namespaceSelector }) => namespaceSelector !== undefined)
      ? [anywhere]
      : [policy.metadata.namespace ?? ''];
  },
  /** Mirrors, by the policy that they repeat: `namespace/name`. */
  mirrorOf: (policy: NetworkPolicy) => {
    const original = policy.metadata.ownerReferences?.find(({ kind }) => kind === 'NetworkPolicy');
    if (original === undefined || !isOwn(policy)) return [];
    return [`${policy.metadata.namespace ?? ''}/${original.name}`];
  },
} satisfies Indexes<NetworkPolicy>;

export function policiesAbout(
  store: Pick<Store<NetworkPolicy>, 'byIndex'>,
  index: 'peers' | 'inexact',
  namespace: string,
): readonly NetworkPolicy[] {
  return [...store.byIndex(index, namespace), ...store.byIndex(index, anywhere)];
}
