import { ownLabels, userAnnotations } from '../api/names.ts';
import type { KubeClient } from '../kube/client.ts';
import { isApiError } from '../kube/errors.ts';
import { resources, type Pod } from '../kube/resources.ts';
import { withNamespaceDefaults } from '../split/namespace-defaults.ts';
import { modeOf } from '../split/pod.ts';
import { printable } from './table.ts';

/**
 * Of a namespace whose label podsplit.io/mode counts for Pods that are made from then on: how many are left from before.
 * Undefined where there are none, or where the user may not read what it takes: status is complete without.
 */
export async function madeBeforeLabel(client: KubeClient, namespace: string): Promise<string | undefined> {
  try {
    const { labels = {} } = (await client.get(resources.namespaces, { name: namespace })).metadata;
    const mode = labels[userAnnotations.mode];
    if (mode === undefined) return undefined;
    const { items } = await client.list(resources.pods, { namespace, labelSelector: `!${ownLabels.role}` });
    const count = items.filter((pod) => stays(pod) && wouldOptIn(pod, labels)).length;
    return count === 0 ? undefined : hint(count, namespace, mode);
  } catch (error) {
    if (isApiError(error)) return undefined;
    throw error;
  }
}

function stays({ metadata, status }: Pod): boolean {
  return metadata.deletionTimestamp === undefined && status?.phase !== 'Succeeded' && status?.phase !== 'Failed';
}

/** Admission would write the label's word on it. */
function wouldOptIn(pod: Pod, labels: Readonly<Record<string, string>>): boolean {
  const made = withNamespaceDefaults(pod, labels);
  return made.kind === 'pod' && modeOf(made.pod) !== modeOf(pod);
}

function hint(count: number, namespace: string, mode: string): string {
  const label = printable(`${userAnnotations.mode}=${mode}`);
  const whole =
    count === 1
      ? `1 Pod with several containers was made before the label ${label}, and runs whole: restart its workload.`
      : `${count} Pods with several containers were made before the label ${label}, and run whole: restart their workloads.`;
  return (
    `${whole}\n` +
    `  kubectl podsplit audit -n ${namespace}   # what becomes of them\n` +
    `  kubectl rollout restart deployment,statefulset,daemonset -n ${namespace}\n`
  );
}
