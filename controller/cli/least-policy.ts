import type { ContainerNetworkPolicy, EgressRule, PolicyPeer, PolicyPort } from '../api/container-network-policy.ts';
import { isDnsLabel } from '../api/dns-names.ts';
import { formatFlow, type Flow } from '../api/flow.ts';
import { isReservedKey } from '../api/keys.ts';
import { apiVersion, userAnnotations } from '../api/names.ts';
import type { ObservedUse } from '../api/resources.ts';
import type { Pod, Service } from '../kube/resources.ts';
import { formatManifest } from './manifest-yaml.ts';
import { printable } from './table.ts';

export interface LeastPolicyInput {
  readonly namespace: string;
  readonly pod: string;
  readonly workload: { readonly kind: string; readonly name: string };
  readonly containers: readonly string[];
  readonly observed: readonly ObservedUse[];
  readonly primary: Pod;
  /** As many as the user may read. */
  readonly pods: readonly Pod[];
  readonly services: readonly Service[];
}

/** Labels that tell one Pod, or one rollout, from the next. */
const passing: readonly string[] = [
  'pod-template-hash',
  'controller-revision-hash',
  'pod-template-generation',
  'statefulset.kubernetes.io/pod-name',
  'apps.kubernetes.io/pod-index',
  'controller-uid',
  'batch.kubernetes.io/controller-uid',
  'job-name',
  'batch.kubernetes.io/job-name',
  'batch.kubernetes.io/job-completion-index',
];

/** YAML for review and `kubectl apply`: what was seen is allowed, and each container is closed to all else. */
export function formatLeastPolicy(input: LeastPolicyInput): string {
  const { namespace, pod, workload } = input;
  const flows = flowsOf(input.observed);
  const annotation = flows.length === 0 ? 'none' : flows.map(formatFlow).join(',');
  const policies = leastPolicies(input);
  return [
    `# What ${printable(namespace)}/${printable(pod)} was seen to use, and nothing else. What it did not do while it was observed is missing:`,
    '# review it. Inbound traffic to the Pod is left to NetworkPolicies.',
    '#',
    '# Between the containers alone, without the policies below:',
    `#   kubectl annotate --overwrite ${workload.kind.toLowerCase()} ${printable(workload.name)} -n ${printable(namespace)} \\`,
    `#     ${userAnnotations.flows}='${printable(annotation)}'`,
    ...(policies.length === 0 ? ['', '# The Pod has no labels that a policy could select it by.'] : []),
    '',
    policies.map(formatManifest).join('---\n'),
  ].join('\n');
}

/** Between the pieces, as the annotation lists them. */
export function flowsOf(observed: readonly ObservedUse[]): readonly Flow[] {
  return (
    observed
      // What is printed is pasted into a shell: names of containers are labels.
      .filter((use) => isInside(use) && isDnsLabel(use.from) && isDnsLabel(use.to))
      .map(({ from, to, port, protocol }) => ({ from, to, port, protocol }))
      .sort((one, other) => (formatFlow(one) < formatFlow(other) ? -1 : 1))
  );
}

function isInside({ network }: ObservedUse): boolean {
  return network !== 'pod';
}

/** One for each container, those that called nobody too: a container that no policy selects is not closed. */
export function leastPolicies(input: LeastPolicyInput): readonly ContainerNetworkPolicy[] {
  const { namespace, workload, containers, observed } = input;
  const labels = lastingLabels(input.primary);
  if (Object.keys(labels).length === 0) return [];
  const podSelector = { matchLabels: labels };
  return containers.toSorted().map((container) => ({
    apiVersion,
    kind: 'ContainerNetworkPolicy',
    metadata: { name: `${workload.name.slice(0, 180)}-${container}`, namespace },
    spec: {
      podSelector,
      containers: [container],
      policyTypes: ['Egress'],
      egress: merged(
        observed.filter(({ from }) => from === container).flatMap((use) => ruleOf(use, podSelector, input)),
      ),
    },
  }));
}

function ruleOf(use: ObservedUse, own: PolicyPeer['podSelector'], input: LeastPolicyInput): readonly EgressRule[] {
  const { to, port, protocol } = use;
  const at = (wanted: number | string): PolicyPort => ({ protocol: protocol === 'tcp' ? 'TCP' : 'UDP', port: wanted });
  // Of a datagram to nobody there is no container to name.
  if (isInside(use) && !isDnsLabel(to)) return [];
  if (isInside(use)) return [{ to: [{ podSelector: own ?? {}, containers: [to] }], ports: [at(port)] }];
  const behind = serviceAt(use, input);
  if (behind !== undefined) return [{ to: [behind.peer], ports: [at(behind.port)] }];
  const pod = input.pods.find(({ spec, status }) => spec?.hostNetwork !== true && has(status?.podIPs, to));
  const peer = pod === undefined ? undefined : podPeer(lastingLabels(pod), pod.metadata.namespace, input.namespace);
  return [{ to: [peer ?? { ipBlock: { cidr: `${to}/${to.includes(':') ? 128 : 32}` } }], ports: [at(port)] }];
}

function has(podIPs: readonly { readonly ip: string }[] | undefined, address: string): boolean {
  return podIPs?.some(({ ip }) => ip === address) === true;
}

/** A piece sees the Service's address, and the policy names the Pods behind it, and their port. */
function serviceAt({ to, port, protocol }: ObservedUse, { services, namespace }: LeastPolicyInput) {
  const service = services.find(({ spec }) => spec?.clusterIPs?.includes(to) === true);
  const wanted = protocol.toUpperCase();
  const found = service?.spec?.ports?.find((one) => one.port === port && (one.protocol ?? 'TCP') === wanted);
  const peer = podPeer(service?.spec?.selector ?? {}, service?.metadata.namespace, namespace);
  return found === undefined || peer === undefined ? undefined : { peer, port: found.targetPort ?? port };
}

function podPeer(
  matchLabels: Readonly<Record<string, string>>,
  namespace: string | undefined,
  own: string,
): PolicyPeer | undefined {
  if (Object.keys(matchLabels).length === 0 || namespace === undefined) return undefined;
  const podSelector = { matchLabels };
  if (namespace === own) return { podSelector };
  return { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } }, podSelector };
}

function lastingLabels({ metadata }: Pod): Record<string, string> {
  const all = Object.entries(metadata.labels ?? {});
  return Object.fromEntries(all.filter(([key]) => !passing.includes(key) && !isReservedKey(key)));
}

/** One rule for each peer, with all its ports. */
function merged(rules: readonly EgressRule[]): readonly EgressRule[] {
  const byPeer = Map.groupBy(rules, ({ to }) => JSON.stringify(to));
  return [...byPeer]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([, same]) => {
      const ports = new Map(same.flatMap(({ ports: some = [] }) => some).map((each) => [JSON.stringify(each), each]));
      return {
        to: same[0]?.to ?? [],
        ports: [...ports].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, each]) => each),
      };
    });
}
