import type { KubeClient } from '../controller/kube/client.ts';
import { isApiError } from '../controller/kube/errors.ts';
import { resources, type KubeObject, type Pod, type Resource } from '../controller/kube/resources.ts';
import type { Snapshot } from './invariants.ts';
import { kubectl } from './kubectl.ts';

const trash = '.trash';

/** The lists are of different moments: a Pod that comes or goes in between shows as a violation, and --wait looks again. */
export async function readSnapshot(from: KubeClient): Promise<Snapshot> {
  const pods = await list(from, resources.pods);
  const [blocks, networks, podSplits, nads, networkPolicies, multiNetworkPolicies, budgets] = await Promise.all([
    list(from, resources.addressBlocks),
    list(from, resources.splitNetworks),
    list(from, resources.podSplits),
    list(from, resources.networkAttachmentDefinitions),
    list(from, resources.networkPolicies),
    list(from, resources.multiNetworkPolicies),
    list(from, resources.podDisruptionBudgets),
  ]);
  const volumes = pods.filter(isDriver).flatMap(volumesOf);
  return {
    now: Date.now(),
    pods,
    blocks,
    networks,
    podSplits,
    nads,
    networkPolicies,
    multiNetworkPolicies,
    budgets,
    volumes,
  };
}

function isDriver({ metadata, status }: Pod): boolean {
  return (
    metadata.namespace === 'podsplit-node' &&
    metadata.labels?.['app.kubernetes.io/component'] === 'agent' &&
    metadata.deletionTimestamp === undefined &&
    status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true
  );
}

/** What the API does not know: its container sees the folder as the node does. */
function volumesOf({ metadata, spec }: Pod): Snapshot['volumes'] {
  // Names with a dot too: what is being deleted, and what was never finished.
  const list = ['exec', '-n', metadata.namespace ?? '', metadata.name, '-c', 'volumes', '--', 'ls', '-A'];
  const namesIn = (folder: string): readonly string[] =>
    kubectl([...list, `/var/lib/podsplit/volumes/${folder}`])
      .split('\n')
      .filter((name) => name !== '');
  const folders = namesIn('').flatMap((name) =>
    name === trash ? namesIn(trash).map((removed) => `${trash}/${removed}`) : [name],
  );
  return folders.map((folder) => ({ node: spec?.nodeName ?? '', folder }));
}

/** A kind that the cluster does not have has no objects: podsplit may be uninstalled, Multus absent. */
async function list<T extends KubeObject>(from: KubeClient, resource: Resource<T>): Promise<readonly T[]> {
  try {
    return (await from.list(resource)).items;
  } catch (error) {
    if (isApiError(error, 'NotFound')) return [];
    throw error;
  }
}
