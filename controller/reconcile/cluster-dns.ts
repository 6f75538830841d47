import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import { isApiError } from '../kube/errors.ts';
import { resources } from '../kube/resources.ts';
import { canonicalAddress } from '../rules/addresses.ts';
import type { WiringVia } from '../rules/wiring.ts';

export interface ClusterDnsOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  /** PODSPLIT_CLUSTER_DNS: asked before the cluster is. */
  readonly addresses: readonly string[] | undefined;
}

/** Services of every distribution's DNS carry this label, whatever they are named. */
const selector = { namespace: 'kube-system', labelSelector: 'k8s-app=kube-dns' };
const freshMs = 30_000;

/** Closed rather than open: a container that may ask one address only cannot be told which. */
export const dnsUnknown = {
  reason: 'ClusterDnsUnknown',
  message:
    'A container is to resolve names by the DNS of the cluster (podsplit.io/egress-dns, or egressVia.dns of a policy), and ' +
    'no Service in kube-system with the label k8s-app=kube-dns says where that is: ' +
    'set PODSPLIT_CLUSTER_DNS of the controller.',
  retryMs: 10_000,
} as const;

/**
 * Where the cluster's DNS is: the only addresses that a piece with `cluster` as its DNS reaches by itself. Asked
 * for where a Pod needs it, and not watched: it moves about as often as the cluster is made anew.
 */
export class ClusterDns {
  private readonly options: ClusterDnsOptions;
  /** `at` is monotonic. */
  private known: { readonly addresses: readonly string[]; readonly at: number } | undefined;

  constructor(options: ClusterDnsOptions) {
    this.options = options;
  }

  /** Of no use to this Pod: none. Undefined where it needs them and nobody can tell. */
  async resolversOf(via: readonly { readonly dns?: WiringVia['dns'] }[]): Promise<readonly string[] | undefined> {
    if (!via.some(({ dns }) => dns === 'cluster')) return [];
    const addresses = this.options.addresses ?? (await this.asked());
    return addresses.length === 0 ? undefined : addresses;
  }

  private async asked(): Promise<readonly string[]> {
    const { client, clock } = this.options;
    const now = clock.monotonic();
    if (this.known !== undefined && now - this.known.at < freshMs) return this.known.addresses;
    try {
      const { items } = await client.list(resources.services, selector);
      const addresses = items
        .flatMap(({ spec }) => spec?.clusterIPs ?? [])
        .flatMap((address) => canonicalAddress(address) ?? []);
      this.known = { addresses: [...new Set(addresses)].sort(), at: now };
    } catch (error) {
      if (!isApiError(error, 'Forbidden', 'NotFound')) throw error;
      this.known = { addresses: [], at: now };
    }
    return this.known.addresses;
  }
}
