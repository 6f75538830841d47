// What a user of a namespace might try, to join, to widen or to undo what podsplit keeps: for suites with and without a
// controller.

import { nadNamePrefix, networksAnnotation, ownLabels, volumeDriver } from '../../controller/api/names.ts';
import { imageReference } from '../../hack/images/recipes.ts';
import { agents, barePod, pair, splitMode, type Listener } from './agents.ts';
import type { TestNamespace } from './namespace.ts';
import type { KubeObject, Pod, PodSplit } from './objects.ts';
import { podSplitOf, type SplitPod } from './pieces.ts';

const user = 'mallory';
/** Somebody with the built-in role only. */
const colleague = 'alice';
export const asUser = as(user);
export const asColleague = as(colleague);

function as(name: string): readonly string[] {
  return [`--as=${name}`, '--as-group=system:authenticated'];
}

const own: readonly Listener[] = [{ protocol: 'tcp', bind: '::', port: 7001, declared: true }];
const alone = agents({ app: own });
export const nadKind = 'network-attachment-definitions.k8s.cni.cncf.io';

const api = 'rbac.authorization.k8s.io';

/** All that the built-in role `admin` gives, and whatever else a namespace has: more than anybody should be given. */
export const rights = [
  {
    apiVersion: `${api}/v1`,
    kind: 'Role',
    metadata: { name: 'everything' },
    rules: [
      { apiGroups: ['k8s.cni.cncf.io'], resources: ['network-attachment-definitions'], verbs: ['*'] },
      { apiGroups: [''], resources: ['pods/status', 'pods/ephemeralcontainers', 'pods/binding'], verbs: ['*'] },
      { apiGroups: ['podsplit.io'], resources: ['podsplits', 'podsplits/status'], verbs: ['*'] },
    ],
  },
  binding('everything', { name: 'everything', kind: 'Role' }, user),
  binding('admin', { name: 'admin', kind: 'ClusterRole' }, user),
  binding('colleague', { name: 'admin', kind: 'ClusterRole' }, colleague),
];

function binding(name: string, role: { readonly name: string; readonly kind: string }, subject: string) {
  return {
    apiVersion: `${api}/v1`,
    kind: 'RoleBinding',
    metadata: { name },
    roleRef: { apiGroup: api, ...role },
    subjects: [{ apiGroup: api, kind: 'User', name: subject }],
  };
}

/** What the attacks aim at. */
export interface Victim {
  readonly namespace: string;
  readonly primary: string;
  readonly primaryUid: string;
  readonly sibling: string;
  readonly split: string;
  readonly podSplit: string;
  /** What its Pods join, and the name that the other install mode would have. */
  readonly nad: string;
  readonly otherNad: string;
  readonly bridge: string;
  /** A Pod of the user's own that still waits. */
  readonly gated: string;
  /** As podsplit writes it on an admitted Pod, but for a privilege. */
  readonly removed: string;
}

export interface Attack {
  readonly what: string;
  /** Arguments of kubectl, and its input. */
  readonly make: (victim: Victim) => readonly [readonly string[], object?];
  /** In brackets the code of a refusal: the webhook's, which holds nothing up while it is not there but lets nothing pass. */
  readonly message: string;
}

/** @param gated a Pod that waits for its network; its annotation says what was cut from it */
export async function victimOf(namespace: TestNamespace, split: SplitPod, gated: string): Promise<Victim> {
  const cut = await namespace.get<Pod>('pods', gated);
  const podSplit = (await podSplitOf(namespace, split.primary)) as PodSplit & {
    readonly spec: { readonly networkAttachmentDefinition: string };
  };
  const nad = podSplit.spec.networkAttachmentDefinition;
  const found = await namespace.get<KubeObject & { readonly spec: { readonly config: string } }>(
    'networkAttachmentDefinitions',
    nad,
  );
  return {
    namespace: namespace.name,
    primary: split.primary.metadata.name,
    primaryUid: split.primary.metadata.uid,
    sibling: split.pieces.get('helper')!.metadata.name,
    split: split.primary.metadata.labels![ownLabels.split]!,
    podSplit: podSplit.metadata.name,
    nad,
    otherNad: nad.endsWith('-node') ? nad.replace(/-node$/, '') : `${nad}-node`,
    bridge: /"(ps-[0-9a-f]{12})"/.exec(found.spec.config)![1]!,
    gated,
    removed: cut.metadata.annotations!['podsplit.io/removed']!.replace(
      '"allowPrivilegeEscalation":false',
      '"privileged":true',
    ),
  };
}

const labels = 'metadata.labels: labels of podsplit.io are set by podsplit only';
const annotations = 'metadata.annotations: of podsplit.io/* only mode, primary, flows';
const networks = 'only podsplit attaches Pods to networks named podsplit-*';
const state = 'podsplits: written by podsplit only';
const generated = 'networks named podsplit-* are generated, and kept, by podsplit';

const create = ['create', '-f', '-'];

function status(kind: string, name: string, body: object): readonly string[] {
  return ['patch', kind, name, '--subresource=status', '--type=merge', '-p', JSON.stringify(body)];
}

export function debug(pod: string, profile: 'netadmin' | 'sysadmin' | 'restricted'): readonly string[] {
  const container = `debug-${profile}`;
  return [
    'debug',
    pod,
    `--image=${imageReference('samples')}`,
    `--profile=${profile}`,
    `--container=${container}`,
    '--',
    'true',
  ];
}

export function podWith(metadata: { readonly labels?: object; readonly annotations?: object }, spec: object = alone) {
  const pod = barePod('mine', spec);
  return { ...pod, metadata: { ...pod.metadata, ...metadata, labels: { ...pod.metadata.labels, ...metadata.labels } } };
}

export function nad(name: string, config: object | string) {
  const text = typeof config === 'string' ? config : JSON.stringify(config);
  return {
    apiVersion: 'k8s.cni.cncf.io/v1',
    kind: 'NetworkAttachmentDefinition',
    metadata: { name },
    spec: { config: text },
  };
}

export const bridgeConfig = (bridge: string) => ({ cniVersion: '1.0.0', type: 'bridge', bridge });

const driverVolume = { name: 'stolen', csi: { driver: volumeDriver, volumeAttributes: { volume: 'logs' } } };

export const attacks: readonly Attack[] = [
  {
    what: 'a Pod with the labels of a piece',
    make: ({ split }) => [create, podWith({ labels: { [ownLabels.split]: split, [ownLabels.role]: 'sibling' } })],
    message: labels,
  },
  {
    what: "an annotated Pod with the label of another Pod's pieces",
    make: ({ split }) => [create, podWith({ labels: { [ownLabels.split]: split }, annotations: splitMode }, pair)],
    message: '(ReservedLabel)',
  },
  {
    what: 'a Pod with a wiring of its own',
    make: () => [create, podWith({ annotations: { 'podsplit.io/wiring': '{}' } })],
    message: annotations,
  },
  {
    what: 'an annotated Pod with a wiring of its own',
    make: () => [create, podWith({ annotations: { ...splitMode, 'podsplit.io/wiring': '{}' } }, pair)],
    message: '(ForgedAnnotation)',
  },
  {
    what: 'an annotated Pod that claims a privileged container was cut from it',
    make: ({ removed }) => [create, podWith({ annotations: { ...splitMode, 'podsplit.io/removed': removed } })],
    message: '(PrivilegedContainer)',
  },
  {
    what: "a Pod with a volume of podsplit's driver",
    make: () => [create, podWith({}, { ...alone, volumes: [...alone.volumes, driverVolume] })],
    message: `volumes of the driver ${volumeDriver} are set by podsplit only`,
  },
  {
    what: "an annotated Pod with a volume of podsplit's driver",
    make: () => [create, podWith({ annotations: splitMode }, { ...pair, volumes: [...pair.volumes, driverVolume] })],
    message: '(ReservedName)',
  },
  {
    what: 'an annotated Pod that lifts its gate beforehand, by bringing one',
    make: () => [
      create,
      podWith({ annotations: splitMode }, { ...pair, schedulingGates: [{ name: 'podsplit.io/other' }] }),
    ],
    message: '(ReservedName)',
  },
  {
    what: 'a Pod that joins the peer network, by name',
    make: (victim) => [create, podWith({ annotations: { [networksAnnotation]: victim.nad } })],
    message: networks,
  },
  {
    what: "a Pod that joins the peer network, by JSON with a peer's address",
    make: (victim) => [
      create,
      podWith({
        annotations: { [networksAnnotation]: JSON.stringify([{ name: victim.nad, ips: ['198.18.0.9/15'] }]) },
      }),
    ],
    message: networks,
  },
  {
    what: 'a Pod that joins the peer network, spelled with JSON escapes',
    make: (victim) => [
      create,
      podWith({ annotations: { [networksAnnotation]: `[{"name":"\\u0070${victim.nad.slice(1)}"}]` } }),
    ],
    message: networks,
  },
  ...[
    { form: 'by name behind another', of: (name: string) => `mine,${name}` },
    { form: 'with its namespace', of: (name: string, namespace: string) => `${namespace}/${name}` },
    { form: 'as its net1', of: (name: string, namespace: string) => `${namespace}/${name}@net1` },
    {
      form: 'by JSON with CNI arguments',
      of: (name: string) => JSON.stringify([{ name: 'mine' }, { name, 'cni-args': { phase: 'close' } }]),
    },
  ].flatMap(({ form, of }) =>
    (['nad', 'otherNad'] as const).map((which): Attack => ({
      what: `a Pod that joins the peer network of ${which === 'nad' ? 'its' : 'the other'} install mode, ${form}`,
      make: (victim) => [
        create,
        podWith({ annotations: { [networksAnnotation]: of(victim[which], victim.namespace) } }),
      ],
      message: networks,
    })),
  ),
  {
    what: 'a Pod whose default network it is',
    make: (victim) => [create, podWith({ annotations: { 'v1.multus-cni.io/default-network': victim.nad } })],
    message: networks,
  },
  {
    what: 'a Pod of an annotated workload that joins it',
    make: (victim) => [create, podWith({ annotations: { ...splitMode, [networksAnnotation]: victim.nad } }, pair)],
    message: '(OwnNetworks)',
  },
  {
    what: 'the wiring of a piece that runs',
    make: ({ sibling }) => [['annotate', '--overwrite', 'pod', sibling, 'podsplit.io/wiring={}']],
    message: annotations,
  },
  {
    what: 'the flows of a Pod that runs',
    make: ({ primary }) => [['annotate', 'pod', primary, 'podsplit.io/flows=none']],
    message: annotations,
  },
  {
    what: 'the install mode of a piece that runs',
    make: ({ sibling }) => [['annotate', '--overwrite', 'pod', sibling, 'podsplit.io/install=init']],
    message: annotations,
  },
  {
    what: 'what was cut from a Pod that runs',
    make: ({ primary, removed }) => [['annotate', '--overwrite', 'pod', primary, `podsplit.io/removed=${removed}`]],
    message: annotations,
  },
  {
    what: 'the label of a split on a Pod that is none',
    make: ({ split }) => [['label', 'pod', 'plain', `${ownLabels.split}=${split}`]],
    message: labels,
  },
  {
    what: 'the mode of a Pod that is not split',
    make: () => [['annotate', 'pod', 'plain', 'podsplit.io/mode=split']],
    message: annotations,
  },
  {
    what: 'the wiring, by way of the status',
    make: ({ sibling }) => [status('pod', sibling, { metadata: { annotations: { 'podsplit.io/wiring': '{}' } } })],
    message: annotations,
  },
  {
    what: 'the networks, by way of the status',
    make: ({ nad }) => [status('pod', 'plain', { metadata: { annotations: { [networksAnnotation]: nad } } })],
    message: networks,
  },
  {
    what: 'the wiring, by way of a binding',
    make: ({ gated, namespace }) => [
      ['create', '--raw', `/api/v1/namespaces/${namespace}/pods/${gated}/binding`, '-f', '-'],
      {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name: gated, annotations: { 'podsplit.io/wiring': '{}' } },
        target: { kind: 'Node', name: 'node1' },
      },
    ],
    message: annotations,
  },
  {
    what: 'a debug container that may change the rules',
    make: ({ sibling }) => [debug(sibling, 'netadmin')],
    message: 'a container that may change its network is not added to a split Pod',
  },
  {
    what: 'a debug container that may do anything',
    make: ({ primary }) => [debug(primary, 'sysadmin')],
    message: 'a container that may change its network is not added to a split Pod',
  },
  {
    what: 'what was denied, as if nothing had been',
    make: ({ podSplit }) => [status('podsplits', podSplit, { status: { denied: null, phase: 'Running' } })],
    message: state,
  },
  {
    what: 'the flows that a PodSplit shows',
    make: ({ podSplit }) => [['patch', 'podsplits', podSplit, '--type=merge', '-p', '{"spec":{"flows":[]}}']],
    message: state,
  },
  { what: 'the deletion of a PodSplit', make: ({ podSplit }) => [['delete', 'podsplits', podSplit]], message: state },
  { what: 'the deletion of all PodSplits', make: () => [['delete', 'podsplits', '--all']], message: state },
  {
    what: 'a PodSplit of its own',
    make: ({ split }) => [
      create,
      {
        apiVersion: 'podsplit.io/v1alpha1',
        kind: 'PodSplit',
        metadata: { name: 'mine', labels: { [ownLabels.split]: split } },
        spec: {
          pod: { name: 'mine', uid: 'u' },
          workload: { apiVersion: 'v1', kind: 'Pod', name: 'mine', uid: 'u' },
          network: 'default',
          networkAttachmentDefinition: 'mine',
          flows: [],
        },
      },
    ],
    message: state,
  },
  {
    what: 'the mode of a Pod that runs',
    make: ({ primary }) => [['annotate', 'pod', primary, 'podsplit.io/mode-']],
    message: 'podsplit.io/* cannot be taken from a Pod',
  },
  {
    what: 'the networks of a piece that runs',
    make: ({ sibling }) => [['annotate', 'pod', sibling, `${networksAnnotation}-`]],
    message: 'the networks of a split Pod are set by podsplit',
  },
  {
    what: 'the labels of a piece that runs',
    make: ({ sibling }) => [['label', '--overwrite', 'pod', sibling, `${ownLabels.split}=0123456789`]],
    message: labels,
  },
  {
    what: 'the label that says it is a piece',
    make: ({ primary }) => [['label', 'pod', primary, `${ownLabels.role}-`]],
    message: labels,
  },
  {
    what: 'the scheduling gate of a Pod that waits',
    make: ({ gated }) => [['patch', 'pod', gated, '--type=merge', '-p', '{"spec":{"schedulingGates":null}}']],
    message: 'podsplit.io/network is lifted by podsplit',
  },
  {
    what: "a network with a name of podsplit's",
    make: () => [create, nad(`${nadNamePrefix}mine`, bridgeConfig('mine'))],
    message: generated,
  },
  {
    what: 'a network on the bridge of a split workload',
    make: ({ bridge }) => [create, nad('mine', bridgeConfig(bridge))],
    message: "bridges named ps-KEY are podsplit's",
  },
  {
    what: 'the same, spelled with JSON escapes',
    make: ({ bridge }) => [
      create,
      nad('mine', JSON.stringify(bridgeConfig(bridge)).replace(bridge, `\\u0070${bridge.slice(1)}`)),
    ],
    message: '\\u escapes are not taken here',
  },
  {
    what: 'a network that calls our plugin',
    make: () => [create, nad('mine', { cniVersion: '1.0.0', plugins: [{ type: 'podsplit', phase: 'close' }] })],
    message: 'the plugin "podsplit" is for generated networks only',
  },
  {
    what: 'the same, with the key in another case, which readers of JSON in Go take too',
    make: () => [create, nad('mine', '{"cniVersion":"1.0.0","name":"mine","Type":"podsplit"}')],
    message: 'the plugin "podsplit" is for generated networks only',
  },
  {
    what: 'a network that has Multus attach to the peer network',
    make: (victim) => [
      create,
      nad('mine', { cniVersion: '1.0.0', type: 'multus', clusterNetwork: `${victim.namespace}/${victim.nad}` }),
    ],
    message: 'networks named podsplit-* are for split Pods only',
  },
  {
    what: 'a network on top of that bridge',
    make: ({ bridge }) => [create, nad('mine', { cniVersion: '1.0.0', type: 'macvlan', master: bridge })],
    message: "bridges named ps-KEY are podsplit's",
  },
  {
    what: 'a change of a generated network',
    make: (victim) => [['patch', nadKind, victim.nad, '--type=merge', '-p', '{"spec":{"config":"{}"}}']],
    message: generated,
  },
  {
    what: 'the deletion of a generated network',
    make: (victim) => [['delete', nadKind, victim.nad]],
    message: generated,
  },
  { what: 'the deletion of all networks', make: () => [['delete', nadKind, '--all']], message: generated },
];
