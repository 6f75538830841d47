import type { IntendedVia } from '../api/egress-via.ts';
import type { Flow } from '../api/flow.ts';
import type { Labels } from './label-selector.ts';

/**
 * What a policy's selectors are resolved against: plain data, whoever read it (watch caches, or the CLI). What was found for
 * one Pod is kept for the next: a change makes another Directory.
 */
export interface Directory {
  readonly pods: readonly DirectoryPod[];
  /** Labels by name, `kubernetes.io/metadata.name` among them. */
  readonly namespaces: ReadonlyMap<string, Labels>;
  readonly services: readonly DirectoryService[];
}

/** One Pod as its users see it: of a split Pod the primary, with its siblings' containers. */
export interface DirectoryPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** The user's own. */
  readonly labels: Labels;
  /** At which the Pod is called: the primary's. Empty as long as there are none, and for Pods of the node's network. */
  readonly podIPs: readonly string[];
  readonly mode: 'plain' | 'split' | 'isolate';
  readonly containers: readonly DirectoryContainer[];
}

export interface DirectoryContainer {
  readonly name: string;
  readonly ports: readonly PolicyDeclaredPort[];
  /** From which it calls: its piece's in a split Pod, else the Pod's. */
  readonly podIPs: readonly string[];
}

export interface PolicyDeclaredPort {
  readonly name?: string;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
}

export interface DirectoryService {
  readonly namespace: string;
  readonly name: string;
  readonly clusterIPs: readonly string[];
  readonly ports: readonly {
    readonly port: number;
    readonly protocol: 'tcp' | 'udp' | 'sctp';
    /** Of its EndpointSlices, ready or not: a Service may turn to any of them. */
    readonly endpoints: readonly { readonly address: string; readonly port: number }[];
  }[];
}

/** A Pod that policies are about. It stands in the Directory too, under the same `uid`, once it has addresses. */
export interface PolicySubject {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly labels: Labels;
  readonly containers: readonly { readonly name: string; readonly ports: readonly PolicyDeclaredPort[] }[];
  /** Of `podsplit.io/flows`, or of the declared ports: what holds where no policy selects an end. */
  readonly flows: readonly Flow[];
  /** One network namespace for all: where one listens no other can. */
  readonly sharesPorts?: true;
  /** Of `podsplit.io/egress-via`: who goes out by whom, which policies may narrow. */
  readonly via: readonly IntendedVia[];
}
