import { isolateNadName, workloadKey, type WorkloadRef } from '../api/identity.ts';
import { cniPluginType, ownLabels } from '../api/names.ts';
import type { OwnerReference } from '../api/resources.ts';
import type { NetworkAttachmentDefinition } from './nad.ts';

/**
 * The network of a workload's isolated Pods is none: no interface, no addresses. It is there because Multus calls its
 * plugins when a sandbox is made, and the kubelet waits for them before it starts the first container.
 */
export function isolateNad(workload: WorkloadRef, owner: OwnerReference): NetworkAttachmentDefinition {
  const name = isolateNadName(workload);
  const config = { cniVersion: '1.0.0', name, plugins: [{ type: cniPluginType, phase: 'isolate' }] };
  return {
    apiVersion: 'k8s.cni.cncf.io/v1',
    kind: 'NetworkAttachmentDefinition',
    metadata: {
      name,
      namespace: workload.namespace,
      labels: { [ownLabels.managedBy]: 'podsplit', [ownLabels.workload]: workloadKey(workload) },
      ownerReferences: [owner],
    },
    spec: { config: JSON.stringify(config) },
  };
}

/** The value of `k8s.v1.cni.cncf.io/networks`. The interface is never made, but Multus wants a name that is free. */
export function isolateNetworks(workload: WorkloadRef): string {
  return JSON.stringify([{ name: isolateNadName(workload), interface: 'podsplit0' }]);
}
