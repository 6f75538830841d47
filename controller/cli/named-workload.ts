import type { KubeClient } from '../kube/client.ts';
import { isApiError } from '../kube/errors.ts';
import { resources, type KubeObject, type Resource } from '../kube/resources.ts';
import { selects, type LabelSelector } from '../policies/label-selector.ts';
import { CliError } from './cli-error.ts';
import { unanswered } from './find-pod.ts';
import type { SplitObjects } from './status-report.ts';

/** As kubectl knows them. Other kinds, of custom workloads, have whatever PodSplits name them. */
const types: readonly { readonly names: readonly string[]; readonly resource: Resource<Selecting> }[] = [
  { names: ['deployment', 'deployments', 'deploy'], resource: resources.deployments },
  { names: ['statefulset', 'statefulsets', 'sts'], resource: resources.statefulSets },
  { names: ['daemonset', 'daemonsets', 'ds'], resource: resources.daemonSets },
  { names: ['replicaset', 'replicasets', 'rs'], resource: resources.replicaSets },
  { names: ['job', 'jobs'], resource: resources.jobs },
  { names: ['cronjob', 'cronjobs', 'cj'], resource: resources.cronJobs as Resource<Selecting> },
];

interface Selecting extends KubeObject {
  /** A CronJob has none: its Pods are those of its Jobs. */
  readonly spec?: { readonly selector?: LabelSelector };
}

export interface NamedWorkload {
  /** `deployment/web`. */
  readonly title: string;
  readonly has: (split: SplitObjects) => boolean;
}

/** The name, where `POD` or `TYPE/NAME` is a Pod. */
export function podNamed(target: string): string | undefined {
  const [type = '', name] = target.split('/', 2);
  if (name === undefined) return target;
  return /^(pods?|po)$/.test(type) ? name : undefined;
}

/**
 * @param type as in `kubectl get TYPE/NAME`: `deploy`, `deployments.apps`
 * @throws CliError where it is not there
 */
export async function namedWorkload(
  client: KubeClient,
  namespace: string,
  { type, name }: { readonly type: string; readonly name: string },
): Promise<NamedWorkload> {
  const short = type.toLowerCase().replace(/\..*$/, '');
  const known = types.find(({ names }) => names.includes(short));
  if (known === undefined) {
    return {
      title: `${short}/${name}`,
      has: ({ podSplit }) => {
        const workload = podSplit?.spec.workload;
        const kind = workload?.kind.toLowerCase() ?? '';
        return workload?.name === name && (kind === short || `${kind}s` === short);
      },
    };
  }
  const { resource } = known;
  try {
    const { metadata, spec } = await client.get(resource, { namespace, name });
    const selector = spec?.selector;
    return {
      title: `${resource.kind.toLowerCase()}/${name}`,
      // A Pod that no PodSplit is about yet is found by the selector.
      has: ({ podSplit, primary }) =>
        podSplit?.spec.workload.uid === metadata.uid ||
        (selector !== undefined && primary !== undefined && selects(selector, primary.metadata.labels ?? {})),
    };
  } catch (error) {
    if (!isApiError(error)) throw error;
    if (error.code === 'NotFound') {
      throw new CliError(
        `There is no ${resource.kind} ${name} in namespace ${namespace}. ` +
          `The split Pods there: kubectl podsplit status -n ${namespace}`,
      );
    }
    throw unanswered(error, `get ${resource.plural}`, namespace, client.server);
  }
}
