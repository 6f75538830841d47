import type { Values } from '../values.ts';

/** Another value of each setting than its default: what chart, CLI and templates make of them is compared. */
export const otherValues: Values = {
  image: {
    repository: 'registry.example:5000/team/podsplit',
    tag: '1.2.3',
    digest: `sha256:${'ab'.repeat(32)}`,
    pullPolicy: 'Always',
  },
  imagePullSecrets: [{ name: 'registry' }],
  controller: {
    replicas: 3,
    logLevel: 'debug',
    install: 'init',
    clusterDns: '10.96.0.10,fd00::a',
    defaultNetwork: { ipv4: '', ipv6: 'fd00:1234::/64' },
    resources: { requests: { cpu: 1 }, limits: { memory: '1Gi' } },
    nodeSelector: { 'node-role.kubernetes.io/control-plane': '' },
    tolerations: [{ key: 'node-role.kubernetes.io/control-plane', operator: 'Exists', effect: 'NoSchedule' }],
  },
  agent: {
    logLevel: 'warn',
    cniBinFolder: '/var/lib/cni/bin',
    resources: { limits: { memory: '300Mi', cpu: '500m' } },
    volumesResources: { requests: { memory: '70Mi' } },
    nodeSelector: { pool: 'yes' },
    tolerations: [{ key: 'dedicated', value: 'split', effect: 'NoExecute' }],
  },
  podDisruptionBudget: { enabled: false, minAvailable: '50%' },
  networkPolicy: {
    enabled: true,
    metricsFrom: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } }],
    egress: [{ to: [{ ipBlock: { cidr: '192.0.2.1/32' } }], ports: [{ protocol: 'TCP', port: 16443 }] }],
  },
  serviceMonitor: { enabled: true, interval: '15s', labels: { release: 'prometheus' } },
  dashboard: { enabled: true, labels: { grafana_dashboard: 'on' } },
};
