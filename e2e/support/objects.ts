/** What the tests read of the API's objects. */

import type { Denial, ObservedUse } from '../../controller/api/resources.ts';

export interface Meta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly creationTimestamp: string;
  readonly deletionTimestamp?: string;
  readonly ownerReferences?: readonly { readonly kind: string; readonly name: string; readonly uid: string }[];
}

export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
  readonly lastTransitionTime?: string;
}

export interface KubeObject {
  readonly kind: string;
  readonly metadata: Meta;
}

export interface Pod extends KubeObject {
  readonly spec: {
    readonly nodeName?: string;
    readonly containers: readonly { readonly name: string }[];
    readonly initContainers?: readonly { readonly name: string; readonly restartPolicy?: string }[];
    readonly schedulingGates?: readonly { readonly name: string }[];
  };
  readonly status: {
    readonly phase: string;
    readonly podIPs?: readonly { readonly ip: string }[];
    readonly hostIPs?: readonly { readonly ip: string }[];
    readonly conditions?: readonly Condition[];
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
  };
}

interface ContainerState {
  readonly running?: object;
  readonly waiting?: { readonly reason?: string };
  readonly terminated?: { readonly exitCode: number };
}

export interface ContainerStatus {
  readonly name: string;
  readonly restartCount: number;
  readonly started?: boolean;
  readonly ready: boolean;
  readonly state: ContainerState;
  readonly lastState?: ContainerState;
}

/** Of an init container too: a native sidecar is one. */
export function containerStatus({ status }: Pod, name: string): ContainerStatus | undefined {
  const { initContainerStatuses = [], containerStatuses = [] } = status;
  return [...initContainerStatuses, ...containerStatuses].find((each) => each.name === name);
}

export interface Event extends KubeObject {
  readonly reason: string;
  readonly message: string;
  readonly type: string;
  readonly involvedObject: { readonly kind: string; readonly name: string; readonly uid: string };
}

export interface AddressBlock extends KubeObject {
  readonly spec: {
    readonly network: string;
    readonly workload: { readonly namespace: string; readonly nad: string };
    readonly claims: readonly { readonly pod: { readonly name: string; readonly uid: string } }[];
  };
}

export interface PodSplit extends KubeObject {
  readonly spec: { readonly pod: { readonly name: string; readonly uid: string } };
  readonly status?: {
    readonly phase: string;
    readonly pieces?: readonly PieceStatus[];
    readonly denied?: readonly Denial[];
    readonly observed?: readonly ObservedUse[];
    readonly conditions?: readonly Condition[];
  };
}

export interface PieceStatus {
  readonly name: string;
  readonly role: string;
  readonly pod: string;
  readonly ready: boolean;
  readonly addresses: readonly string[];
  readonly mac: string;
}

export function condition(
  object: { readonly status?: { readonly conditions?: readonly Condition[] } },
  type: string,
): Condition | undefined {
  return object.status?.conditions?.find((one) => one.type === type);
}

export function podIPs(pod: Pod): readonly string[] {
  return (pod.status.podIPs ?? []).map(({ ip }) => ip);
}
