import type { ContainerNetworkPolicy } from '../api/container-network-policy.ts';
import { ownLabels, userAnnotations } from '../api/names.ts';
import type { KubeClient } from '../kube/client.ts';
import { isApiError } from '../kube/errors.ts';
import { resources, type Pod } from '../kube/resources.ts';
import { explainPod } from '../policies/explain-pod.ts';
import { CliError } from './cli-error.ts';
import { findPod, findPodSplit, unanswered } from './find-pod.ts';
import type { ClusterOptions } from './flows-command.ts';
import type { Io } from './input.ts';
import { formatManifest } from './manifest-yaml.ts';
import { readDirectory } from './policy-directory.ts';
import { parseQuestion, requireKnown } from './policy-question.ts';
import { formatAnswer, formatPolicyReport, policyReport, type Answer, type PolicyReport } from './policy-report.ts';
import { policedPod } from './policy-subject.ts';
import { targetPod } from './target-pod.ts';

export interface PolicyCommand extends ClusterOptions {
  /** `POD`, a piece of it, whichever, or `TYPE/NAME`. */
  readonly target: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly output: 'table' | 'json' | 'yaml';
  readonly namespace: string | undefined;
}

/** `kubectl podsplit policy POD | TYPE/NAME`: what policies make of a Pod, or which rule decides one question. Gives the exit code. */
export async function runPolicy(command: PolicyCommand, io: Io): Promise<number> {
  const { client, namespace: ofContext } = await io.connect(command);
  const namespace = command.namespace ?? ofContext;
  try {
    const pod = await primaryOf(client, namespace, await targetPod(client, { target: command.target, namespace }, io));
    const policed = policedPod(pod);
    const { subject, ingressVia } = policed;
    const policies = await policiesIn(client, namespace);
    const seen = await readDirectory(client, namespace);
    const { directory, unseen } = seen;
    if (unseen.length > 0) io.stderr(`You may not list ${unseen.join(', ')}: what is said of others may be wrong.\n`);
    if (command.from === undefined && command.to === undefined) {
      print(policyReport({ ...policed, policies, directory }), formatPolicyReport, { command, io });
      return 0;
    }
    const question = parseQuestion(command, subject);
    requireKnown(question, subject, seen);
    const answer = {
      namespace,
      pod: subject.name,
      ...question,
      ...explainPod(subject, policies, directory, question, ingressVia),
    };
    print(answer, formatAnswer, { command, io });
    return answer.allowed ? 0 : 1;
  } finally {
    client.close();
  }
}

function print<T extends PolicyReport | Answer>(
  report: T,
  format: (report: T, colours: boolean) => string,
  { command, io }: { readonly command: PolicyCommand; readonly io: Io },
): void {
  switch (command.output) {
    case 'json':
      io.stdout(`${JSON.stringify(report, undefined, 2)}\n`);
      break;
    case 'yaml':
      io.stdout(formatManifest(report));
      break;
    case 'table':
      io.stdout(format(report, io.colours));
  }
}

/** What policies select is the Pod that its users know. */
async function primaryOf(client: KubeClient, namespace: string, pod: Pod): Promise<Pod> {
  const { spec } = await findPodSplit(client, namespace, pod);
  return pod.metadata.labels?.[ownLabels.role] === 'sibling' ? findPod(client, namespace, spec.pod.name) : pod;
}

async function policiesIn(client: KubeClient, namespace: string): Promise<readonly ContainerNetworkPolicy[]> {
  try {
    return (await client.list(resources.containerNetworkPolicies, { namespace })).items;
  } catch (error) {
    if (!isApiError(error)) throw error;
    if (error.code === 'NotFound') {
      throw new CliError(
        `This cluster has no ContainerNetworkPolicies: its podsplit is older than ${userAnnotations.mode}'s.`,
      );
    }
    throw unanswered(error, 'list containernetworkpolicies.podsplit.io', namespace, client.server);
  }
}
