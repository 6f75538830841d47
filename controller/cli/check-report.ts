import { checkCertificate, checkWebhook } from './check-certificate.ts';
import { checkInjectors } from './check-injectors.ts';
import {
  checkAgentReports,
  checkAgents,
  checkController,
  checkCrds,
  checkGuards,
  checkLeader,
  checkNetworks,
  checkVersions,
  isInstalled,
} from './check-installation.ts';
import { checkExclusive, checkIsolation, checkMultus, checkNetworkKind } from './check-multus.ts';
import { checkDependents, checkPolicyEngine } from './check-neighbours.ts';
import {
  checkApiServer,
  checkCniPlugins,
  checkKernel,
  checkNodes,
  checkOwnPlugin,
  checkSandboxEvents,
} from './check-nodes.ts';
import { type Check, type Level, levels, ok, type Outcome } from './check-outcome.ts';
import { checkPodSecurity } from './check-pod-security.ts';
import type { Snapshot } from './check-snapshot.ts';

export const groups = ['cluster', 'podsplit'] as const;
export type Group = (typeof groups)[number];

/** The fields of `-o json` are an interface. */
export interface CheckReport {
  readonly server: string;
  /** RFC 3339. */
  readonly at: string;
  readonly version: string;
  readonly installed: boolean;
  readonly summary: Readonly<Record<Level, number>>;
  readonly checks: readonly Checked[];
}

/** One line: a check may have several. */
export interface Checked extends Outcome {
  readonly group: Group;
  readonly check: string;
  readonly why: string;
}

/** What podsplit needs of a cluster, and what beside it may be in the way: in the order in which one fails without the other. */
export const clusterChecks: readonly Check[] = [
  {
    id: 'api-server',
    why: 'The guards are ValidatingAdmissionPolicies, and the CRDs judge address ranges by CEL.',
    look: checkApiServer,
  },
  {
    id: 'nodes',
    why: 'Agents enter the network namespaces of Linux sandboxes, which are under /run/netns.',
    look: checkNodes,
  },
  {
    id: 'multus-crd',
    why: 'The network that joins the pieces of a workload is a NetworkAttachmentDefinition.',
    look: checkNetworkKind,
  },
  { id: 'multus', why: 'Multus attaches the pieces to that network: without it none starts.', look: checkMultus },
  {
    id: 'multus-isolation',
    why: "Without it Pods may join networks of other namespaces; podsplit's guards keep them from its own all the same.",
    look: checkIsolation,
  },
  {
    id: 'cni-exclusive',
    why: 'The runtime calls the first configuration in the folder, and that has to be the one of Multus.',
    look: checkExclusive,
  },
  { id: 'cni-plugins', why: 'The network of the pieces is made by bridge, static and tuning.', look: checkCniPlugins },
  {
    id: 'kernel',
    why: 'What may pass between the pieces is rules of nftables, in the piece and on the node.',
    look: checkKernel,
  },
  {
    id: 'sandbox-events',
    why: 'Events say what a node lacks when a sandbox could not be made.',
    look: checkSandboxEvents,
  },
  {
    id: 'pod-security',
    why: 'What a namespace refuses does not start: agents are privileged, an init container that loads rules has NET_ADMIN.',
    look: checkPodSecurity,
  },
  { id: 'injectors', why: 'A Pod is split as it is when all webhooks have seen it.', look: checkInjectors },
  {
    id: 'policy-engine',
    why: "On the Pod's own network the user's NetworkPolicies hold for pieces as for any Pod, if somebody enforces them.",
    look: checkPolicyEngine,
  },
  {
    id: 'multus-users',
    why: 'Who else attaches Pods to networks shares Multus and the nodes with podsplit.',
    look: checkDependents,
  },
];

export const podsplitChecks: readonly Check[] = [
  { id: 'crds', why: 'The state of podsplit is in its own objects.', look: checkCrds },
  {
    id: 'guards',
    why: 'Only the controller may write what podsplit trusts, also while it is down.',
    look: checkGuards,
  },
  {
    id: 'webhook',
    why: 'Pods are cut when they are admitted; one that does not meet the webhook runs whole.',
    look: checkWebhook,
  },
  {
    id: 'certificate',
    why: 'The API server calls no webhook that it cannot verify: what opts in is refused then.',
    look: checkCertificate,
  },
  { id: 'controller', why: 'It answers admission, wires pieces and ends them.', look: checkController },
  { id: 'leader', why: 'One replica reconciles: without it Pods that opted in stay gated.', look: checkLeader },
  {
    id: 'agents',
    why: 'The agent of the node loads the rules before the first process of a piece; without it none starts there.',
    look: checkAgents,
  },
  {
    id: 'agent-reports',
    why: 'Who changes rules on a node, or what a version does not read, is seen by the agents alone.',
    look: checkAgentReports,
  },
  { id: 'cni-plugin', why: 'The runtime calls the agent by the CNI plugin podsplit.', look: checkOwnPlugin },
  { id: 'split-networks', why: 'Addresses of the pieces come from a SplitNetwork.', look: checkNetworks },
  { id: 'versions', why: 'Plugin, controller and agents are tried with their own version.', look: checkVersions },
];

export function checkReport(snapshot: Snapshot): CheckReport {
  const installed = isInstalled(snapshot);
  const checks = [
    ...linesOf('cluster', clusterChecks, snapshot),
    ...(installed ? linesOf('podsplit', podsplitChecks, snapshot) : [howToInstall]),
  ];
  const tally = (level: Level) => checks.filter((each) => each.level === level).length;
  return {
    server: snapshot.server,
    at: new Date(snapshot.now).toISOString(),
    version: snapshot.pluginVersion,
    installed,
    summary: Object.fromEntries(levels.map((level) => [level, tally(level)])) as Record<Level, number>,
    checks,
  };
}

function linesOf(group: Group, checks: readonly Check[], snapshot: Snapshot): readonly Checked[] {
  return checks.flatMap(({ id, why, look }) =>
    look(snapshot).map((outcome) => ({ group, check: id, ...outcome, why })),
  );
}

const howToInstall: Checked = {
  group: 'podsplit',
  check: 'install',
  ...ok('podsplit is not installed.'),
  why: 'What stands above is what it needs, and what it would meet.',
  mend: 'Once no problem is left: kubectl podsplit install --image registry.example/podsplit:VERSION | kubectl apply --server-side -f -',
};
