import { userAnnotations } from '../api/names.ts';
import type { PodSplit } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import { resources } from '../kube/resources.ts';
import { CliError } from './cli-error.ts';
import { findPod, findPodSplit, listReadable } from './find-pod.ts';
import { flowsReport, formatFlowsReport, type FlowsReport } from './flows-report.ts';
import type { Io } from './input.ts';
import { formatLeastPolicy } from './least-policy.ts';
import { formatManifest } from './manifest-yaml.ts';

export interface FlowsCommand {
  /** A piece of the Pod, whichever. */
  readonly pod: string;
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

/** `kubectl podsplit flows POD`: what may pass between the pieces of a running Pod, and what they tried and were denied. */
export async function runFlows(command: FlowsCommand, io: Io): Promise<void> {
  const { client, namespace: ofContext } = await io.connect(command);
  const namespace = command.namespace ?? ofContext;
  try {
    const pod = await findPod(client, namespace, command.pod.replace(/^pods?\//, ''));
    const podSplit = await findPodSplit(client, namespace, pod);
    if (command.output === 'policy') io.stdout(await leastPolicyOf(podSplit, client));
    else io.stdout(print(flowsReport(podSplit), command, io));
  } finally {
    client.close();
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
