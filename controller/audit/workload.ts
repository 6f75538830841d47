import { at, isRecord, list, record, type JsonObject } from '../api/json.ts';

/** What Pods are grouped by. */
export interface Workload {
  readonly namespace: string;
  readonly kind: string;
  readonly name: string;
}

/**
 * Of a Pod that runs: what controls it, and of a Deployment's ReplicaSet the Deployment, which its name and the Pod's label
 * tell (pkg/controller/deployment, getNewReplicaSet).
 *
 * @param cronJobs by `namespace/job`: the CronJobs of Jobs that have one
 */
export function workloadOfPod(pod: JsonObject, cronJobs: ReadonlyMap<string, string>): Workload {
  const metadata = record(pod['metadata']);
  const namespace = text(metadata['namespace']);
  const owner = controllerOf(metadata);
  if (owner === undefined) return { namespace, kind: 'Pod', name: text(metadata['name']) };
  const { kind, name } = owner;
  const hash = text(at(metadata, ['labels', 'pod-template-hash']));
  if (kind === 'ReplicaSet' && hash !== '' && name.endsWith(`-${hash}`)) {
    return { namespace, kind: 'Deployment', name: name.slice(0, -hash.length - 1) };
  }
  const cronJob = kind === 'Job' ? cronJobs.get(`${namespace}/${name}`) : undefined;
  if (cronJob !== undefined) return { namespace, kind: 'CronJob', name: cronJob };
  // Static Pods: the node is no workload.
  if (kind === 'Node') return { namespace, kind: 'Pod', name: text(metadata['name']) };
  return { namespace, kind, name };
}

export function controllerOf(metadata: unknown): { readonly kind: string; readonly name: string } | undefined {
  const found = list(record(metadata)['ownerReferences']).find((each) => isRecord(each) && each['controller'] === true);
  if (!isRecord(found)) return undefined;
  return { kind: text(found['kind']), name: text(found['name']) };
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
