import { installModes } from '../api/install.ts';
import type { Schema } from './schema.ts';
import type { Path } from './splice.ts';

/** Where a value stands: an object of crds/ or templates/, and the path in it. */
export interface Place {
  /** `KIND/NAME` */
  readonly object: string;
  readonly path: Path;
}

/** Something that who installs may choose: a value of the Helm chart, and of `kubectl podsplit install --values`. */
export interface Setting {
  /** Names of the values, with points between them. */
  readonly key: string;
  readonly schema: Schema;
  /** A sentence for values.yaml. */
  readonly about: string;
  /** None: it is not written into an object as it is. */
  readonly places: readonly Place[];
  /** The default, if it is not what the source has at the first place. Needed where there are no places. */
  readonly otherwise?: unknown;
}

const controllerPod: Path = ['spec', 'template', 'spec'];
const inController = (...path: Path): Place => ({ object: 'Deployment/podsplit', path: [...controllerPod, ...path] });
const inAgent = (...path: Path): Place => ({ object: 'DaemonSet/podsplit-agent', path: [...controllerPod, ...path] });
const variable = (name: string) => inController('containers', '[controller]', 'env', `[${name}]`, 'value');

const text: Schema = { type: 'string' };
const yesOrNo: Schema = { type: 'boolean' };
const words: Schema = { type: 'object', additionalProperties: text };
const objects: Schema = { type: 'array', items: { type: 'object' } };
const logLevel: Schema = { type: 'string', enum: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] };
const quantities: Schema = { type: 'object', additionalProperties: { type: ['integer', 'string'] } };
const resources: Schema = {
  type: 'object',
  properties: { requests: quantities, limits: quantities, claims: objects },
  additionalProperties: false,
};

/** In the order in which values.yaml has them: keys of one group stand together. */
export const settings: readonly Setting[] = [
  {
    key: 'image.repository',
    schema: { type: 'string', minLength: 1 },
    about: 'Where your nodes pull podsplit from: one image has controller, agent, plugin and init container.',
    places: [],
    otherwise: 'podsplit.local/podsplit',
  },
  { key: 'image.tag', schema: text, about: 'Its tag.', places: [], otherwise: 'dev' },
  {
    key: 'image.digest',
    schema: { type: 'string', pattern: '^(sha256:[0-9a-f]{64})?$' },
    about: 'sha256:..., in the place of the tag.',
    places: [],
    otherwise: '',
  },
  {
    key: 'image.pullPolicy',
    schema: { type: 'string', enum: ['IfNotPresent', 'Always', 'Never'] },
    about: 'Also of the containers that podsplit adds to Pods.',
    places: [
      inController('containers', '[controller]', 'imagePullPolicy'),
      variable('PODSPLIT_IMAGE_PULL_POLICY'),
      inAgent('containers', '[agent]', 'imagePullPolicy'),
      inAgent('containers', '[volumes]', 'imagePullPolicy'),
    ],
  },
  {
    key: 'imagePullSecrets',
    schema: objects,
    about: 'Secrets of podsplit-system and podsplit-node, such as {name: registry}.',
    places: [inController('imagePullSecrets'), inAgent('imagePullSecrets')],
  },
  {
    key: 'controller.replicas',
    schema: { type: 'integer', minimum: 1 },
    about: 'All answer admission; one leads and reconciles.',
    places: [{ object: 'Deployment/podsplit', path: ['spec', 'replicas'] }],
  },
  { key: 'controller.logLevel', schema: logLevel, about: 'What is logged.', places: [variable('LOG_LEVEL')] },
  {
    key: 'controller.install',
    schema: { type: 'string', enum: installModes },
    about: 'Who loads the rules where neither podsplit.io/install nor the SplitNetwork says.',
    places: [variable('PODSPLIT_INSTALL')],
  },
  {
    key: 'controller.clusterDns',
    schema: text,
    about: 'Addresses, separated by commas, for podsplit.io/egress-dns=cluster; empty: Services k8s-app=kube-dns.',
    places: [variable('PODSPLIT_CLUSTER_DNS')],
  },
  {
    key: 'controller.defaultNetwork.ipv4',
    schema: text,
    about: 'Range that the SplitNetwork default is made with; empty for none. No Pod, Service or node may be in it.',
    places: [variable('PODSPLIT_DEFAULT_IPV4')],
  },
  {
    key: 'controller.defaultNetwork.ipv6',
    schema: text,
    about: 'Likewise.',
    places: [variable('PODSPLIT_DEFAULT_IPV6')],
  },
  {
    key: 'controller.resources',
    schema: resources,
    about: 'Of each replica. Its heap is bounded at 320 MiB by its command.',
    places: [inController('containers', '[controller]', 'resources')],
  },
  {
    key: 'controller.nodeSelector',
    schema: words,
    about: 'Labels of the nodes that it may run on.',
    places: [inController('nodeSelector')],
  },
  {
    key: 'controller.tolerations',
    schema: objects,
    about: 'Taints that it tolerates.',
    places: [inController('tolerations')],
  },
  {
    key: 'agent.logLevel',
    schema: logLevel,
    about: "What is logged, by the volume driver in the agent's Pod too.",
    places: [
      inAgent('containers', '[agent]', 'env', '[LOG_LEVEL]', 'value'),
      inAgent('containers', '[volumes]', 'env', '[LOG_LEVEL]', 'value'),
    ],
  },
  {
    key: 'agent.cniBinFolder',
    schema: { type: 'string', pattern: '^/' },
    about: 'Where the nodes keep CNI plugins: the directory that Multus runs them from.',
    places: [inAgent('volumes', '[cni-bin]', 'hostPath', 'path')],
  },
  {
    key: 'agent.resources',
    schema: resources,
    about: 'Of the agent on each node. Its heap is bounded at 160 MiB by its command.',
    places: [inAgent('containers', '[agent]', 'resources')],
  },
  {
    key: 'agent.volumesResources',
    schema: resources,
    about: 'Of the volume driver beside it. Its heap is bounded at 96 MiB by its command.',
    places: [inAgent('containers', '[volumes]', 'resources')],
  },
  {
    key: 'agent.nodeSelector',
    schema: words,
    about: 'Where no agent runs, no piece of install mode node starts.',
    places: [inAgent('nodeSelector')],
  },
  {
    key: 'agent.tolerations',
    schema: objects,
    about: 'Wherever a piece may run an agent has to be.',
    places: [inAgent('tolerations')],
  },
  {
    key: 'podDisruptionBudget.enabled',
    schema: yesOrNo,
    about: 'Of the controller. With a single replica it keeps its node from being drained.',
    places: [],
    otherwise: true,
  },
  {
    key: 'podDisruptionBudget.minAvailable',
    schema: { type: ['integer', 'string'], minimum: 0 },
    about: 'Replicas that stay.',
    places: [{ object: 'PodDisruptionBudget/podsplit', path: ['spec', 'minAvailable'] }],
  },
  {
    key: 'networkPolicy.enabled',
    schema: yesOrNo,
    about:
      'Of the controller: all may call its webhook, none its other ports, and it calls the ports of API servers only.',
    places: [],
    otherwise: false,
  },
  {
    key: 'networkPolicy.metricsFrom',
    schema: objects,
    about: 'NetworkPolicyPeers that may read the metrics: name the namespace of Pods, too; empty for nobody.',
    places: [{ object: 'NetworkPolicy/podsplit-metrics', path: ['spec', 'ingress', '0', 'from'] }],
    // What the source has is an example.
    otherwise: [],
  },
  {
    key: 'networkPolicy.egress',
    schema: objects,
    about:
      'Rules by which it reaches the API server. These name ports only, at any address: a `to` with its addresses closes more.',
    places: [{ object: 'NetworkPolicy/podsplit', path: ['spec', 'egress'] }],
  },
  {
    key: 'serviceMonitor.enabled',
    schema: yesOrNo,
    about: 'For the Prometheus Operator, whose CRDs must be installed.',
    places: [],
    otherwise: false,
  },
  {
    key: 'serviceMonitor.interval',
    schema: { type: 'string', pattern: '^[0-9]+(ms|s|m|h)$' },
    about: 'Between two readings.',
    places: [
      { object: 'ServiceMonitor/podsplit', path: ['spec', 'endpoints', '0', 'interval'] },
      { object: 'ServiceMonitor/podsplit-agent', path: ['spec', 'endpoints', '0', 'interval'] },
    ],
  },
  {
    key: 'serviceMonitor.labels',
    schema: words,
    about: 'Add those by which your Prometheus finds ServiceMonitors.',
    places: [
      { object: 'ServiceMonitor/podsplit', path: ['metadata', 'labels'] },
      { object: 'ServiceMonitor/podsplit-agent', path: ['metadata', 'labels'] },
    ],
  },
  {
    key: 'dashboard.enabled',
    schema: yesOrNo,
    about: "A dashboard in a ConfigMap, for Grafana's sidecar.",
    places: [],
    otherwise: false,
  },
  {
    key: 'dashboard.labels',
    schema: words,
    about: 'By which the sidecar finds it.',
    places: [{ object: 'ConfigMap/podsplit-dashboard', path: ['metadata', 'labels'] }],
  },
];

/** What is made of several values: the image's reference. */
export const imagePlaces: readonly Place[] = [
  inController('containers', '[controller]', 'image'),
  variable('PODSPLIT_IMAGE'),
  inAgent('containers', '[agent]', 'image'),
  inAgent('containers', '[volumes]', 'image'),
];

const versionLabel: Path = ['metadata', 'labels', 'app.kubernetes.io/version'];

/** What nobody chooses. */
export const versionPlaces: readonly Place[] = [
  { object: 'Deployment/podsplit', path: versionLabel },
  { object: 'DaemonSet/podsplit-agent', path: versionLabel },
];

/** Objects that are there only where values say so: each is true, or a list that is not empty. */
export const conditions: Readonly<Record<string, readonly string[]>> = {
  'PodDisruptionBudget/podsplit': ['podDisruptionBudget.enabled'],
  'NetworkPolicy/podsplit': ['networkPolicy.enabled'],
  'NetworkPolicy/podsplit-metrics': ['networkPolicy.enabled', 'networkPolicy.metricsFrom'],
  'Service/podsplit-metrics': ['serviceMonitor.enabled'],
  'Service/podsplit-agent-metrics': ['serviceMonitor.enabled'],
  'ServiceMonitor/podsplit': ['serviceMonitor.enabled'],
  'ServiceMonitor/podsplit-agent': ['serviceMonitor.enabled'],
  'ConfigMap/podsplit-dashboard': ['dashboard.enabled'],
};
