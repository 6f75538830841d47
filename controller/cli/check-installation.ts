import {
  agentName,
  agentNamespace,
  apiVersion,
  controllerName,
  group,
  systemNamespace,
  version as servedVersion,
} from '../api/names.ts';
import type { Pod } from '../kube/resources.ts';
import { versionOf } from './check-images.ts';
import { distinct, isLinux, isPodReady, isVirtual, namesOf, recentEvents } from './check-nodes.ts';
import { few, hidden, ok, type Outcome, problem, seenOr, unknown, warning, whereSeen } from './check-outcome.ts';
import { fieldsHash, schemaHashes } from './check-schemas.ts';
import { agentReports, isFresh, ownPlurals, type Snapshot } from './check-snapshot.ts';
import { counted } from './table.ts';

const again = 'Apply the manifests of this version again.';

/** Something of it is there; undefined where nobody may say. */
export function isInstalled({ ownKinds, controller, agents, webhooks }: Snapshot): boolean {
  const own = seenOr(webhooks, []).some(({ metadata }) => metadata.name === 'podsplit');
  return (
    seenOr(ownKinds, ['unknown']).length > 0 ||
    seenOr(controller, undefined) !== undefined ||
    seenOr(agents, undefined) !== undefined ||
    own
  );
}

export function checkCrds({ ownKinds, crds }: Snapshot): readonly Outcome[] {
  return whereSeen(ownKinds, (served) => {
    const missing = ownPlurals.filter((plural) => !served.includes(plural));
    if (missing.length > 0) {
      return [problem(`The API server does not serve ${few(missing)} of ${apiVersion}.`, again)];
    }
    const found = seenOr(crds, []);
    const differ = found.filter((crd) => {
      const schema = crd.spec.versions.find(({ name }) => name === servedVersion)?.schema?.openAPIV3Schema;
      return fieldsHash(schema) !== schemaHashes[crd.spec.names.plural];
    });
    if (differ.length > 0) {
      return [
        warning(
          `${few(differ.map(({ spec }) => spec.names.plural))} of the cluster ${differ.length === 1 ? 'has' : 'have'} other fields than this version of the plugin knows.`,
          `podsplit of another version is installed, or its CRDs were left behind at an upgrade: kubectl apply -f crds/ of the controller's version.`,
        ),
      ];
    }
    const which = `The API server serves ${ownPlurals.length} kinds of ${apiVersion}`;
    return crds.kind === 'hidden'
      ? [ok(`${which}.`), hidden(crds.right)]
      : [ok(`${which}, with the fields of this version.`)];
  });
}

/** As in templates/50-guards.yaml and 51-resources.yaml; a test holds the two together. */
export const guardNames = [
  'podsplit-pods',
  'podsplit-networks',
  'podsplit-state',
  'podsplit-evictions',
  'podsplit-namespaces',
  'podsplit-judged',
  'podsplit-resources',
  'podsplit-resources-of-templates',
] as const;

export function checkGuards({ guards, guardBindings, csiDriver }: Snapshot): readonly Outcome[] {
  const policies = whereSeen(guards, (all) =>
    whereSeen(guardBindings, (bindings) => {
      const bound = bindings.map(({ spec }) => spec.policyName);
      const missing = guardNames.filter((name) => !namesOf(all).includes(name) || !bound.includes(name));
      return missing.length === 0
        ? [ok(`${guardNames.length} ValidatingAdmissionPolicies keep what podsplit trusts from others.`)]
        : [
            problem(
              `The ValidatingAdmissionPolicy ${few(missing)} is missing or not bound: what podsplit trusts can be forged.`,
              again,
            ),
          ];
    }),
  );
  const driver = csiDriver.kind === 'seen' && csiDriver.value === undefined;
  return driver
    ? [...policies, problem('There is no CSIDriver volumes.podsplit.io: Pods with shared volumes do not start.', again)]
    : policies;
}

export function checkController({ controller, controllerPods }: Snapshot): readonly Outcome[] {
  return whereSeen(controller, (deployment) => {
    if (deployment === undefined) {
      return [
        problem(`There is no Deployment ${controllerName} in ${systemNamespace}: nothing that opts in starts.`, again),
      ];
    }
    const wanted = deployment.spec?.replicas ?? 1;
    const { readyReplicas: ready = 0, updatedReplicas: updated = 0 } = deployment.status ?? {};
    const look = `kubectl describe pods -n ${systemNamespace} -l app.kubernetes.io/component=controller; kubectl logs -n ${systemNamespace} deployment/${controllerName}`;
    const why = whyNotReady(seenOr(controllerPods, []));
    if (wanted === 0) {
      return [
        problem(
          'The controller is scaled to nothing.',
          `kubectl scale deployment ${controllerName} -n ${systemNamespace} --replicas=2`,
        ),
      ];
    }
    if (ready === 0) return [problem(`No replica of the controller is ready${why}.`, look)];
    if (ready < wanted)
      return [
        warning(`${ready} of ${wanted} replicas of the controller ${ready === 1 ? 'is' : 'are'} ready${why}.`, look),
      ];
    if (updated < wanted)
      return [
        warning(
          'The controller is being rolled out.',
          `kubectl rollout status deployment ${controllerName} -n ${systemNamespace}`,
        ),
      ];
    return [
      wanted === 1
        ? warning(
            'The controller has one replica: while it is replaced, what opts in waits.',
            `kubectl scale deployment ${controllerName} -n ${systemNamespace} --replicas=2`,
          )
        : ok(`${ready} of ${wanted} replicas of the controller are ready.`),
    ];
  });
}

export function checkLeader({ lease, leaseMoved, now }: Snapshot): readonly Outcome[] {
  return whereSeen(lease, (found) => {
    const look = `kubectl logs -n ${systemNamespace} deployment/${controllerName}`;
    if (found === undefined) return [problem(`There is no Lease ${controllerName}: no replica has led yet.`, look)];
    const { holderIdentity = '', renewTime } = found.spec ?? {};
    if (isFresh(found, now)) return [ok(`${holderIdentity} leads.`)];
    const renewed = renewTime ?? 'never';
    if (leaseMoved) {
      return [
        warning(
          `${holderIdentity} leads, but by its clock it renewed the Lease at ${renewed}: another time than here.`,
          'Set the clock of this machine, or that of the node, by NTP.',
        ),
      ];
    }
    return [problem(`Nobody leads: the Lease ${controllerName} was last renewed at ${renewed}.`, look)];
  });
}

export function checkAgents(snapshot: Snapshot): readonly Outcome[] {
  return whereSeen(snapshot.agents, (daemonSet) => {
    const isOptional = installsByInit(snapshot);
    const grave = isOptional ? warning : problem;
    if (daemonSet === undefined) {
      return [
        grave(`There is no DaemonSet ${agentName} in ${agentNamespace}: no piece of install mode node starts.`, again),
      ];
    }
    const { nodes, agentPods } = snapshot;
    const look = `kubectl get pods -n ${agentNamespace} -o wide; kubectl describe pods -n ${agentNamespace}`;
    if (nodes.kind === 'hidden' || agentPods.kind === 'hidden') {
      const { desiredNumberScheduled: wanted = 0, numberReady: ready = 0 } = daemonSet.status ?? {};
      const said = `Agents are ready on ${ready} of ${counted(wanted, 'node')} where they should be`;
      return [ready < wanted ? grave(`${said}.`, look) : ok(`${said}.`)];
    }
    const ready = new Set(agentPods.value.filter(isPodReady).map(({ spec }) => spec?.nodeName));
    const wanted = nodes.value.filter((node) => isLinux(node) && !isVirtual(node));
    const without = wanted.filter(({ metadata }) => !ready.has(metadata.name));
    const [down, bare] = [without.filter((node) => !isNodeReady(node)), without.filter(isNodeReady)];
    const why = whyNotReady(agentPods.value);
    return [
      ...(bare.length === 0
        ? []
        : [grave(`No agent is ready on ${few(namesOf(bare))}${why}: no piece starts there.`, look)]),
      ...(down.length === 0
        ? []
        : [
            warning(
              `${few(namesOf(down))} ${down.length === 1 ? 'is' : 'are'} not ready, and no agent is there.`,
              'kubectl describe nodes',
            ),
          ]),
      ...(without.length < wanted.length || wanted.length === 0
        ? [ok(`An agent is ready on ${wanted.length - without.length} of ${counted(wanted.length, 'node')}.`)]
        : []),
    ];
  });
}

/** Agents write Events where they find something out of order; those of the last hour. */
export function checkAgentReports({ agentEvents, now }: Snapshot): readonly Outcome[] {
  if (agentEvents.kind === 'hidden') return [hidden(agentEvents.right)];
  const recent = recentEvents(agentEvents, now);
  const outcomes = Object.entries(agentReports).flatMap(([reason, { what, mend }]): readonly Outcome[] => {
    const its = recent.filter((event) => event.reason === reason);
    if (its.length === 0) return [];
    const subjects = distinct(
      its.map(
        ({ involvedObject: { namespace, name = '' } }) => `${namespace === undefined ? '' : `${namespace}/`}${name}`,
      ),
    );
    return [warning(`Agents ${what}: ${few(subjects)} (${reason}).`, mend)];
  });
  return outcomes.length > 0 ? outcomes : [ok('No agent found anything out of order in the last hour.')];
}

function installsByInit({ controller }: Snapshot): boolean {
  const containers = seenOr(controller, undefined)?.spec?.template.spec?.containers ?? [];
  return containers.some(({ env = [] }) =>
    env.some(({ name, value }) => name === 'PODSPLIT_INSTALL' && value === 'init'),
  );
}

function isNodeReady({
  status,
}: {
  readonly status?: { readonly conditions?: readonly { type: string; status: string }[] };
}): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') !== false;
}

/** The kubelet's or the scheduler's word, as `: CrashLoopBackOff`. */
function whyNotReady(pods: readonly Pod[]): string {
  const reasons = pods
    .filter((pod) => !isPodReady(pod))
    .flatMap(({ status }) => [
      ...[...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])].map(
        ({ state }) => state?.waiting?.reason,
      ),
      ...(status?.conditions ?? []).flatMap(({ type, status: is, reason }) =>
        type === 'PodScheduled' && is === 'False' ? [reason] : [],
      ),
    ]);
  const found = distinct(reasons);
  return found.length === 0 ? '' : ` (${few(found)})`;
}

export function checkNetworks({ splitNetworks }: Snapshot): readonly Outcome[] {
  return whereSeen(splitNetworks, (all) => {
    const verdicts = all.map(({ metadata, status }) => ({
      name: metadata.name,
      ready: status?.conditions?.find(({ type }) => type === 'Ready'),
    }));
    if (verdicts.length === 0) {
      return [
        problem(
          'There is no SplitNetwork: Pods get no addresses.',
          'The leader makes "default" when it starts, if PODSPLIT_DEFAULT_IPV4 or _IPV6 says a range.',
        ),
      ];
    }
    const bad = verdicts.filter(({ ready }) => ready?.status !== 'True');
    const full = verdicts.filter(({ ready }) => ready?.status === 'True' && ready.reason === 'Exhausted');
    return [
      ...bad.map(({ name, ready }) =>
        problem(
          `SplitNetwork ${name} gives no addresses: ${ready?.message ?? 'the controller has not looked at it yet.'}`,
          `kubectl describe splitnetwork ${name}`,
        ),
      ),
      ...full.map(({ name }) =>
        warning(
          `Every block of SplitNetwork ${name} is held.`,
          'Make another one, and name it in podsplit.io/network.',
        ),
      ),
      ...(bad.length + full.length < verdicts.length
        ? [
            ok(
              `${counted(verdicts.length - bad.length - full.length, 'SplitNetwork')} ${verdicts.length - bad.length - full.length === 1 ? 'gives' : 'give'} addresses.`,
            ),
          ]
        : []),
    ];
  });
}

/** Of the plugin that speaks, the controller and the agents, as their images' tags say. */
export function checkVersions({
  pluginVersion,
  controller,
  controllerPods,
  agents,
  agentPods,
}: Snapshot): readonly Outcome[] {
  return whereSeen(controller, (deployment) =>
    whereSeen(agents, (daemonSet) => {
      if (deployment === undefined || daemonSet === undefined) return [];
      const wanted = [deployment, daemonSet].map(({ spec }) => imageOf(spec?.template.spec?.containers));
      const [ofController = '', ofAgents = ''] = wanted;
      const running = [...strays(seenOr(controllerPods, []), ofController), ...strays(seenOr(agentPods, []), ofAgents)];
      return [
        ...(ofController === ofAgents
          ? []
          : [warning(`The controller is ${ofController}, the agents are ${ofAgents}.`, again)]),
        ...(running.length === 0
          ? []
          : [
              warning(
                `${few(running)} still ${running.length === 1 ? 'runs' : 'run'} another image.`,
                `If no rollout is under way: kubectl rollout status daemonset ${agentName} -n ${agentNamespace}; kubectl rollout status deployment ${controllerName} -n ${systemNamespace}`,
              ),
            ]),
        ...againstOwn(ofController, pluginVersion),
      ];
    }),
  );
}

function imageOf(containers: readonly { readonly image?: string }[] | undefined): string {
  return containers?.[0]?.image ?? '';
}

function strays(pods: readonly Pod[], image: string): readonly string[] {
  return namesOf(pods.filter(({ spec }) => imageOf(spec?.containers) !== image));
}

function againstOwn(image: string, ownVersion: string): readonly Outcome[] {
  const theirs = versionOf(image)?.replace(/^v/, '');
  if (theirs === undefined || ownVersion === 'dev') {
    return [
      unknown(
        `Whether ${image} is of this plugin's version (${ownVersion}) cannot be seen from the API: its tag does not say.`,
        'Use a tag that is the version.',
      ),
    ];
  }
  return [
    theirs === ownVersion
      ? ok(`Plugin, controller and agents are ${theirs}.`)
      : warning(
          `This plugin is ${ownVersion}, the controller is ${theirs}.`,
          `Use the plugin of the controller's version: ${group}'s CRDs may differ.`,
        ),
  ];
}
