import { userAnnotations } from '../api/names.ts';
import type { PodSplit } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import { isApiError } from '../kube/errors.ts';
import { resources, type Pod } from '../kube/resources.ts';
import type { ParsedPolicy } from '../policies/parse-policy.ts';
import { policiesFor } from '../policies/resolve-pod.ts';
import { userLabels } from '../policies/subject.ts';
import { CliError } from './cli-error.ts';
import { findPodSplit, listReadable } from './find-pod.ts';
import { callsBetween } from './flows-advice.ts';
import { flowsReport, formatFlowsReport, type FlowsReport } from './flows-report.ts';
import type { Io } from './input.ts';
import { formatLeastPolicy } from './least-policy.ts';
import { formatManifest } from './manifest-yaml.ts';
import { readPolicies } from './policy-directory.ts';
import { targetPod } from './target-pod.ts';

export interface FlowsCommand {
  /** `POD`, a piece of it, whichever, or `TYPE/NAME`. */
  readonly target: string;
  readonly output: 'table' | 'wide' | 'json' | 'yaml' | 'policy';
  readonly namespace: string | undefined;
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
  readonly as: string | undefined;
}

/** Of a cluster, what commands that read one are given. */
export interface Cluster {
  readonly client: KubeClient;
  /** Where none is named. */
  readonly namespace: string;
}

export type ClusterOptions = Pick<FlowsCommand, 'kubeconfig' | 'context' | 'as'>;

/** `kubectl podsplit flows POD | TYPE/NAME`: what may pass between the pieces of a running Pod, and what they tried and were denied. */
export async function runFlows(command: FlowsCommand, io: Io): Promise<void> {
  const { client, namespace: ofContext } = await io.connect(command);
  const namespace = command.namespace ?? ofContext;
  try {
    const pod = await targetPod(client, { target: command.target, namespace }, io);
    const podSplit = await findPodSplit(client, namespace, pod);
    if (command.output === 'policy') io.stdout(await leastPolicyOf(podSplit, client));
    else io.stdout(print(flowsReport(podSplit, await enforcingOn(pod, podSplit, client)), command, io));
  } finally {
    client.close();
  }
}

/** Asked for where something was denied that somebody may want to allow: mostly nothing was. */
async function enforcingOn(
  named: Pod,
  { metadata, spec, status }: PodSplit,
  client: KubeClient,
): Promise<readonly ParsedPolicy[] | 'unread' | undefined> {
  if (callsBetween(status?.denied ?? []).length === 0) return undefined;
  const { namespace = '' } = metadata;
  const policies = await readPolicies(client, namespace);
  if (policies === undefined) return 'unread';
  if (policies.length === 0) return [];
  const pod = await primaryOf(named, spec.pod.name, client);
  if (pod === undefined) return undefined;
  const { selecting } = policiesFor({ namespace, labels: userLabels(pod) }, policies);
  return selecting.filter(({ action }) => action === 'Enforce');
}

/** What selectors mean are the labels of the Pod that its users know; undefined where it is gone before its siblings. */
async function primaryOf(named: Pod, name: string, client: KubeClient): Promise<Pod | undefined> {
  const { metadata } = named;
  if (metadata.name === name) return named;
  try {
    return await client.get(resources.pods, { namespace: metadata.namespace, name });
  } catch (error) {
    if (isApiError(error, 'NotFound')) return undefined;
    throw error;
  }
}

/** What podsplit saw in status.observed, as the policy that allows it and nothing else. */
async function leastPolicyOf(podSplit: PodSplit, client: KubeClient): Promise<string> {
  const report = flowsReport(podSplit);
  if (report.observed === undefined) {
    throw new CliError(
      `Nothing was observed of Pod ${report.pod}. Set ${userAnnotations.flows}=observe on ` +
        `${report.workload.kind.toLowerCase()}/${report.workload.name}, and use it for a while.`,
    );
  }
  const primary = await client.get(resources.pods, { namespace: report.namespace, name: report.pod });
  const { status } = podSplit;
  const containers = (status?.pieces ?? []).map(({ name }) => name);
  const [pods, services] = await Promise.all([
    listReadable(client, resources.pods, report.namespace),
    listReadable(client, resources.services, report.namespace),
  ]);
  return formatLeastPolicy({ ...report, observed: report.observed, containers, primary, pods, services });
}

function print(report: FlowsReport, { output }: FlowsCommand, io: Io): string {
  switch (output) {
    case 'json':
      return `${JSON.stringify(report, undefined, 2)}\n`;
    case 'yaml':
      return formatManifest(report);
    default:
      return formatFlowsReport(report, { wide: output === 'wide', colours: io.colours, now: io.now() });
  }
}
