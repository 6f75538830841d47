// Every name and address of the embedded cluster. They are fixed and machine-wide, not per clone: so a clone that
// comes later finds what another one left behind, by name.

/** The cgroup, in every hierarchy, under which all processes of the cluster live: clean-up finds them by it. */
export const cgroup = 'podsplit-cluster';

/** The bridge in the machine's own network namespace that joins the control plane and the nodes. */
export const bridge = 'podsplit0';

/** An abstract Unix socket (it leaves no file) that a run holds while it changes the cluster. */
export const lockSocket = '\0podsplit-cluster';

/** The mark of the environment variable that the cluster's processes carry: the clone that started them. */
export const ownerVariable = 'PODSPLIT_CLUSTER_OWNER';

export const ports = { apiserver: 6443, etcd: 12379, etcdPeer: 12380 } as const;

export const network = {
  /** The control plane's address on the bridge. */
  host: { v4: '172.30.0.1', v6: 'fd00:30::1' },
  /** The far end of the nodes' default route: a namespace that swallows what it gets (see outside.ts). */
  outside: { v4: '172.30.0.2', v6: 'fd00:30::2' },
  /** Addresses that answer in that namespace: the world outside the cluster, for tests. From RFC 5737 and 3849. */
  world: { v4: '203.0.113.0/24', v6: '2001:db8::/32' },
  bits: { v4: 24, v6: 64 },
  pods: { v4: '10.244.0.0/16', v6: 'fd00:244::/32' },
  services: { v4: '10.96.0.0/16', v6: 'fd00:96::/108' },
  dns: { v4: '10.96.0.10', v6: 'fd00:96::a' },
} as const;

export interface NodeNames {
  readonly index: number;
  readonly name: string;
  /** The bridge's end of the node's veth pair; the node's end is eth0. */
  readonly veth: string;
  readonly address: { readonly v4: string; readonly v6: string };
  readonly pods: { readonly v4: string; readonly v6: string };
}

export const maxNodes = 9;

/** The node with this number, counted from 1. */
export function node(index: number): NodeNames {
  return {
    index,
    name: `node${index}`,
    veth: `podsplit-n${index}`,
    address: { v4: `172.30.0.1${index}`, v6: `fd00:30::1${index}` },
    pods: { v4: `10.244.${index}.0/24`, v6: `fd00:244:${index}::/64` },
  };
}

/** The first nodes of the cluster, as many as asked for. */
export function nodes(count: number): NodeNames[] {
  return Array.from({ length: count }, (_, i) => node(i + 1));
}
