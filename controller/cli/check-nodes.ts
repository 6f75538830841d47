import { ownLabels, userAnnotations } from '../api/names.ts';
import type { Event, Node, Pod } from '../kube/resources.ts';
import {
  few,
  hidden,
  ok,
  type Outcome,
  problem,
  type Seen,
  seenOr,
  unknown,
  warning,
  whereSeen,
} from './check-outcome.ts';
import type { Snapshot } from './check-snapshot.ts';
import { isReady } from './find-pod.ts';
import { counted } from './table.ts';

/** Older Events are of what may be mended long ago. */
const recentMs = 3_600_000;

const oldest = { major: 1, minor: 31 };

export function isLinux({ metadata, status }: Node): boolean {
  const system = status?.nodeInfo?.operatingSystem ?? metadata.labels?.['kubernetes.io/os'];
  return system === undefined || system === 'linux';
}

/** Nobody's machine: no DaemonSet runs there, and no CNI plugin of ours. */
export function isVirtual({ metadata }: Node): boolean {
  const { labels = {} } = metadata;
  return labels['type'] === 'virtual-kubelet' || labels['eks.amazonaws.com/compute-type'] === 'fargate';
}

export function checkApiServer({ version }: Snapshot): readonly Outcome[] {
  return whereSeen(version, (text) => {
    const { major, minor } = parts(text);
    if (Number.isNaN(minor)) {
      return [
        unknown(`The API server calls its version "${text}".`, 'See by kubectl version that it is 1.31 or newer.'),
      ];
    }
    const isOld = major < oldest.major || (major === oldest.major && minor < oldest.minor);
    return isOld
      ? [problem(`The API server is Kubernetes ${text}, and 1.31 is the oldest that will do.`, 'Upgrade the cluster.')]
      : [ok(`The API server is Kubernetes ${text}.`)];
  });
}

function parts(version: string) {
  const { major = '', minor = '' } = /^v?(?<major>\d+)\.(?<minor>\d+)/.exec(version)?.groups ?? {};
  return { major: Number.parseInt(major, 10), minor: Number.parseInt(minor, 10) };
}

export function checkNodes({ nodes }: Snapshot): readonly Outcome[] {
  return whereSeen(nodes, (all) => {
    const linux = all.filter(isLinux);
    const runtimes = (test: (runtime: string) => boolean) =>
      linux.filter(({ status }) => test(status?.nodeInfo?.containerRuntimeVersion ?? ''));
    const docker = runtimes((runtime) => runtime.startsWith('docker:'));
    const old = linux.filter(({ status }) => parts(status?.nodeInfo?.kubeletVersion ?? '').minor < oldest.minor);
    const virtual = linux.filter(isVirtual);
    const outcomes = [
      ...(linux.length === 0 ? [problem('There is no Linux node.', 'Add one: Windows Pods are not split.')] : []),
      ...(docker.length === 0
        ? []
        : [
            problem(
              `Docker runs the containers of ${few(namesOf(docker))}, and keeps network namespaces where no agent enters.`,
              'Let containerd or CRI-O run them, or keep split Pods from these nodes.',
            ),
          ]),
      ...(old.length === 0
        ? []
        : [warning(`The kubelets of ${few(namesOf(old))} are older than 1.31.`, 'Upgrade these nodes.')]),
      ...(virtual.length === 0
        ? []
        : [
            warning(
              `${few(namesOf(virtual))}: no agent and no CNI plugin can be on virtual nodes.`,
              'Keep split Pods from them by a node selector or affinity of the workload.',
            ),
          ]),
    ];
    if (outcomes.length > 0) return outcomes;
    const kinds = distinct(linux.map(({ status }) => status?.nodeInfo?.containerRuntimeVersion));
    return [ok(`${counted(linux.length, 'Linux node')}${kinds.length === 0 ? '' : `, ${few(kinds)}`}.`)];
  });
}

/** bridge, static and tuning. A node that runs a split Pod has them; of others only a failure tells. */
export function checkCniPlugins(snapshot: Snapshot): readonly Outcome[] {
  const missing = missingPlugins(snapshot, ['bridge', 'static', 'tuning']);
  if (missing.length > 0) return missing;
  return byEvidence(snapshot, {
    proven: (pod) => pod.metadata.labels?.[ownLabels.role] === 'primary',
    seen: (nodes) => `The split Pods of ${few(nodes)} were attached with bridge, static and tuning.`,
    unseen: (nodes) =>
      `Whether ${nodes === undefined ? 'the nodes have' : `${few(nodes)} ${nodes.length === 1 ? 'has' : 'have'}`} the CNI plugins bridge, static and tuning cannot be seen from the API.`,
    mend: 'Look on the node, where its runtime looks: ls /opt/cni/bin. Most distributions have them; else see containernetworking/plugins.',
  });
}

export function checkKernel(snapshot: Snapshot): readonly Outcome[] {
  const refused = recentEvents(snapshot.sandboxEvents, snapshot.now).filter(({ message = '' }) =>
    /\b(RulesFailed|NftFailed)\b/.test(message),
  );
  if (refused.length > 0) {
    return [
      problem(
        `The kernel of ${few(distinct(refused.map(hostOf)))} did not take the rules of ${counted(distinct(refused.map(subjectOf)).length, 'Pod')} in the last hour.`,
        'The words are in: kubectl get events -A --field-selector reason=FailedCreatePodSandBox. Often a module is missing: ' +
          'modprobe -a nf_tables nft_chain_nat nft_ct nft_fib_inet nft_fwd_netdev nft_limit',
      ),
    ];
  }
  const kernels = distinct(
    seenOr(snapshot.nodes, [])
      .filter(isLinux)
      .map(({ status }) => status?.nodeInfo?.kernelVersion),
  );
  const which = kernels.length === 0 ? '' : ` (Linux ${few(kernels)})`;
  return byEvidence(snapshot, {
    proven: ({ metadata: { labels = {}, annotations = {} } }) =>
      labels[ownLabels.role] === 'isolated' ||
      (labels[ownLabels.role] === 'primary' && annotations[userAnnotations.install] === 'node'),
    seen: (nodes) => `The kernels of ${few(nodes)} hold the rules of Pods that run${which}.`,
    unseen: (nodes) =>
      `Whether the kernels of ${nodes === undefined ? 'the nodes' : few(nodes)} have all of nftables that is needed cannot be seen from the API${which}.`,
    mend: 'The first split Pod there tells, and does not start without: nf_tables with ct, fib, nat, netdev ingress and fwd, and for podsplit.io/egress-via netdev egress (Linux 5.16).',
  });
}

/** `podsplit` itself, as the agents and what failed tell. */
export function checkOwnPlugin(snapshot: Snapshot): readonly Outcome[] {
  const missing = missingPlugins(snapshot, ['podsplit']);
  if (missing.length > 0) return missing;
  return whereSeen(snapshot.agentPods, (pods) => {
    const ready = pods.filter(isPodReady);
    if (ready.length > 0) return [ok(`${counted(ready.length, 'ready agent')} put it into /opt/cni/bin at the start.`)];
    return [unknown('No agent is ready to say that it is there.', 'See what is said of the agents below.')];
  });
}

function missingPlugins(snapshot: Snapshot, plugins: readonly string[]): readonly Outcome[] {
  const found = recentEvents(snapshot.sandboxEvents, snapshot.now).flatMap((event) => {
    const [, plugin = ''] = /failed to find plugin "([\w.-]+)"/.exec(event.message ?? '') ?? [];
    return plugins.includes(plugin) ? [{ plugin, node: hostOf(event) }] : [];
  });
  return [...Map.groupBy(found, ({ plugin }) => plugin)].map(([plugin, where]) =>
    problem(
      `The runtime of ${few(distinct(where.map(({ node }) => node)))} did not find the CNI plugin ${plugin} in the last hour.`,
      plugin === 'podsplit'
        ? "The agent puts it into the node's /opt/cni/bin: if the runtime looks elsewhere, change the path in the DaemonSet podsplit-agent."
        : 'Put it where the runtime looks, often /opt/cni/bin: containernetworking/plugins has it.',
    ),
  );
}

interface Evidence {
  /** Whether this Pod, which runs, shows it for its node. */
  readonly proven: (pod: Pod) => boolean;
  readonly seen: (nodes: readonly string[]) => string;
  /** Undefined: nobody knows which nodes there are. */
  readonly unseen: (nodes: readonly string[] | undefined) => string;
  readonly mend: string;
}

function byEvidence({ nodes, splitPods }: Snapshot, { proven, seen, unseen, mend }: Evidence): readonly Outcome[] {
  const running = seenOr(splitPods, []).filter((pod) => pod.status?.phase === 'Running' && proven(pod));
  const shown = distinct(running.map(({ spec }) => spec?.nodeName));
  if (nodes.kind === 'hidden') return [shown.length === 0 ? unknown(unseen(undefined), mend) : ok(seen(shown))];
  const rest = namesOf(nodes.value.filter((node) => isLinux(node) && !isVirtual(node))).filter(
    (name) => !shown.includes(name),
  );
  return [...(shown.length > 0 ? [ok(seen(shown))] : []), ...(rest.length > 0 ? [unknown(unseen(rest), mend)] : [])];
}

export function recentEvents(events: Seen<readonly Event[]>, now: number): readonly Event[] {
  return seenOr(events, []).filter(({ series, lastTimestamp, eventTime, metadata }) => {
    const last = series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? metadata.creationTimestamp;
    return now - Date.parse(String(last)) <= recentMs;
  });
}

function hostOf({ source, reportingInstance }: Event): string {
  return source?.host ?? reportingInstance ?? 'a node';
}

function subjectOf({ involvedObject }: Event): string {
  return `${involvedObject.namespace ?? ''}/${involvedObject.name ?? ''}`;
}

/** As other checks say why nothing is known of what they would prefer to see. */
export function checkSandboxEvents({ sandboxEvents }: Snapshot): readonly Outcome[] {
  return sandboxEvents.kind === 'hidden' ? [hidden(sandboxEvents.right)] : [];
}

export function isPodReady(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp === undefined && isReady(pod);
}

export function namesOf(objects: readonly { readonly metadata: { readonly name: string } }[]): readonly string[] {
  return objects.map(({ metadata }) => metadata.name);
}

export function distinct(values: readonly (string | undefined)[]): readonly string[] {
  return [...new Set(values.filter((value) => value !== undefined && value !== ''))].toSorted() as string[];
}
