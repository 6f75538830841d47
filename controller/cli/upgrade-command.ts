import { agentName, agentNamespace, controllerName, systemNamespace, userAnnotations } from '../api/names.ts';
import { documentsOf } from '../manifests/documents.ts';
import { manifestSources } from '../manifests/sources.ts';
import { defaultValues, imageOf, imageValues, mergeValues, type Values } from '../manifests/values.ts';
import type { KubeClient } from '../kube/client.ts';
import { type ApiError, isApiError } from '../kube/errors.ts';
import { type Deployment, type KubeObject, type Pod, type Resource, resources } from '../kube/resources.ts';
import { version } from '../version.ts';
import { chosenValues, refuseMisfits } from './chosen-values.ts';
import { CliError } from './cli-error.ts';
import { isFirst, unanswered } from './find-pod.ts';
import type { ClusterOptions } from './flows-command.ts';
import { type InstallCommand, printManifests } from './install-command.ts';
import { readRecord, recordName } from './install-record.ts';
import type { Io } from './input.ts';
import { jumpNotes } from './upgrade-notes.ts';
import { printable } from './table.ts';

export interface UpgradeCommand extends InstallCommand, ClusterOptions {}

/** `kubectl podsplit upgrade`: what to apply, with the choices of the install, and on stderr what to know of the way. */
export async function runUpgrade(command: UpgradeCommand, io: Io): Promise<void> {
  const given = await chosenValues(command, io);
  const { client } = await io.connect(command);
  try {
    const deployment = await find(client, resources.deployments, systemNamespace, controllerName);
    if (deployment === undefined) throw new CliError('There is no podsplit to upgrade: kubectl podsplit install');
    refuseHelm(deployment);
    const record = readRecord(await find(client, resources.configMaps, systemNamespace, recordName));
    if (record !== undefined) {
      refuseMisfits(record, `ConfigMap ${systemNamespace}/${recordName} does not fit this version. Correct it there.`);
    }
    const image = imageIn(deployment);
    const kept: Values = record ?? (image === undefined ? {} : imageValues(image));
    const chosen = mergeValues(kept, given);

    const documents = documentsOf(manifestSources());
    const notes = jumpNotes({
      from: deployment.metadata.labels?.['app.kubernetes.io/version'],
      to: version,
      image: { from: image, to: imageOf(mergeValues(defaultValues(documents), chosen)) },
      recorded: record !== undefined,
      initPods: (await list(client, resources.pods, 'podsplit.io/role')).filter(isInit).map(titleOf),
      rolling: await rolling(client, deployment),
    });
    for (const note of notes) io.stderr(`${printable(note)}\n`);
    printManifests(documents, chosen, command.output, io);
  } finally {
    client.close();
  }
}

/** @throws CliError where Helm would take its objects for changed by somebody else */
function refuseHelm(deployment: Deployment): void {
  const release = helmRelease(deployment);
  if (release === undefined) return;
  throw new CliError(
    `Helm installed podsplit, and has a record of its own. Upgrade with: helm upgrade ${release.name} CHART -n ${release.namespace}`,
  );
}

export function helmRelease({
  metadata,
}: KubeObject): { readonly name: string; readonly namespace: string } | undefined {
  const { labels = {}, annotations = {} } = metadata;
  if (labels['app.kubernetes.io/managed-by'] !== 'Helm') return undefined;
  const named = (what: string) => printable(annotations[`meta.helm.sh/release-${what}`] ?? what.toUpperCase());
  return { name: named('name'), namespace: named('namespace') };
}

function imageIn({ spec }: Deployment): string | undefined {
  return spec?.template.spec?.containers.find(({ name }) => name === 'controller')?.image;
}

function isInit({ metadata }: Pod): boolean {
  return isFirst(metadata.labels?.['podsplit.io/role']) && metadata.annotations?.[userAnnotations.install] === 'init';
}

function titleOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ''}/${metadata.name}`;
}

async function rolling(client: KubeClient, { metadata, spec, status }: Deployment): Promise<readonly string[]> {
  const replicas = spec?.replicas ?? 1;
  const done = status?.observedGeneration === metadata.generation && status?.updatedReplicas === replicas;
  const ready = done && status.availableReplicas === replicas;
  const agents = await find(client, resources.daemonSets, agentNamespace, agentName);
  const { desiredNumberScheduled = 0, numberAvailable = 0, updatedNumberScheduled = 0 } = agents?.status ?? {};
  const agentsReady = numberAvailable >= desiredNumberScheduled && updatedNumberScheduled >= desiredNumberScheduled;
  return [
    ...(ready ? [] : [`deployment/${controllerName} in ${systemNamespace}`]),
    ...(agentsReady ? [] : [`daemonset/${agentName} in ${agentNamespace}`]),
  ];
}

/** What this reads no role of a namespace has. */
function notTold(error: ApiError, what: string, namespace: string | undefined, server: string): CliError {
  return error.code === 'Forbidden'
    ? new CliError(`You may not ${what}. This is for who administers the cluster: it reads all namespaces.`)
    : unanswered(error, what, namespace, server);
}

/** @throws CliError where nobody answered */
export async function find<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  namespace: string | undefined,
  name: string,
): Promise<T | undefined> {
  try {
    return await client.get(resource, { namespace, name });
  } catch (error) {
    if (!isApiError(error)) throw error;
    if (error.code === 'NotFound') return undefined;
    throw notTold(error, `get ${resource.plural}`, namespace, client.server);
  }
}

/** Of all namespaces; none where the cluster does not know the kind. @throws CliError where nobody answered */
export async function list<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  labelSelector?: string,
): Promise<readonly T[]> {
  try {
    return (await client.list(resource, { labelSelector })).items;
  } catch (error) {
    if (!isApiError(error)) throw error;
    if (error.code === 'NotFound') return [];
    throw notTold(error, `list ${resource.plural}`, undefined, client.server);
  }
}
