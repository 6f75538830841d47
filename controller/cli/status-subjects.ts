import { splitId } from '../api/identity.ts';
import { ownLabels, userAnnotations } from '../api/names.ts';
import type { PodSplit } from '../api/resources.ts';
import type { KubeClient, Selection } from '../kube/client.ts';
import { isApiError } from '../kube/errors.ts';
import { resources, type KubeObject, type Pod, type Resource } from '../kube/resources.ts';
import { CliError } from './cli-error.ts';
import { findPod, isFirst, splitIn, splitOf, unanswered } from './find-pod.ts';
import { namedWorkload, podNamed } from './named-workload.ts';
import type { SplitObjects } from './status-report.ts';
import { printable } from './table.ts';

export interface StatusQuery {
  /** `POD` or `TYPE/NAME`; undefined: all there are. */
  readonly target: string | undefined;
  /** Undefined: all namespaces. */
  readonly namespace: string | undefined;
  /** Of the workload's Pods, by their own labels. */
  readonly selector: string | undefined;
  /** There were some: that a workload has none for a while is no mistake. */
  readonly mayBeNone: boolean;
}

export interface Subjects {
  readonly splits: readonly SplitObjects[];
  /** Where to hear that something has changed. */
  readonly watched: readonly Watched[];
}

export interface Watched extends Selection {
  readonly resource: Resource;
  readonly resourceVersion: string;
}

/** @throws CliError where what was named is not there, or not split */
export async function readSubjects(client: KubeClient, query: StatusQuery): Promise<Subjects> {
  const wanted = await wantedBy(client, query);
  const { namespace } = query;
  const [pods, podSplits] = await Promise.all([
    list(client, resources.pods, { namespace, labelSelector: wanted.label ?? ownLabels.role }),
    list(client, resources.podSplits, { namespace, labelSelector: wanted.label }),
  ]);
  const splits = joined([...wanted.pods, ...pods.items], podSplits.items).filter(wanted.has);
  if (splits.length === 0 && wanted.otherwise !== undefined && !query.mayBeNone) throw wanted.otherwise;
  return { splits, watched: [pods.watched, podSplits.watched] };
}

interface Wanted {
  /** All pieces of one split Pod. */
  readonly label?: string;
  /** Found already: an unwired Pod has no such label. */
  readonly pods: readonly Pod[];
  readonly has: (split: SplitObjects) => boolean;
  /** What to say if there is none. */
  readonly otherwise?: CliError;
}

async function wantedBy(client: KubeClient, { target, namespace, selector }: StatusQuery): Promise<Wanted> {
  if (target !== undefined && namespace !== undefined) {
    const pod = podNamed(target);
    if (pod !== undefined) return onePod(client, namespace, pod);
    const [type = '', name = ''] = target.split('/', 2);
    return oneWorkload(client, namespace, { type, name });
  }
  if (selector === undefined) return { pods: [], has: () => true };
  const { items } = await list(client, resources.pods, { namespace, labelSelector: selector });
  const uids = new Set(items.map(({ metadata }) => metadata.uid));
  return { pods: [], has: ({ podSplit, primary }) => uids.has(podSplit?.spec.pod.uid ?? primary?.metadata.uid) };
}

async function onePod(client: KubeClient, namespace: string, name: string): Promise<Wanted> {
  const pod = await findPod(client, namespace, name);
  const label = `${ownLabels.split}=${splitOf(pod, namespace)}`;
  // Siblings are there a moment before the primary has its label.
  const otherwise = new CliError(`Pod ${name} is a piece of a Pod that is being made. Ask again, or name that Pod.`);
  return { label, pods: [pod], has: () => true, otherwise };
}

async function oneWorkload(
  client: KubeClient,
  namespace: string,
  { type, name }: { readonly type: string; readonly name: string },
): Promise<Wanted> {
  const { title, has } = await namedWorkload(client, namespace, { type, name });
  const otherwise = new CliError(
    `${title} has no split Pod in namespace ${namespace}. Is it annotated? ` +
      `kubectl annotate ${title} -n ${namespace} ${userAnnotations.mode}=split`,
  );
  return { pods: [], has, otherwise };
}

/** In the order of their names. */
function joined(pods: readonly Pod[], podSplits: readonly PodSplit[]): readonly SplitObjects[] {
  const byName = new Map(pods.map((pod) => [`${pod.metadata.namespace ?? ''}/${pod.metadata.name}`, pod]));
  const piecesOf = Map.groupBy(byName.values(), keyOfPod);
  const known = new Map(podSplits.map((podSplit) => [keyOf(podSplit), podSplit]));
  const primaries = [...byName.values()].filter(({ metadata }) => isFirst(metadata.labels?.[ownLabels.role]));
  const keys = new Set([...known.keys(), ...primaries.flatMap((pod) => keyOfPod(pod) ?? [])]);
  const splits = [...keys].map((key) => {
    const own = piecesOf.get(key) ?? [];
    const primary = own.find(({ metadata }) => isFirst(metadata.labels?.[ownLabels.role]));
    return { podSplit: known.get(key), primary, pods: own };
  });
  return splits.toSorted((one, other) => (nameOf(one) < nameOf(other) ? -1 : 1));
}

function keyOf({ metadata, spec }: PodSplit): string {
  return `${metadata.namespace ?? ''}/${splitId(spec.pod.uid)}`;
}

function keyOfPod(pod: Pod): string | undefined {
  const split = splitIn(pod);
  return split === undefined ? undefined : `${pod.metadata.namespace ?? ''}/${split}`;
}

function nameOf({ podSplit, primary }: SplitObjects): string {
  const { namespace = '' } = podSplit?.metadata ?? primary?.metadata ?? {};
  return `${namespace}/${podSplit?.spec.pod.name ?? primary?.metadata.name ?? ''}`;
}

async function list<T extends KubeObject>(
  client: KubeClient,
  resource: Resource<T>,
  selection: Selection,
): Promise<{ readonly items: readonly T[]; readonly watched: Watched }> {
  try {
    const { items, resourceVersion } = await client.list(resource, selection);
    return { items, watched: { ...selection, resource, resourceVersion } };
  } catch (error) {
    if (!isApiError(error)) throw error;
    if (error.code === 'NotFound') {
      throw new CliError(`This cluster has no ${resource.kind}s: podsplit is not installed there.`);
    }
    if (error.code === 'BadRequest') {
      throw new CliError(`The API server does not take that: ${printable(error.message)}. Is the selector right?`);
    }
    const what = `list ${resource.kind === 'Pod' ? 'pods' : `${resource.plural}.podsplit.io`}`;
    throw unanswered(error, what, selection.namespace, client.server);
  }
}
