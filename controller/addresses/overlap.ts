import { cidrsOverlap, formatCidr, networkOf, parseAddress } from './cidr.ts';
import { ranges, type Pool } from './pool.ts';

/** Something that addresses of the cluster come from: a Node's Pod CIDR, a Service CIDR, a node's own address. */
export interface ClusterNetwork {
  /** For people: `Pod CIDR of node a`, `SplitNetwork other`. */
  readonly what: string;
  /** CIDR, or one address. */
  readonly cidr: string;
}

export interface Overlap {
  readonly what: string;
  readonly cidr: string;
  /** The pool's range that it overlaps. */
  readonly range: string;
}

/**
 * Whatever has an address of the pool is held to be on net1 and dropped elsewhere, so a cluster network within the pool
 * would be unreachable from every piece. What does not parse as a network overlaps nothing: it is not ours to judge.
 */
export function overlaps(pool: Pool, clusterNetworks: readonly ClusterNetwork[]): readonly Overlap[] {
  return clusterNetworks.flatMap(({ what, cidr }) => {
    const address = parseAddress(cidr);
    if (address === undefined) return [];
    const network = networkOf(address);
    return ranges(pool)
      .filter((range) => cidrsOverlap(range, network))
      .map((range) => ({ what, cidr, range: formatCidr(range) }));
  });
}

/** Another SplitNetwork's ranges, in the form that `overlaps` takes. */
export function networksOf(name: string, pool: Pool): readonly ClusterNetwork[] {
  return ranges(pool).map((range) => ({ what: `SplitNetwork ${name}`, cidr: formatCidr(range) }));
}

export function formatOverlap(overlap: Overlap): string {
  return `${overlap.range} overlaps ${overlap.cidr} (${overlap.what})`;
}
