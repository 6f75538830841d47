import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import type { INetworkPolicyPeer } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicyPeer';
import { shortHash } from '../api/identity.ts';
import { originalLabelKey } from '../api/keys.ts';
import { mirrorOfAnnotation, ownLabels } from '../api/names.ts';
import { selects, withKeys } from './label-selector.ts';
import { isPodPeer, mayBeIn, podPeers, type SplitPodLabels } from './pieces-found.ts';

/** Does a peer of its ingress find the Pod by labels? Its siblings, which call from addresses of their own, it does not. */
export function findsAsPeer(policy: INetworkPolicy, pod: SplitPodLabels): boolean {
  const namespace = policy.metadata?.namespace ?? '';
  return podPeers(policy).some(
    (peer) => mayBeIn(peer, namespace, pod.namespace) && selects(peer.podSelector, pod.labels),
  );
}

/**
 * Beside a policy that lets in Pods by their labels: the same for those Pods' siblings, which keep the labels under other
 * keys. It selects what the original selects and is about ingress alone, so it isolates nobody whom the original does not,
 * and only adds. Undefined where there is nothing to repeat: no peer, or only such as name no labels of Pods.
 */
export function peerMirror(policy: INetworkPolicy): INetworkPolicy | undefined {
  if (podPeers(policy).length === 0) return undefined;
  const { name = '', namespace, uid } = policy.metadata ?? {};
  const rules = (policy.spec?.ingress ?? []).flatMap(({ from = [], ...rest }) => {
    const peers = from.filter(isPodPeer).map(siblingsOf);
    return peers.length === 0 ? [] : [{ ...rest, from: peers }];
  });
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: {
      name: peerMirrorName(name, uid),
      ...(namespace === undefined ? {} : { namespace }),
      labels: { [ownLabels.managedBy]: 'podsplit' },
      annotations: { [mirrorOfAnnotation]: name },
      ...(uid === undefined
        ? {}
        : {
            ownerReferences: [
              { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', name, uid, controller: true },
            ],
          }),
    },
    spec: { podSelector: policy.spec?.podSelector ?? {}, policyTypes: ['Ingress'], ingress: rules },
  };
}

/** By the UID: a policy that is deleted and made again has another mirror, while the first is being collected. */
function peerMirrorName(name: string, uid = ''): string {
  return `podsplit-peers-${name.slice(0, 60).replace(/[-.]+$/, '')}-${shortHash(`${name}/${uid}`, 10)}`;
}

/** The namespace's selector stays: a sibling lives where its Pod does. */
function siblingsOf({ podSelector, ...rest }: INetworkPolicyPeer): INetworkPolicyPeer {
  const { matchLabels, ...others } = withKeys(podSelector, originalLabelKey);
  return { ...rest, podSelector: { ...others, matchLabels: { ...matchLabels, [ownLabels.role]: 'sibling' } } };
}
