// Where a control plane keeps its files, and where it listens.

import { network, ports } from './names.ts';
import { kubeconfig, logs, pki, state } from './paths.ts';

export interface Place {
  /** The folder of etcd's data. */
  readonly state: string;
  readonly pki: string;
  readonly logs: string;
  /** The administrator's. */
  readonly kubeconfig: string;
  /** Of the API server. etcd listens on the loopback. */
  readonly address: string;
  readonly ports: { readonly apiserver: number; readonly etcd: number; readonly etcdPeer: number };
}

/** The embedded cluster's, the only one of a machine. */
export const embeddedPlace: Place = { state, pki, logs, kubeconfig, address: network.host.v4, ports };

export function serverUrl({ address, ports }: Place): string {
  return `https://${address}:${ports.apiserver}`;
}
