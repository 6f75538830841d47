import { splitId } from '../api/identity.ts';
import { ownLabels, readinessGate, userAnnotations } from '../api/names.ts';
import type { PodSplit } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import { isApiError, type ApiError } from '../kube/errors.ts';
import { resources, type KubeObject, type Pod, type Resource } from '../kube/resources.ts';
import { runningContainers, specOf } from '../split/pod.ts';
import { CliError } from './cli-error.ts';
import { printable } from './table.ts';

/** @throws CliError that says what is there instead, or who may look */
export async function findPod(client: KubeClient, namespace: string, name: string): Promise<Pod> {
  try {
    return await client.get(resources.pods, { namespace, name });
  } catch (error) {
    if (!isApiError(error)) throw error;
    if (error.code !== 'NotFound') throw unanswered(error, 'get pods', namespace, client.server);
    throw new CliError(
      `There is no Pod ${name} in namespace ${namespace}. ` +
        `The split ones are listed by: kubectl get podsplits -n ${namespace}`,
    );
  }
}

/** By its label: the controller puts it on, and the guards keep everybody else from it. */
export async function findPodSplit(client: KubeClient, namespace: string, pod: Pod): Promise<PodSplit> {
  const split = splitOf(pod, namespace);
  const labelSelector = `${ownLabels.split}=${split}`;
  try {
    const [found] = (await client.list(resources.podSplits, { namespace, labelSelector })).items;
    if (found !== undefined) return found;
  } catch (error) {
    if (!isApiError(error)) throw error;
    if (error.code === 'NotFound')
      throw new CliError('This cluster has no PodSplits: podsplit is not installed there.');
    throw unanswered(error, 'list podsplits.podsplit.io', namespace, client.server);
  }
  throw new CliError(`Pod ${pod.metadata.name} has no PodSplit yet. ${whyNot(pod)}`);
}

/**
 * The split Pod that it is a piece of, by its label's value; undefined where it is none. A primary is labelled once it is
 * wired, and is the same split Pod before.
 */
export function splitIn({ metadata }: Pod): string | undefined {
  const { uid = '', labels = {} } = metadata;
  return isFirst(labels[ownLabels.role]) ? splitId(uid) : labels[ownLabels.split];
}

/** Of the Pod that a workload made: it names its split Pod itself. */
export function isFirst(role: string | undefined): boolean {
  return role === 'primary' || role === 'isolated';
}

export function isReady({ status }: Pod): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') ?? false;
}

/** @throws CliError that says why it is a piece of no split Pod */
export function splitOf(pod: Pod, namespace: string): string {
  const { name, labels = {}, annotations = {} } = pod.metadata;
  if (labels[ownLabels.role] === 'whole') {
    throw new CliError(
      `Pod ${name} opted in, but has one container: there is nothing to split or to isolate, and it runs as it is.`,
    );
  }
  const split = splitIn(pod);
  if (split !== undefined) return split;
  if (annotations[userAnnotations.mode] !== undefined) {
    throw new CliError(
      `Pod ${name} opted in, but is not split: it did not meet podsplit's webhook. Delete it, so that it is made anew.`,
    );
  }
  throw new CliError(
    runningContainers(specOf(pod)).length === 1
      ? `Pod ${name} is not split. It has one container, so there is nothing to split or to isolate. ` +
          `Name a Pod with several, whose workload is annotated ${userAnnotations.mode}=split`
      : `Pod ${name} is not split. Annotate what it belongs to, for example: ` +
          `kubectl annotate deployment NAME -n ${namespace} ${userAnnotations.mode}=split`,
  );
}

function whyNot({ status }: Pod): string {
  const condition = status?.conditions?.find(({ type }) => type === readinessGate);
  if (condition === undefined) {
    return 'It is made in a moment, if the controller runs: kubectl get pods -n podsplit-system';
  }
  return `Its condition ${readinessGate} says: ${printable(condition.message ?? '')} (${printable(condition.reason ?? '')})`;
}

/** @param namespace undefined: all of them */
export function unanswered(error: ApiError, what: string, namespace: string | undefined, server: string): CliError {
  const where = namespace === undefined ? 'in all namespaces' : `in namespace ${namespace}`;
  switch (error.code) {
    case 'Forbidden':
      return new CliError(
        `You may not ${what} ${where}. Ask for the role view there: it has all that this command reads.`,
      );
    case 'Unauthorized':
      return new CliError(
        `${server} does not know you: ${printable(error.message)}. Log in again, or name another --context.`,
      );
    default:
      return new CliError(
        `${server} gave no answer: ${printable(error.message)}. Does kubectl get pods ${namespace === undefined ? '-A' : `-n ${namespace}`} work?`,
      );
  }
}

/**
 * Of all namespaces; of the Pod's own where the user may see no more; else none, and addresses stay addresses.
 *
 * @param partial called where it is not all
 */
export async function listReadable<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  namespace: string,
  partial: (resource: string) => void = () => undefined,
): Promise<readonly T[]> {
  for (const within of resource.namespaced ? [{}, { namespace }] : [{}]) {
    try {
      return (await client.list(resource, within)).items;
    } catch (error) {
      if (!isApiError(error, 'Forbidden')) throw error;
      if (!('namespace' in within)) partial(resource.plural);
    }
  }
  return [];
}
