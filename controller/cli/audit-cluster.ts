import type { JsonObject } from '../api/json.ts';
import type { InstallMode } from '../api/install.ts';
import type { KubeClient } from '../kube/client.ts';
import { isApiError } from '../kube/errors.ts';
import { resources, type KubeObject, type Namespace, type Resource } from '../kube/resources.ts';
import { inputOfPods, type AuditInput } from './audit-input.ts';
import { CliError } from './cli-error.ts';
import { unanswered } from './find-pod.ts';
import { printable } from './table.ts';

export interface ClusterAudit {
  readonly input: AuditInput;
  /** SplitNetworks that say how rules are loaded. */
  readonly installs: ReadonlyMap<string, InstallMode>;
  /** Plurals of what this user may not read. */
  readonly without: readonly string[];
}

/** @param namespace undefined: all of them */
export async function readCluster(
  client: KubeClient,
  { namespace, selector }: { readonly namespace: string | undefined; readonly selector: string | undefined },
): Promise<ClusterAudit> {
  const without: string[] = [];
  /** What makes the answer more exact, and may be missing. */
  const beside = async <T extends KubeObject>(resource: Resource<T>): Promise<readonly T[]> => {
    try {
      return (await client.list(resource, resource.namespaced ? { namespace } : {})).items;
    } catch (error) {
      if (!isApiError(error)) throw error;
      // No such kind: podsplit is not installed there.
      if (error.code === 'NotFound') return [];
      if (error.code !== 'Forbidden') throw unanswered(error, `list ${resource.plural}`, namespace, client.server);
      without.push(resource.plural);
      return [];
    }
  };
  const [pods, networkPolicies, claims, jobs, networks, namespaces] = await Promise.all([
    listPods(client, namespace, selector),
    beside(resources.networkPolicies),
    beside(resources.persistentVolumeClaims),
    beside(resources.jobs),
    beside(resources.splitNetworks),
    // Who may read the one namespace may not list them all.
    namespace === undefined ? beside(resources.namespaces) : ownNamespace(client, namespace, without),
  ]);
  const running = pods.filter(({ status }) => status?.phase !== 'Succeeded' && status?.phase !== 'Failed');
  return {
    input: inputOfPods(running.map(plain), {
      networkPolicies: networkPolicies.map(plain),
      claims: claims.map(plain),
      jobs: jobs.map(plain),
      // Admission has mounted what they say.
      serviceAccounts: [],
      namespaces: namespaces.map(plain),
    }),
    installs: new Map(
      networks.flatMap(({ metadata, spec }) => (spec.install === undefined ? [] : [[metadata.name, spec.install]])),
    ),
    without: without.toSorted(),
  };
}

async function ownNamespace(client: KubeClient, name: string, without: string[]): Promise<readonly Namespace[]> {
  try {
    return [await client.get(resources.namespaces, { name })];
  } catch (error) {
    if (!isApiError(error)) throw error;
    if (error.code === 'NotFound') return [];
    if (error.code !== 'Forbidden') throw unanswered(error, 'get namespaces', undefined, client.server);
    without.push(resources.namespaces.plural);
    return [];
  }
}

async function listPods(client: KubeClient, namespace: string | undefined, selector: string | undefined) {
  try {
    return (await client.list(resources.pods, { namespace, labelSelector: selector })).items;
  } catch (error) {
    if (!isApiError(error)) throw error;
    if (error.code === 'BadRequest') {
      throw new CliError(`The API server does not take that: ${printable(error.message)}. Is the selector right?`);
    }
    throw unanswered(error, 'list pods', namespace, client.server);
  }
}

/** What came from the API server is JSON, whatever its declared type leaves out. */
function plain(object: KubeObject): JsonObject {
  return { ...object };
}
