import { inDeletionOrder } from '../manifests/deletion-order.ts';
import { documentsOf } from '../manifests/documents.ts';
import { manifestStream, type RenderedDocument, renderManifests } from '../manifests/render.ts';
import { manifestSources } from '../manifests/sources.ts';
import { defaultValues } from '../manifests/values.ts';
import { wholePatch } from '../manifests/whole-patch.ts';
import type { KubeClient } from '../kube/client.ts';
import { type KubeObject, type Resource, resources } from '../kube/resources.ts';
import { version } from '../version.ts';
import { agentName, agentNamespace, controllerName, ownPods, systemNamespace, userAnnotations } from '../api/names.ts';
import { isFirst } from './find-pod.ts';
import type { ClusterOptions } from './flows-command.ts';
import { listOf } from './install-command.ts';
import type { Io } from './input.ts';
import { printable } from './table.ts';
import { type Installed, nextDeletion } from './uninstall-steps.ts';
import { find, helmRelease, list } from './upgrade-command.ts';

export interface UninstallCommand extends ClusterOptions {
  readonly all: boolean;
  readonly output: 'yaml' | 'json';
}

/** `kubectl podsplit uninstall`: what may be deleted now. Gives the exit code. */
export async function runUninstall(command: UninstallCommand, io: Io): Promise<number> {
  const ordered = inDeletionOrder(everything());
  if (command.all) {
    print(ordered, command, io);
    io.stderr(
      'Note: this is the order, for a cluster without split Pods. Without --all the cluster is looked at first.\n',
    );
    return 0;
  }
  const { client } = await io.connect(command);
  try {
    const { documents, notes, last } = nextDeletion(ordered, await look(client));
    print(documents, command, io);
    for (const note of notes) io.stderr(`${printable(note)}\n`);
    return last ? 0 : 1;
  } finally {
    client.close();
  }
}

/** Options are in the namespaces, and go with them. */
function everything(): readonly RenderedDocument[] {
  const documents = documentsOf(manifestSources());
  return renderManifests(documents, { values: defaultValues(documents), version });
}

function print(documents: readonly RenderedDocument[], { output }: UninstallCommand, io: Io): void {
  if (output === 'json') io.stdout(listOf(documents));
  else io.stdout(manifestStream(documents));
}

const workloads: readonly Resource<KubeObject & { readonly spec?: object }>[] = [
  resources.deployments,
  resources.statefulSets,
  resources.daemonSets,
  resources.replicaSets,
  resources.cronJobs,
  resources.jobs,
];

async function look(client: KubeClient): Promise<Installed> {
  const [namespaces, webhook, agents, deployment, pods, agentPods, policies, ...lists] = await Promise.all([
    list(client, resources.namespaces),
    find(client, resources.mutatingWebhookConfigurations, undefined, 'podsplit'),
    find(client, resources.daemonSets, agentNamespace, agentName),
    find(client, resources.deployments, systemNamespace, controllerName),
    list(client, resources.pods, 'podsplit.io/role in (primary,sibling,isolated)'),
    list(client, resources.pods, ownPods('agent')),
    list(client, resources.containerNetworkPolicies),
    ...workloads.map((resource) => list(client, resource)),
  ]);
  const labels = namespaces.flatMap(({ metadata: { name, labels: on = {} } }) =>
    Object.keys(on)
      .filter((key) => key.startsWith('podsplit.io/'))
      .map((key) => ({ key, command: `kubectl label namespace ${name} ${key}-` })),
  );
  const unlabel = (wanted: (key: string) => boolean) =>
    labels.filter(({ key }) => wanted(key)).map(({ command }) => command);
  return {
    unlabelMode: unlabel((key) => key === userAnnotations.mode),
    unlabel: unlabel((key) => key !== userAnnotations.mode),
    unannotate: workloads.flatMap(({ kind }, index) =>
      (lists[index] ?? []).flatMap((object) => patchCommand(kind, object)),
    ),
    pods: pods
      .filter(({ metadata }) => isFirst(metadata.labels?.['podsplit.io/role']))
      .map(({ metadata: { namespace = '', name, ownerReferences = [] } }) => ({
        namespace,
        name,
        bare: !ownerReferences.some(({ controller }) => controller === true),
      })),
    webhook: webhook !== undefined,
    agents: agents !== undefined,
    agentPods: agentPods.filter(({ metadata }) => metadata.namespace === agentNamespace).length,
    policies: policies.length,
    helm: deployment === undefined ? undefined : helmRelease(deployment),
  };
}

/** Objects of a list have no kind. */
function patchCommand(
  kind: string,
  { metadata, ...object }: KubeObject & { readonly spec?: object },
): readonly string[] {
  const patch = wholePatch({ kind, metadata: { ...metadata }, spec: object.spec });
  if (patch === undefined) return [];
  const { namespace = '', name } = metadata;
  return [`kubectl patch ${kind.toLowerCase()} ${name} -n ${namespace} --type=merge -p '${JSON.stringify(patch)}'`];
}
