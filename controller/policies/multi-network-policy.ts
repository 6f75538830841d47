import type { INetworkPolicySpec } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicySpec';
import { nadName, workloadKey, type WorkloadRef } from '../api/identity.ts';
import type { DeclaredPort, Flow, Protocol } from '../api/flow.ts';
import { installModes } from '../api/install.ts';
import { ownLabels } from '../api/names.ts';
import type { ObjectMeta, OwnerReference } from '../api/resources.ts';
import { carriedTo } from '../rules/via-model.ts';
import type { WiringVia } from '../rules/wiring.ts';

/** github.com/k8snetworkplumbingwg/multi-networkpolicy: NetworkPolicy's spec, for the networks that an annotation names. */
export interface MultiNetworkPolicy {
  readonly apiVersion: 'k8s.cni.cncf.io/v1beta1';
  readonly kind: 'MultiNetworkPolicy';
  readonly metadata: ObjectMeta;
  readonly spec: INetworkPolicySpec;
}

/** Without it the engines pass a policy over in silence. */
const policyForAnnotation = 'k8s.v1.cni.cncf.io/policy-for';

export interface MultiPoliciesInput {
  readonly workload: WorkloadRef;
  /** Every piece's container. */
  readonly containers: readonly string[];
  readonly flows: readonly Flow[];
  readonly facade: readonly DeclaredPort[];
  /** The SplitNetwork's ranges, CIDR form. */
  readonly pool: { readonly ipv4?: string; readonly ipv6?: string };
  /** Nothing is enforced between the pieces, so these policies do not either. */
  readonly observe?: boolean;
  readonly owner?: OwnerReference;
}

type IngressRule = NonNullable<INetworkPolicySpec['ingress']>[number];

/**
 * A second line on `net1`, and one for people to read: the engines start once a Pod runs, and they cannot tell replicas
 * apart. What enforces is the table in the piece. Ingress only, because redirected loopback still leaves by `lo` where
 * engines hook egress, and would be dropped or missed.
 */
export function pieceMultiNetworkPolicies(input: MultiPoliciesInput): readonly MultiNetworkPolicy[] {
  return input.containers.toSorted().map((container) => ({
    apiVersion: 'k8s.cni.cncf.io/v1beta1',
    kind: 'MultiNetworkPolicy',
    metadata: metadataOf(input, container),
    spec: {
      podSelector: { matchLabels: pieceLabels(input.workload, container) },
      policyTypes: ['Ingress'],
      ingress: [
        ...(input.observe === true ? [fromAnyPiece(input.workload)] : flowRules(input, container)),
        ...facadeRules(input, container),
      ],
    },
  }));
}

/** What is carried to a proxy arrives there, after NAT, as if a flow led to it. */
export function carriedFlows(via: readonly WiringVia[]): readonly Flow[] {
  return via.flatMap((each) => {
    const { from, to } = each;
    return to === undefined ? [] : carriedTo(each).map((service) => ({ from, to, ...service }));
  });
}

/** One rule for each peer, with all the ports that it may call. */
function flowRules({ workload, flows }: MultiPoliciesInput, container: string): readonly IngressRule[] {
  const incoming = flows.filter((flow) => flow.to === container);
  const callers = [...new Set(incoming.map((flow) => flow.from))].sort();
  return callers.map((from) => ({
    from: [{ podSelector: { matchLabels: pieceLabels(workload, from) } }],
    ports: incoming.filter((flow) => flow.from === from).map(portOf),
  }));
}

function fromAnyPiece(workload: WorkloadRef): IngressRule {
  return { from: [{ podSelector: { matchLabels: { [ownLabels.workload]: workloadKey(workload) } } }] };
}

/** The primary forwards clients of the Pod IP with their own source address, so they are whoever is not of the pool. */
function facadeRules({ facade, pool }: MultiPoliciesInput, container: string): readonly IngressRule[] {
  const ports = facade.filter((port) => port.container === container);
  if (ports.length === 0) return [];
  const outside = (
    [
      ['0.0.0.0/0', pool.ipv4],
      ['::/0', pool.ipv6],
    ] as const
  ).flatMap(([cidr, range]) => (range === undefined ? [] : [{ ipBlock: { cidr, except: [range] } }]));
  return [{ from: outside, ports: ports.map(portOf) }];
}

function portOf({ port, protocol }: { readonly port: number; readonly protocol: Protocol }) {
  return { port, protocol: protocol === 'tcp' ? ('TCP' as const) : ('UDP' as const) };
}

function pieceLabels(workload: WorkloadRef, container: string): Record<string, string> {
  return { [ownLabels.container]: container, [ownLabels.workload]: workloadKey(workload) };
}

/** Of both install modes: a piece has one of the two networks, and the engines pass over one that it has not. */
function policyFor(workload: WorkloadRef): string {
  return installModes.map((install) => `${workload.namespace}/${nadName(workload, install)}`).join(',');
}

function metadataOf({ workload, owner }: MultiPoliciesInput, container: string): ObjectMeta {
  const key = workloadKey(workload);
  return {
    name: `podsplit-${key}-${container}`,
    namespace: workload.namespace,
    labels: { [ownLabels.managedBy]: 'podsplit', [ownLabels.workload]: key },
    annotations: { [policyForAnnotation]: policyFor(workload) },
    ...(owner && { ownerReferences: [owner] }),
  };
}
