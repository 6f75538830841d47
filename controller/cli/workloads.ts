import { at, list, record, type JsonObject } from '../api/json.ts';
import { group } from '../api/names.ts';
import { withClaimVolumes } from '../split/claim-templates.ts';
import type { Manifest } from './input.ts';

/** A workload of the input and the Pod that its controller would make of it, first replica. */
export interface Replica {
  readonly manifest: Manifest;
  /** Where the Pod's fields are in the manifest, `''` for a Pod itself. */
  readonly templatePath: string;
  /** Keys of the annotations that come from the workload itself, not from its template. */
  readonly workloadAnnotations: readonly string[];
  readonly pod: JsonObject;
  /** The claims that a StatefulSet makes beside it. */
  readonly claims: readonly JsonObject[];
}

/** Where each kind keeps its Pod template. */
const templatePaths: Readonly<Record<string, readonly string[]>> = {
  'v1/Pod': [],
  'v1/ReplicationController': ['spec', 'template'],
  'apps/v1/Deployment': ['spec', 'template'],
  'apps/v1/ReplicaSet': ['spec', 'template'],
  'apps/v1/StatefulSet': ['spec', 'template'],
  'apps/v1/DaemonSet': ['spec', 'template'],
  'batch/v1/Job': ['spec', 'template'],
  'batch/v1/CronJob': ['spec', 'jobTemplate', 'spec', 'template'],
};

/** Undefined for what is no workload. */
export function replicaOf(manifest: Manifest): Replica | undefined {
  const { apiVersion, kind } = manifest;
  const key = `${apiVersion}/${kind}`;
  const path = Object.hasOwn(templatePaths, key) ? templatePaths[key] : undefined;
  if (path === undefined) return undefined;
  if (path.length === 0) {
    return { manifest, templatePath: '', workloadAnnotations: [], pod: manifest.object, claims: [] };
  }
  const template = record(at(manifest.object, path));
  const metadata = record(template['metadata']);
  const own = ourAnnotations(manifest.object);
  const type = { apiVersion: 'v1', kind: 'Pod' };
  const pod = {
    ...type,
    ...template,
    ...type,
    metadata: {
      ...metadata,
      name: `${manifest.name.slice(0, 251)}-0`,
      // As the webhook copies them to the template: the workload's win.
      ...(Object.keys(own).length === 0 ? {} : { annotations: { ...record(metadata['annotations']), ...own } }),
    },
  };
  const finish = controllers[kind];
  return {
    manifest,
    templatePath: path.join('.'),
    workloadAnnotations: Object.keys(own),
    ...(finish === undefined ? { pod, claims: [] } : finish(pod, manifest)),
  };
}

/** By name, of the namespaces among the objects. */
export function namespaceLabels(
  manifests: readonly Pick<Manifest, 'apiVersion' | 'kind' | 'name' | 'object'>[],
): ReadonlyMap<string, Readonly<Record<string, string>>> {
  const namespaces = manifests.filter(({ apiVersion, kind }) => apiVersion === 'v1' && kind === 'Namespace');
  return new Map(namespaces.map(({ name, object }) => [name, textLabels(object)]));
}

export function textLabels(object: JsonObject): Readonly<Record<string, string>> {
  const labels = Object.entries(record(at(object, ['metadata', 'labels'])));
  return Object.fromEntries(labels.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}

/** The field of the object that the user wrote, for a field of the Pod. */
export function pathInManifest(replica: Replica, path: string): string {
  if (path.startsWith('namespace.')) return path;
  if (path === 'metadata.name') return path;
  const fromWorkload = replica.workloadAnnotations.some((key) => path.startsWith(`metadata.annotations[${key}]`));
  return fromWorkload || replica.templatePath === '' ? path : `${replica.templatePath}.${path}`;
}

type PodJson = JsonObject & { readonly metadata: JsonObject };
type Finish = (pod: PodJson, manifest: Manifest) => Pick<Replica, 'pod' | 'claims'>;

/** What some controllers add to the template. */
const controllers: Readonly<Partial<Record<string, Finish>>> = {
  StatefulSet: finishStatefulSet,
  DaemonSet: finishDaemonSet,
};

/** Stable identity and storage: pkg/controller/statefulset, newVersionedStatefulSetPod. */
function finishStatefulSet(pod: PodJson, manifest: Manifest): Pick<Replica, 'pod' | 'claims'> {
  const name = `${manifest.name}-0`;
  const spec = record(pod['spec']);
  const templates = list(at(manifest.object, ['spec', 'volumeClaimTemplates'])).map(record);
  const claims = templates.map((template) => {
    const metadata = record(template['metadata']);
    return {
      ...template,
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { ...metadata, name: `${text(metadata['name'])}-${name}` },
    };
  });
  const serviceName = at(manifest.object, ['spec', 'serviceName']);
  return {
    claims,
    pod: {
      ...pod,
      metadata: {
        ...pod.metadata,
        labels: {
          ...record(pod.metadata['labels']),
          'statefulset.kubernetes.io/pod-name': name,
          'apps.kubernetes.io/pod-index': '0',
        },
      },
      spec: {
        ...withClaimVolumes(spec, templates, name),
        hostname: name,
        ...(typeof serviceName === 'string' && serviceName !== '' ? { subdomain: serviceName } : {}),
      },
    },
  };
}

/** pkg/controller/daemon/util, AddOrUpdateDaemonPodTolerations. */
const daemonTolerations = [
  ['not-ready', 'NoExecute'],
  ['unreachable', 'NoExecute'],
  ['disk-pressure', 'NoSchedule'],
  ['memory-pressure', 'NoSchedule'],
  ['pid-pressure', 'NoSchedule'],
  ['unschedulable', 'NoSchedule'],
].map(([key, effect]) => ({ key: `node.kubernetes.io/${key ?? ''}`, operator: 'Exists', effect }));

function finishDaemonSet(pod: PodJson): Pick<Replica, 'pod' | 'claims'> {
  const spec = record(pod['spec']);
  return {
    claims: [],
    pod: { ...pod, spec: { ...spec, tolerations: [...list(spec['tolerations']), ...daemonTolerations] } },
  };
}

function ourAnnotations(object: JsonObject): JsonObject {
  const annotations = record(at(object, ['metadata', 'annotations']));
  return Object.fromEntries(Object.entries(annotations).filter(([key]) => key.startsWith(`${group}/`)));
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
