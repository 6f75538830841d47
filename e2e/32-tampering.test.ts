// What a user of a namespace may not do to split Pods, whoever runs: the guards are policies of the API server. And what an
// administrator may do, and the controller sets right again.

import { expect } from 'chai';
import { nadNamePrefix, networksAnnotation, ownLabels } from '../controller/api/names.ts';
import { agentProgram, agents, barePod, call, pair, splitMode, workload, type Listener } from './support/agents.ts';
import { eventually } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { TestNamespace } from './support/namespace.ts';
import { condition, type Event, type KubeObject, type Pod } from './support/objects.ts';
import { readySplitPods, type SplitPod } from './support/pieces.ts';

const user = 'mallory';
const asUser = [`--as=${user}`, '--as-group=system:authenticated'];
const own: readonly Listener[] = [{ protocol: 'tcp', bind: '::', port: 7001, declared: true }];
const alone = agents({ app: own });
const nadKind = 'network-attachment-definitions.k8s.cni.cncf.io';

/** All that the built-in role `edit` gives, and NADs, as clusters do that let users have networks of their own. */
const rights = [
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata: { name: 'networks' },
    rules: [{ apiGroups: ['k8s.cni.cncf.io'], resources: ['network-attachment-definitions'], verbs: ['*'] }],
  },
  ...[
    { name: 'edit', kind: 'ClusterRole' },
    { name: 'networks', kind: 'Role' },
  ].map((role) => ({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata: { name: role.name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', ...role },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: user }],
  })),
];

/** What the attacks aim at. */
interface Victim {
  readonly primary: string;
  readonly sibling: string;
  readonly split: string;
  readonly nad: string;
  readonly bridge: string;
  /** A Pod of the user's own that still waits. */
  readonly gated: string;
  /** As podsplit writes it on an admitted Pod, but for a privilege. */
  readonly removed: string;
}

interface Attack {
  readonly what: string;
  /** Arguments of kubectl, and its input. */
  readonly make: (victim: Victim) => readonly [readonly string[], object?];
  readonly message: string;
}

const labels = 'metadata.labels: labels of podsplit.io are set by podsplit only';
const annotations = 'metadata.annotations: of podsplit.io/* only mode, primary, flows';
const networks = 'only podsplit attaches Pods to networks named podsplit-*';
const generated = 'networks named podsplit-* are generated, and kept, by podsplit';

const create = ['create', '-f', '-'];

function podWith(metadata: { readonly labels?: object; readonly annotations?: object }, spec: object = alone) {
  const pod = barePod('mine', spec);
  return { ...pod, metadata: { ...pod.metadata, ...metadata, labels: { ...pod.metadata.labels, ...metadata.labels } } };
}

function nad(name: string, config: object | string) {
  const text = typeof config === 'string' ? config : JSON.stringify(config);
  return {
    apiVersion: 'k8s.cni.cncf.io/v1',
    kind: 'NetworkAttachmentDefinition',
    metadata: { name },
    spec: { config: text },
  };
}

const bridgeConfig = (bridge: string) => ({ cniVersion: '1.0.0', type: 'bridge', bridge });

const attacks: readonly Attack[] = [
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

describe('tampering with split Pods', () => {
  let namespace: TestNamespace;
  let split: SplitPod;
  let victim: Victim;

  before(async () => {
    namespace = await TestNamespace.create('tamper');
    await namespace.apply(
      agentProgram,
      ...rights,
      workload('Deployment', 'web', pair, { replicas: 1, annotations: splitMode }),
      barePod('gated', pair, { ...splitMode, 'podsplit.io/network': 'there-is-none' }),
    );
    [split] = (await readySplitPods(namespace, 'web', 1, ['app', 'helper'])) as [SplitPod];
    const cut = await namespace.get<Pod>('pod', 'gated');
    const [found] = await namespace.list<KubeObject & { readonly spec: { readonly config: string } }>(nadKind);
    victim = {
      primary: split.primary.metadata.name,
      sibling: split.pieces.get('helper')!.metadata.name,
      split: split.primary.metadata.labels![ownLabels.split]!,
      nad: found!.metadata.name,
      bridge: /"(ps-[0-9a-f]{12})"/.exec(found!.spec.config)![1]!,
      gated: 'gated',
      removed: cut.metadata.annotations!['podsplit.io/removed']!.replace(
        '"allowPrivilegeEscalation":false',
        '"privileged":true',
      ),
    };
  });

  after(() => TestNamespace.deleteAll());

  it('the user may otherwise make Pods and networks, and annotate for a split', async () => {
    for (const object of [podWith({}), podWith({ annotations: splitMode }, pair), nad('mine', bridgeConfig('mine'))]) {
      const ended = await namespace.try(['create', '--dry-run=server', '-f', '-', ...asUser], JSON.stringify(object));
      expect(ended.status, ended.output).to.equal(0);
    }
  });

  for (const { what, make, message } of attacks) {
    it(`refused: ${what}`, async () => {
      const [args, input] = make(victim);
      const ended = await namespace.try([...args, ...asUser], input === undefined ? undefined : JSON.stringify(input));
      expect(ended.status, ended.output).not.to.equal(0);
      expect(ended.output).to.contain(message);
    });
  }

  it('a user reads what podsplit says, and writes none of it', async () => {
    const may = async (verb: string, resource: string) =>
      (await namespace.try(['auth', 'can-i', verb, resource, ...asUser])).stdout.trim();
    expect(await may('get', 'podsplits.podsplit.io')).to.equal('yes');
    for (const verb of ['create', 'update', 'delete']) {
      expect(await may(verb, 'podsplits.podsplit.io')).to.equal('no');
      expect(await may(verb, 'addressblocks.podsplit.io')).to.equal('no');
    }
  });

  it('a network that an administrator edits is repaired, and what runs runs on', async () => {
    await namespace.kubectl(['patch', nadKind, victim.nad, '--type=merge', '-p', '{"spec":{"config":"{}"}}']);
    await repaired('had been changed');
    await helperAnswers();
  });

  it('a network that an administrator deletes is made again, and what runs runs on', async () => {
    await namespace.kubectl(['delete', nadKind, victim.nad]);
    await helperAnswers();
    await repaired('had been deleted');
    await helperAnswers();
  });

  it('serves new Pods after that, and the old ones are as they were', async () => {
    await namespace.kubectl(['scale', 'deployment/web', '--replicas=2']);
    const pods = await readySplitPods(namespace, 'web', 2, ['app', 'helper']);
    const same = pods.find(({ primary }) => primary.metadata.uid === split.primary.metadata.uid);
    expect([...(same?.pieces.values() ?? [])].map(({ metadata }) => metadata.uid)).to.have.members(
      [...split.pieces.values()].map(({ metadata }) => metadata.uid),
    );
    const gated = await namespace.get<Pod>('pod', 'gated');
    expect(condition(gated, 'podsplit.io/pieces-ready')?.reason).to.equal('NetworkNotFound');
    await invariantsHold();
  });

  async function repaired(how: string): Promise<void> {
    await eventually(
      'the network is repaired',
      async () => {
        const found = await namespace.get<KubeObject & { readonly spec: { readonly config: string } }>(
          nadKind,
          victim.nad,
        );
        expect(found.spec.config).to.contain(victim.bridge);
        const events = await namespace.list<Event>('events');
        const told = events.filter((event) => event.reason === 'NetworkRepaired' && event.message.includes(how));
        expect(told.map(({ involvedObject }) => involvedObject.name)).to.include(victim.nad);
      },
      30_000,
    );
  }

  async function helperAnswers(): Promise<void> {
    const answers = await call(namespace, victim.primary, 'app', [['tcp', '127.0.0.1', 7002]]);
    expect(answers).to.deep.equal(['helper 127.0.0.1']);
  }
});
