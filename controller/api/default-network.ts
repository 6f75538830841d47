import type { SplitNetworkSpec } from './resources.ts';

/**
 * The pool that workloads use unless podsplit.io/network names another; the controller makes it where there is none.
 * IPv4: RFC 2544, for benchmarks of network devices and routed nowhere. IPv6: RFC 4193, with a random global ID.
 */
export const defaultNetworkSpec: SplitNetworkSpec = {
  ipv4: '198.18.0.0/15',
  ipv6: 'fd5e:9b1c:47d2::/64',
  blockSize: 32,
};
