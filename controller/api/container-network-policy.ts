import type { ILabelSelector } from '@kubernetes-models/apimachinery/apis/meta/v1/LabelSelector';
import type { EgressDns } from './egress-via.ts';
import type { Condition, ObjectMeta } from './resources.ts';

/**
 * NetworkPolicy with containers (docs/decisions/0017-policies-between-containers.md). crds/ has the same as an OpenAPI
 * schema, and a test holds the two together.
 */
export interface ContainerNetworkPolicy {
  readonly apiVersion: string;
  readonly kind: 'ContainerNetworkPolicy';
  readonly metadata: ObjectMeta;
  readonly spec: ContainerNetworkPolicySpec;
  readonly status?: ContainerNetworkPolicyStatus;
}

export interface ContainerNetworkPolicySpec {
  /** Pods of the policy's namespace; an empty selector selects all. */
  readonly podSelector: ILabelSelector;
  /** Of the selected Pods; absent: all of them. */
  readonly containers?: readonly string[];
  /** Default: Enforce. */
  readonly action?: 'Enforce' | 'Audit';
  /** The only way out of `containers`, which are named then: docs/decisions/0018-the-unavoidable-proxy.md. Not with Audit. */
  readonly egressVia?: EgressVia;
  /**
   * As in NetworkPolicy: absent means Ingress, and Egress too where there are egress rules. With `egressVia` absent means
   * what there are rules for.
   */
  readonly policyTypes?: readonly ('Ingress' | 'Egress')[];
  readonly ingress?: readonly IngressRule[];
  readonly egress?: readonly EgressRule[];
}

export interface EgressVia {
  /** The proxy: another container of the selected Pods. */
  readonly container: string;
  /** Where all TCP is carried to, original destination kept. Absent: programs call the proxy themselves, by flows. */
  readonly port?: number;
  /** Default: none. */
  readonly dns?: EgressDns;
}

export interface IngressRule {
  /** Absent or empty: from everywhere. */
  readonly from?: readonly PolicyPeer[];
  /** Absent or empty: at every port. */
  readonly ports?: readonly PolicyPort[];
}

export interface EgressRule {
  readonly to?: readonly PolicyPeer[];
  readonly ports?: readonly PolicyPort[];
}

/** Either `ipBlock`, or selectors. */
export interface PolicyPeer {
  readonly podSelector?: ILabelSelector;
  readonly namespaceSelector?: ILabelSelector;
  /** Of the selected Pods; absent: all of them. Not with `ipBlock`. */
  readonly containers?: readonly string[];
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
}

export interface PolicyPort {
  /** Default: TCP. */
  readonly protocol?: 'TCP' | 'UDP' | 'SCTP';
  /** A number, or the name that a container of the receiving Pod gives to a port; absent: every port of the protocol. */
  readonly port?: number | string;
  /** With a number only; at least that number. */
  readonly endPort?: number;
}

export interface ContainerNetworkPolicyStatus {
  readonly observedGeneration?: number;
  /** Containers of how many Pods it selects, and whether they are enforced. */
  readonly selected?: { readonly pods: number; readonly containers: number; readonly unguarded: number };
  /** What it opens: flows between containers of a Pod, and address ranges on the Pods' network. And whom it keeps. */
  readonly compiled?: {
    readonly flows: number;
    readonly ingress: number;
    readonly egress: number;
    readonly kept: number;
  };
  readonly conditions?: readonly Condition[];
}
