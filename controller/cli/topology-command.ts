import type { KubeClient } from '../kube/client.ts';
import { CliError } from './cli-error.ts';
import type { ClusterOptions } from './flows-command.ts';
import type { Io } from './input.ts';
import { readDirectory, readPolicies } from './policy-directory.ts';
import type { SplitObjects } from './status-report.ts';
import { readSubjects } from './status-subjects.ts';
import { formatTopologyHtml } from './topology-html.ts';
import { formatTopologyMermaid } from './topology-mermaid.ts';
import { podTopology, type Policies, type PodTopology } from './topology-report.ts';
import { formatTopologySvg } from './topology-svg.ts';
import { formatTopologyText } from './topology-text.ts';

export interface TopologyCommand extends ClusterOptions {
  /** `POD` or `TYPE/NAME`. */
  readonly target: string | undefined;
  readonly output: 'text' | 'svg' | 'mermaid' | 'html';
  readonly namespace: string | undefined;
  readonly allNamespaces: boolean;
  readonly selector: string | undefined;
}

/** `kubectl podsplit topology [POD | TYPE/NAME]`: draws the pieces of Pods, and who may reach whom. */
export async function runTopology(command: TopologyCommand, io: Io): Promise<void> {
  checkUsage(command);
  const { client, namespace: ofContext } = await io.connect(command);
  const { target, selector } = command;
  const namespace = command.allNamespaces ? undefined : (command.namespace ?? ofContext);
  try {
    const { splits } = await readSubjects(client, { target, selector, namespace, mayBeNone: false });
    if (splits.length === 0) {
      const where = namespace === undefined ? 'in any namespace' : `in namespace ${namespace}`;
      throw new CliError(
        `There is no split Pod ${where} to draw. Annotate a workload: kubectl annotate deployment NAME podsplit.io/mode=split`,
      );
    }
    const policies = await policiesOf(client, splits);
    const nothing: Policies = { policies: [], directory: { pods: [], namespaces: new Map(), services: [] } };
    const pods = splits.map((split) => podTopology(split, policies.get(namespaceOf(split)) ?? nothing, io.now()));
    io.stdout(print(pods, command, client.server, io));
  } finally {
    client.close();
  }
}

function checkUsage({ target, allNamespaces, namespace, selector }: TopologyCommand): void {
  if (target !== undefined && allNamespaces) {
    throw new CliError(`${target} is in one namespace: name it by -n instead of -A.`);
  }
  if (target !== undefined && selector !== undefined) {
    throw new CliError('Give a name, or a selector by -l, not both.');
  }
  if (allNamespaces && namespace !== undefined) throw new CliError('Give one of -n and -A.');
}

function print(pods: readonly PodTopology[], { output }: TopologyCommand, server: string, io: Io): string {
  switch (output) {
    case 'text':
      return formatTopologyText(pods, io.colours);
    case 'svg':
      return formatTopologySvg(pods);
    case 'mermaid':
      return formatTopologyMermaid(pods);
    case 'html':
      return formatTopologyHtml(pods, { from: server, at: new Date(io.now()).toISOString() });
  }
}

function namespaceOf({ podSplit, primary }: SplitObjects): string {
  return (podSplit ?? primary)?.metadata.namespace ?? '';
}

/** By namespace. What they select is looked up only where there are some. */
async function policiesOf(client: KubeClient, splits: readonly SplitObjects[]): Promise<ReadonlyMap<string, Policies>> {
  const namespaces = [...new Set(splits.map(namespaceOf))];
  const found = await Promise.all(
    namespaces.map(async (namespace): Promise<[string, Policies]> => {
      const policies = await readPolicies(client, namespace);
      const none = { pods: [], namespaces: new Map(), services: [] };
      const isAsked = policies !== undefined && policies.length > 0;
      const directory = isAsked ? (await readDirectory(client, namespace)).directory : none;
      return [namespace, { policies, directory }];
    }),
  );
  return new Map(found);
}
