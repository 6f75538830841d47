import { kindOf } from '../manifests/deletion-order.ts';
import type { RenderedDocument } from '../manifests/render.ts';
import { counted } from './table.ts';

/** What of podsplit is on a cluster. */
export interface Installed {
  /** Commands that take from namespaces what has their Pods split. */
  readonly unlabelMode: readonly string[];
  /** Commands that take podsplit's other labels from them. */
  readonly unlabel: readonly string[];
  /** Commands that take the annotations from workloads. */
  readonly unannotate: readonly string[];
  /** Split Pods, the workload's own, as NAMESPACE/NAME. */
  readonly pods: readonly SplitPodLeft[];
  readonly webhook: boolean;
  readonly agents: boolean;
  /** Pods of agents: they end after their DaemonSet. */
  readonly agentPods: number;
  /** ContainerNetworkPolicies, which are somebody's work. */
  readonly policies: number;
  readonly helm: { readonly name: string; readonly namespace: string } | undefined;
}

export interface SplitPodLeft {
  readonly namespace: string;
  readonly name: string;
  /** Nothing makes it anew. */
  readonly bare: boolean;
}

export interface Step {
  readonly documents: readonly RenderedDocument[];
  readonly notes: readonly string[];
  /** Nothing is left to do behind it. */
  readonly last: boolean;
}

const again = 'Then run this again.';

/** What may go now: the first thing that is in the way of all others. @param ordered all that podsplit is */
export function nextDeletion(ordered: readonly RenderedDocument[], installed: Installed): Step {
  const { unannotate, pods, webhook, agents, agentPods } = installed;
  if (installed.unlabelMode.length > 0) return { documents: [], notes: labelNotes(installed.unlabelMode), last: false };
  const ofKind = (kind: string) => ordered.filter((document) => kindOf(document) === kind);
  if (unannotate.length > 0 || pods.length > 0) {
    const documents = webhook ? ofKind('MutatingWebhookConfiguration') : [];
    return { documents, notes: [...webhookNote(webhook), ...wholeNotes(installed)], last: false };
  }
  if (agents) {
    const labels =
      installed.unlabel.length > 0 ? ['Labels of namespaces say nothing any more:', ...listed(installed.unlabel)] : [];
    const notes = ['No Pod is split. The agents go, and each takes the plugin off its node.', ...labels, again];
    return {
      documents: [...(webhook ? ofKind('MutatingWebhookConfiguration') : []), ...ofKind('DaemonSet')],
      notes,
      last: false,
    };
  }
  if (agentPods > 0) {
    return {
      documents: [],
      notes: [`${counted(agentPods, 'agent is', 'agents are')} still ending: wait for it. ${again}`],
      last: false,
    };
  }
  return rest(ordered, installed);
}

/** While the webhook is there: without it no such Pod could be made in these namespaces. */
function labelNotes(commands: readonly string[]): readonly string[] {
  return [
    `${counted(commands.length, 'namespace has its', 'namespaces have their')} Pods split. First:`,
    ...listed(commands),
    again,
  ];
}

function webhookNote(webhook: boolean): readonly string[] {
  return webhook ? ['What is printed is the webhook: once it is gone, no new Pod is split.'] : [];
}

function wholeNotes({ unannotate, pods }: Installed): readonly string[] {
  if (unannotate.length > 0) {
    return [
      `${counted(unannotate.length, 'workload is', 'workloads are')} annotated. Without it they roll out whole Pods, and the controller cleans up behind them:`,
      ...listed(unannotate),
      again,
    ];
  }
  const bare = pods.filter((pod) => pod.bare).map(deletion);
  const others = pods.filter((pod) => !pod.bare).map(deletion);
  return [
    ...(others.length > 0
      ? [
          `${counted(others.length, 'Pod is', 'Pods are')} split. A rollout replaces each; what none replaces (OnDelete, bare ReplicaSets, running Jobs) is made anew whole when it is deleted:`,
          ...listed(others),
        ]
      : []),
    ...(bare.length > 0 ? [`Nothing makes these Pods anew. Save what you need of them, then:`, ...listed(bare)] : []),
    again,
  ];
}

function deletion({ namespace, name }: SplitPodLeft): string {
  return `kubectl delete pod ${name} -n ${namespace}`;
}

/** More would not be read; the next call has the next. */
function listed(lines: readonly string[]): readonly string[] {
  const most = 20;
  const more = lines.length > most ? [`  and ${lines.length - most} more`] : [];
  return [...lines.slice(0, most).map((line) => `  ${line}`), ...more];
}

function rest(ordered: readonly RenderedDocument[], { policies, helm }: Installed): Step {
  const kept =
    policies > 0
      ? [
          `${counted(policies, 'ContainerNetworkPolicy goes', 'ContainerNetworkPolicies go')} with the CRD. Keep what you need first: kubectl get containernetworkpolicies -A -o yaml > policies.yaml`,
        ]
      : [];
  if (helm === undefined) {
    return {
      documents: ordered,
      notes: ['No Pod is split, and no agent runs: all the rest may go.', ...kept],
      last: true,
    };
  }
  const crds = ordered.filter((document) => kindOf(document) === 'CustomResourceDefinition');
  const notes = [
    `Helm has a record of it. First: helm uninstall ${helm.name} -n ${helm.namespace}`,
    'It leaves the CRDs, which are printed.',
  ];
  return { documents: crds, notes: [...notes, ...kept], last: true };
}
