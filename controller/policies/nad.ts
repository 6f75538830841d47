import { isDeepStrictEqual } from 'node:util';
import { bridgeName, nadName, workloadKey, type WorkloadRef } from '../api/identity.ts';
import type { InstallMode } from '../api/install.ts';
import { parseJson } from '../api/json.ts';
import { cniPluginType, ownLabels } from '../api/names.ts';
import type { ObjectMeta, OwnerReference, SplitNetworkSpec } from '../api/resources.ts';
import { sysctlsFor } from '../rules/sysctls.ts';

/** NPWG multi-network specification v1.3, section 3. */
export interface NetworkAttachmentDefinition {
  readonly apiVersion: 'k8s.cni.cncf.io/v1';
  readonly kind: 'NetworkAttachmentDefinition';
  readonly metadata: ObjectMeta;
  /** A CNI network configuration list, as JSON text. */
  readonly spec: { readonly config: string };
}

export interface NadInput {
  readonly workload: WorkloadRef;
  readonly install: InstallMode;
  readonly network: { readonly name: string; readonly spec: SplitNetworkSpec };
  readonly owner?: OwnerReference;
}

/** Supported by every CNI runtime since containerd 1.6; the plugins' own default is older. */
const cniVersion = '1.0.0';
/** A smaller one is cached as the loopback's MTU after the first large redirected send, for ten minutes (RFC 1191 aging). */
const defaultMtu = 65535;

/** The peer network of one workload: a bridge of its own, so that no frame of another workload ever arrives. */
export function networkAttachmentDefinition({
  workload,
  install,
  network,
  owner,
}: NadInput): NetworkAttachmentDefinition {
  const name = nadName(workload, install);
  const config = { cniVersion, name, plugins: plugins[install](workload, network.spec) };
  return {
    apiVersion: 'k8s.cni.cncf.io/v1',
    kind: 'NetworkAttachmentDefinition',
    metadata: {
      name,
      namespace: workload.namespace,
      labels: { [ownLabels.managedBy]: 'podsplit', [ownLabels.workload]: workloadKey(workload) },
      ...(owner && { ownerReferences: [owner] }),
    },
    spec: { config: JSON.stringify(config) },
  };
}

type Plugins = (workload: WorkloadRef, spec: SplitNetworkSpec) => readonly object[];

/**
 * What makes a piece's interface, in this order. The plugin of mode `node` has the agent load a closed table before there
 * is an interface, so that no router advertisement slips in (its raw chain drops it before the kernel reads it), and the
 * rules when it is there: ADD returns then, so that no container starts without them. Pieces of
 * mode `init` need nothing of podsplit's on the node, which is why they have a NAD of their own.
 */
const plugins: Readonly<Record<InstallMode, Plugins>> = {
  init: (workload, spec) => [bridge(workload, spec, spec.macSpoofCheck ?? true), tuning(spec)],
  node: (workload, spec) => [
    { type: cniPluginType, phase: 'close' },
    // The agent's filter on the node judges the MAC of each frame, and its IP with it.
    bridge(workload, spec, spec.macSpoofCheck ?? false),
    tuning(spec),
    { type: cniPluginType, phase: 'wire' },
  ],
};

/**
 * containernetworking/plugins, `bridge`. The addresses and the MAC come from the Pod's networks annotation, which the two
 * capabilities let through. The bridge is nobody's gateway: it has no address, so nothing of the node can be called by it.
 */
function bridge(workload: WorkloadRef, spec: SplitNetworkSpec, macspoofchk: boolean) {
  return {
    type: 'bridge',
    bridge: bridgeName(workload),
    mtu: spec.mtu ?? defaultMtu,
    isGateway: false,
    ipMasq: false,
    hairpinMode: false,
    // The allocator gives no address twice, and waiting for the detection would delay each start by a second or more.
    enabledad: false,
    macspoofchk,
    capabilities: { ips: true, mac: true },
    ipam: { type: 'static' },
  };
}

/** Containers see /proc/sys read-only, so the node's `tuning` plugin writes what the rules need. */
function tuning(spec: SplitNetworkSpec) {
  return { type: 'tuning', sysctl: sysctlsFor(familiesOf(spec)) };
}

function familiesOf(spec: SplitNetworkSpec): readonly ('ipv4' | 'ipv6')[] {
  return (['ipv4', 'ipv6'] as const).filter((family) => spec[family] !== undefined);
}

/** Has somebody edited it? */
export function nadDiffers(actual: ActualNad, wanted: NetworkAttachmentDefinition): boolean {
  return nadDifferences(actual, wanted).length > 0;
}

/** What the API server gives: anybody may have written it. */
export interface ActualNad {
  readonly metadata: ObjectMeta;
  readonly spec?: { readonly config?: string };
}

/** Paths of the fields that are not as wanted. Labels, annotations and owners that others added are theirs. */
export function nadDifferences(actual: ActualNad, wanted: NetworkAttachmentDefinition): readonly string[] {
  const labels = Object.entries(wanted.metadata.labels ?? {})
    .filter(([key, value]) => actual.metadata.labels?.[key] !== value)
    .map(([key]) => `metadata.labels[${key}]`);
  const owned = (wanted.metadata.ownerReferences ?? []).every((owner) =>
    actual.metadata.ownerReferences?.some((other) => isDeepStrictEqual(meaningOf(other), meaningOf(owner))),
  );
  const sameConfig = isDeepStrictEqual(parseJson(actual.spec?.config), parseJson(wanted.spec.config));
  return [...labels, ...(owned ? [] : ['metadata.ownerReferences']), ...(sameConfig ? [] : ['spec.config'])];
}

/** The API server leaves out what is false. */
function meaningOf(owner: OwnerReference): OwnerReference {
  return { ...owner, controller: owner.controller ?? false, blockOwnerDeletion: owner.blockOwnerDeletion ?? false };
}
