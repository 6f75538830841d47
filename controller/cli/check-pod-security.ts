import { agentNamespace, ownLabels, systemNamespace, userAnnotations } from '../api/names.ts';
import type { Namespace, Pod } from '../kube/resources.ts';
import { few, ok, type Outcome, problem, seenOr, warning, whereSeen } from './check-outcome.ts';
import type { Snapshot } from './check-snapshot.ts';
import { counted } from './table.ts';

const enforceLabel = 'pod-security.kubernetes.io/enforce';

export function checkPodSecurity({ namespaces, splitPods }: Snapshot): readonly Outcome[] {
  return whereSeen(namespaces, (all) => {
    const levels = new Map(all.map((namespace) => [namespace.metadata.name, levelOf(namespace)]));
    const pods = Map.groupBy(seenOr(splitPods, []), ({ metadata }) => metadata.namespace ?? '');
    return [
      ...ownOutcomes(levels),
      ...[...pods].flatMap(([namespace, its]) => outcomesOf(namespace, levels.get(namespace), its)),
      ...whereTheyLive(levels, [...pods.keys()]),
    ];
  });
}

function levelOf({ metadata }: Namespace): string {
  return metadata.labels?.[enforceLabel] ?? '';
}

function ownOutcomes(levels: ReadonlyMap<string, string>): readonly Outcome[] {
  const level = levels.get(agentNamespace);
  const label = `kubectl label namespace ${agentNamespace} --overwrite ${enforceLabel}=privileged`;
  if (level === undefined) return [];
  if (level === 'privileged') {
    const controllers = levels.get(systemNamespace);
    const rest =
      controllers === undefined || controllers === '' ? '' : `, ${systemNamespace} is held to ${controllers}`;
    return [ok(`Agents may run in ${agentNamespace} (privileged)${rest}.`)];
  }
  return level === ''
    ? [
        warning(
          `${agentNamespace} has no Pod Security level of its own: the cluster's default may refuse agents.`,
          label,
        ),
      ]
    : [problem(`${agentNamespace} is held to ${level}, which refuses agents.`, label)];
}

/** Mode `node` asks for no more than the Pod had; the init container of mode `init` does. */
function outcomesOf(namespace: string, level: string | undefined, pods: readonly Pod[]): readonly Outcome[] {
  if (level !== 'restricted' && level !== 'baseline') return [];
  const init = pods.filter(
    ({ metadata }) =>
      metadata.labels?.[ownLabels.role] === 'primary' && metadata.annotations?.[userAnnotations.install] === 'init',
  );
  if (init.length === 0) return [];
  return [
    problem(
      `${namespace} is held to ${level}, and ${counted(init.length, 'split Pod')} there ${init.length === 1 ? 'loads its' : 'load their'} rules by an init container, which that refuses.`,
      `Let the agents load the rules: ${userAnnotations.install}=node on the workloads, or spec.install: node in their SplitNetwork.`,
    ),
  ];
}

function whereTheyLive(levels: ReadonlyMap<string, string>, namespaces: readonly string[]): readonly Outcome[] {
  if (namespaces.length === 0)
    return [ok('No Pod has opted in yet. In install mode node pieces ask for no more than their Pod.')];
  const named = namespaces.toSorted().map((namespace) => {
    const level = levels.get(namespace) ?? '';
    return `${namespace} (${level === '' ? "the cluster's default" : level})`;
  });
  return [ok(`Pods that opted in are in ${few(named)}.`)];
}
