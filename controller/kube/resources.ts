import type { ICustomResourceDefinition } from 'kubernetes-models/apiextensions.k8s.io/v1/CustomResourceDefinition';
import type { IMutatingWebhookConfiguration } from 'kubernetes-models/admissionregistration.k8s.io/v1/MutatingWebhookConfiguration';
import type { IValidatingAdmissionPolicy } from 'kubernetes-models/admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy';
import type { IValidatingAdmissionPolicyBinding } from 'kubernetes-models/admissionregistration.k8s.io/v1/ValidatingAdmissionPolicyBinding';
import type { IValidatingWebhookConfiguration } from 'kubernetes-models/admissionregistration.k8s.io/v1/ValidatingWebhookConfiguration';
import type { IControllerRevision } from 'kubernetes-models/apps/v1/ControllerRevision';
import type { IDaemonSet } from 'kubernetes-models/apps/v1/DaemonSet';
import type { IDeployment } from 'kubernetes-models/apps/v1/Deployment';
import type { IReplicaSet } from 'kubernetes-models/apps/v1/ReplicaSet';
import type { IStatefulSet } from 'kubernetes-models/apps/v1/StatefulSet';
import type { ICronJob } from 'kubernetes-models/batch/v1/CronJob';
import type { IJob } from 'kubernetes-models/batch/v1/Job';
import type { IEndpointSlice } from 'kubernetes-models/discovery.k8s.io/v1/EndpointSlice';
import type { ILease } from 'kubernetes-models/coordination.k8s.io/v1/Lease';
import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import type { IServiceCIDR } from 'kubernetes-models/networking.k8s.io/v1/ServiceCIDR';
import type { ICSIDriver } from 'kubernetes-models/storage.k8s.io/v1/CSIDriver';
import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget';
import type { IConfigMap } from 'kubernetes-models/v1/ConfigMap';
import type { IEvent } from 'kubernetes-models/v1/Event';
import type { INamespace } from 'kubernetes-models/v1/Namespace';
import type { INode } from 'kubernetes-models/v1/Node';
import type { IPersistentVolumeClaim } from 'kubernetes-models/v1/PersistentVolumeClaim';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { ISecret } from 'kubernetes-models/v1/Secret';
import type { IService } from 'kubernetes-models/v1/Service';
import { apiVersion as ownApiVersion } from '../api/names.ts';
import type { ContainerNetworkPolicy } from '../api/container-network-policy.ts';
import type { AddressBlock, ObjectMeta, PodSplit, SplitNetwork } from '../api/resources.ts';

/** The least that every object from the API server has. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
}

/** `T` is what the API server keeps there: the type only describes, objects stay the raw JSON they were. */
export interface Resource<T extends KubeObject = KubeObject> {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly namespaced: boolean;
  readonly objects?: T;
}

/** An object that came from the API server has metadata, whatever the schema says. */
type Stored<T> = T & { readonly metadata: ObjectMeta };

export type Pod = Stored<IPod>;
export type Node = Stored<INode>;
export type Namespace = Stored<INamespace>;
export type Lease = Stored<ILease>;
export type Secret = Stored<ISecret>;
export type Service = Stored<IService>;
export type ConfigMap = Stored<IConfigMap>;
export type Event = Stored<IEvent>;
export type PersistentVolumeClaim = Stored<IPersistentVolumeClaim>;
export type Deployment = Stored<IDeployment>;
export type StatefulSet = Stored<IStatefulSet>;
export type DaemonSet = Stored<IDaemonSet>;
export type ReplicaSet = Stored<IReplicaSet>;
export type ControllerRevision = Stored<IControllerRevision>;
export type Job = Stored<IJob>;
export type CronJob = Stored<ICronJob>;
export type NetworkPolicy = Stored<INetworkPolicy>;
export type PodDisruptionBudget = Stored<IPodDisruptionBudget>;
export type EndpointSlice = Stored<IEndpointSlice>;
export type ServiceCIDR = Stored<IServiceCIDR>;
export type CustomResourceDefinition = Stored<ICustomResourceDefinition>;
export type MutatingWebhookConfiguration = Stored<IMutatingWebhookConfiguration>;
export type ValidatingAdmissionPolicy = Stored<IValidatingAdmissionPolicy>;
export type ValidatingAdmissionPolicyBinding = Stored<IValidatingAdmissionPolicyBinding>;
export type CSIDriver = Stored<ICSIDriver>;
export type ValidatingWebhookConfiguration = Stored<IValidatingWebhookConfiguration>;

/** NPWG multi-network specification v1.3, section 3. */
export interface NetworkAttachmentDefinition extends KubeObject {
  readonly spec?: { readonly config?: string };
}

/** github.com/k8snetworkplumbingwg/multi-networkpolicy: the schema is NetworkPolicy's. */
export interface MultiNetworkPolicy extends KubeObject {
  readonly spec?: INetworkPolicy['spec'];
}

function namespaced<T extends KubeObject>(apiVersion: string, kind: string, plural: string): Resource<T> {
  return { apiVersion, kind, plural, namespaced: true };
}

function clusterScoped<T extends KubeObject>(apiVersion: string, kind: string, plural: string): Resource<T> {
  return { apiVersion, kind, plural, namespaced: false };
}

export const resources = {
  pods: namespaced<Pod>('v1', 'Pod', 'pods'),
  nodes: clusterScoped<Node>('v1', 'Node', 'nodes'),
  namespaces: clusterScoped<Namespace>('v1', 'Namespace', 'namespaces'),
  events: namespaced<Event>('v1', 'Event', 'events'),
  secrets: namespaced<Secret>('v1', 'Secret', 'secrets'),
  services: namespaced<Service>('v1', 'Service', 'services'),
  configMaps: namespaced<ConfigMap>('v1', 'ConfigMap', 'configmaps'),
  persistentVolumeClaims: namespaced<PersistentVolumeClaim>('v1', 'PersistentVolumeClaim', 'persistentvolumeclaims'),
  deployments: namespaced<Deployment>('apps/v1', 'Deployment', 'deployments'),
  statefulSets: namespaced<StatefulSet>('apps/v1', 'StatefulSet', 'statefulsets'),
  daemonSets: namespaced<DaemonSet>('apps/v1', 'DaemonSet', 'daemonsets'),
  replicaSets: namespaced<ReplicaSet>('apps/v1', 'ReplicaSet', 'replicasets'),
  controllerRevisions: namespaced<ControllerRevision>('apps/v1', 'ControllerRevision', 'controllerrevisions'),
  jobs: namespaced<Job>('batch/v1', 'Job', 'jobs'),
  cronJobs: namespaced<CronJob>('batch/v1', 'CronJob', 'cronjobs'),
  leases: namespaced<Lease>('coordination.k8s.io/v1', 'Lease', 'leases'),
  networkPolicies: namespaced<NetworkPolicy>('networking.k8s.io/v1', 'NetworkPolicy', 'networkpolicies'),
  podDisruptionBudgets: namespaced<PodDisruptionBudget>('policy/v1', 'PodDisruptionBudget', 'poddisruptionbudgets'),
  endpointSlices: namespaced<EndpointSlice>('discovery.k8s.io/v1', 'EndpointSlice', 'endpointslices'),
  serviceCIDRs: clusterScoped<ServiceCIDR>('networking.k8s.io/v1', 'ServiceCIDR', 'servicecidrs'),
  customResourceDefinitions: clusterScoped<CustomResourceDefinition>(
    'apiextensions.k8s.io/v1',
    'CustomResourceDefinition',
    'customresourcedefinitions',
  ),
  mutatingWebhookConfigurations: clusterScoped<MutatingWebhookConfiguration>(
    'admissionregistration.k8s.io/v1',
    'MutatingWebhookConfiguration',
    'mutatingwebhookconfigurations',
  ),
  validatingWebhookConfigurations: clusterScoped<ValidatingWebhookConfiguration>(
    'admissionregistration.k8s.io/v1',
    'ValidatingWebhookConfiguration',
    'validatingwebhookconfigurations',
  ),
  validatingAdmissionPolicies: clusterScoped<ValidatingAdmissionPolicy>(
    'admissionregistration.k8s.io/v1',
    'ValidatingAdmissionPolicy',
    'validatingadmissionpolicies',
  ),
  validatingAdmissionPolicyBindings: clusterScoped<ValidatingAdmissionPolicyBinding>(
    'admissionregistration.k8s.io/v1',
    'ValidatingAdmissionPolicyBinding',
    'validatingadmissionpolicybindings',
  ),
  csiDrivers: clusterScoped<CSIDriver>('storage.k8s.io/v1', 'CSIDriver', 'csidrivers'),
  networkAttachmentDefinitions: namespaced<NetworkAttachmentDefinition>(
    'k8s.cni.cncf.io/v1',
    'NetworkAttachmentDefinition',
    'network-attachment-definitions',
  ),
  multiNetworkPolicies: namespaced<MultiNetworkPolicy>(
    'k8s.cni.cncf.io/v1beta1',
    'MultiNetworkPolicy',
    'multi-networkpolicies',
  ),
  splitNetworks: clusterScoped<SplitNetwork>(ownApiVersion, 'SplitNetwork', 'splitnetworks'),
  addressBlocks: clusterScoped<AddressBlock>(ownApiVersion, 'AddressBlock', 'addressblocks'),
  containerNetworkPolicies: namespaced<ContainerNetworkPolicy>(
    ownApiVersion,
    'ContainerNetworkPolicy',
    'containernetworkpolicies',
  ),
  podSplits: namespaced<PodSplit>(ownApiVersion, 'PodSplit', 'podsplits'),
} as const;

export interface ResourcePath {
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
  readonly subresource?: string | undefined;
}

/** `/api/v1/namespaces/NS/pods/NAME/status`; without a namespace all namespaces', without a name the collection. */
export function resourcePath(resource: Resource, path: ResourcePath): string {
  if (resource.namespaced && path.name !== undefined && path.namespace === undefined) {
    throw new TypeError(`${resource.kind} ${path.name}: a namespace is needed to name one.`);
  }
  const root = resource.apiVersion.includes('/') ? `/apis/${resource.apiVersion}` : `/api/${resource.apiVersion}`;
  const scope = resource.namespaced && path.namespace !== undefined ? ['namespaces', path.namespace] : [];
  const segments = [...scope, resource.plural, path.name, path.subresource].filter((segment) => segment !== undefined);
  return [root, ...segments.map(encodeURIComponent)].join('/');
}
