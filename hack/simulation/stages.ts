// What kwok says in the place of kubelets. That, and nothing else, is simulated:
//
// - a node is Ready;
// - a Pod that is bound has Pod IPs and runs, all its containers ready, in one write;
// - it is Ready if it has no readiness gate of podsplit's, else when that gate says so, as a kubelet has it;
// - a Pod that is deleted is gone at once.
//
// So no CNI plugin is called, no agent answers, no container starts and none takes its time to end.

import { stringify } from 'yaml';

/** Go templates, for which a Pod's or a Node's own fields are `.`. */
const runsAtOnce = `{{ $now := Now }}
phase: Running
startTime: {{ $now | Quote }}
conditions:
- {lastTransitionTime: {{ $now | Quote }}, status: "True", type: PodReadyToStartContainers}
- {lastTransitionTime: {{ $now | Quote }}, status: "True", type: Initialized}
- {lastTransitionTime: {{ $now | Quote }}, status: "True", type: ContainersReady}
{{ if .spec.readinessGates }}
- {lastTransitionTime: {{ $now | Quote }}, status: "False", type: Ready, reason: ReadinessGatesNotReady}
{{ else }}
- {lastTransitionTime: {{ $now | Quote }}, status: "True", type: Ready}
{{ end }}
containerStatuses:
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: true
  started: true
  restartCount: 0
  state: {running: {startedAt: {{ $now | Quote }}}}
{{ end }}
{{ $hostIPs := NodeIPsWith .spec.nodeName }}
{{ with $hostIPs }}
hostIP: {{ index . 0 | Quote }}
hostIPs:
{{ range . }}
- ip: {{ . | Quote }}
{{ end }}
{{ end }}
{{ $podIPs := PodIPsWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace }}
{{ with $podIPs }}
podIP: {{ index . 0 | Quote }}
podIPs:
{{ range . }}
- ip: {{ . | Quote }}
{{ end }}
{{ end }}
`;

const nodeIsReady = `{{ $now := Now }}
conditions:
{{ range NodeConditions }}
- lastHeartbeatTime: {{ $now | Quote }}
  lastTransitionTime: {{ $now | Quote }}
  message: {{ .message | Quote }}
  reason: {{ .reason | Quote }}
  status: {{ .status | Quote }}
  type: {{ .type | Quote }}
{{ end }}
allocatable: {cpu: 1k, memory: 1Ti, pods: 10k}
capacity: {cpu: 1k, memory: 1Ti, pods: 10k}
phase: Running
`;

const isThere = { key: '.metadata.deletionTimestamp', operator: 'DoesNotExist' };

function statusOf(condition: string): string {
  return `.status.conditions.[] | select( .type == "${condition}" ) | .status`;
}

/** A Stage of kwok: what it does with each object that all of `when` is true of. */
function stage(name: string, kind: 'Pod' | 'Node', when: readonly object[], next: object): object {
  return {
    apiVersion: 'kwok.x-k8s.io/v1alpha1',
    kind: 'Stage',
    metadata: { name },
    spec: { resourceRef: { apiGroup: 'v1', kind }, selector: { matchExpressions: when }, next },
  };
}

/** Readiness follows podsplit's gate, as a kubelet has it. */
function gateStage(name: string, gate: 'True' | 'False', reason: string): object {
  const when = [
    isThere,
    { key: '.status.phase', operator: 'In', values: ['Running'] },
    { key: statusOf('podsplit.io/pieces-ready'), operator: 'In', values: [gate] },
    { key: statusOf('Ready'), operator: 'NotIn', values: [gate] },
  ];
  const condition = `{lastTransitionTime: {{ Now | Quote }}, status: "${gate}", type: Ready, reason: "${reason}"}`;
  return stage(name, 'Pod', when, { statusTemplate: `conditions:\n- ${condition}\n` });
}

/** kwok's configuration: instead of its own stages, since one of those sets readiness gates itself. */
export const stages = [
  stage(
    'pod-run',
    'Pod',
    [
      isThere,
      { key: '.status.phase', operator: 'In', values: ['Pending'] },
      { key: '.status.podIP', operator: 'DoesNotExist' },
    ],
    { statusTemplate: runsAtOnce },
  ),
  gateStage('pod-ready', 'True', ''),
  gateStage('pod-not-ready', 'False', 'ReadinessGatesNotReady'),
  stage('pod-end', 'Pod', [{ key: '.metadata.deletionTimestamp', operator: 'Exists' }], { delete: true }),
  stage('node-ready', 'Node', [{ key: statusOf('Ready'), operator: 'NotIn', values: ['True'] }], {
    statusTemplate: nodeIsReady,
  }),
]
  .map((one) => stringify(one))
  .join('---\n');

/** Real nodes' names would be taken for the embedded cluster's. */
export function nodes(count: number): readonly object[] {
  return Array.from({ length: count }, (_, index) => ({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name: `simulated${index}`, labels: { 'kubernetes.io/hostname': `simulated${index}` } },
    // Room for more Pods than a real node takes.
    spec: { podCIDR: `10.${64 + index}.0.0/16`, podCIDRs: [`10.${64 + index}.0.0/16`] },
  }));
}
