// What a user of a namespace may not do to split Pods, whoever runs: the guards are policies of the API server. And what an
// administrator may do, and the controller sets right again.

import { expect } from 'chai';
import { networksAnnotation, networkStatusAnnotation } from '../controller/api/names.ts';
import { listAll } from './support/api.ts';
import { agentProgram, agents, barePod, call, pair, splitMode, workload } from './support/agents.ts';
import { eventually, patience } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { kubectl, listKinds, TestNamespace } from './support/namespace.ts';
import { inNetns, onNode } from './support/node.ts';
import {
  condition,
  podIPs,
  type AddressBlock,
  type Event,
  type KubeObject,
  type Pod,
  type PodSplit,
} from './support/objects.ts';
import { addressesOf, isReady, peerAddresses, podSplitOf, readySplitPods, type SplitPod } from './support/pieces.ts';
import {
  asColleague,
  asUser,
  attacks,
  bridgeConfig,
  debug,
  nad,
  nadKind,
  podWith,
  rights,
  victimOf,
  type Victim,
} from './support/tampering.ts';

const agent = 'system:serviceaccount:podsplit-node:podsplit-agent';
const asAgent = [`--as=${agent}`, '--as-group=system:authenticated', '--as-group=system:serviceaccounts'];

const containers = agents({
  app: [{ protocol: 'tcp', bind: '::', port: 7001, declared: true }],
  helper: [
    { protocol: 'tcp', bind: '127.0.0.1', port: 7002, declared: true },
    { protocol: 'tcp', bind: '::', port: 7003, declared: false },
  ],
});

/** What no Role of a namespace can give: an operator who is trusted with pools, and with too much of the rest. */
function clusterRights(name: string): readonly object[] {
  const api = 'rbac.authorization.k8s.io';
  const resources = ['addressblocks', 'splitnetworks', 'splitnetworks/status'];
  return [
    {
      apiVersion: `${api}/v1`,
      kind: 'ClusterRole',
      metadata: { name },
      rules: [{ apiGroups: ['podsplit.io'], resources, verbs: ['*'] }],
    },
    {
      apiVersion: `${api}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name },
      roleRef: { apiGroup: api, kind: 'ClusterRole', name },
      subjects: [{ apiGroup: api, kind: 'User', name: 'mallory' }],
    },
  ];
}

describe('tampering with split Pods', () => {
  let namespace: TestNamespace;
  let split: SplitPod;
  let victim: Victim;
  let rules: string;

  before(async () => {
    namespace = await TestNamespace.create('tamper');
    await namespace.apply(
      agentProgram,
      ...rights,
      ...clusterRights(namespace.name),
      workload('Deployment', 'web', containers, {
        replicas: 1,
        annotations: { ...splitMode, 'podsplit.io/install': 'node' },
      }),
      barePod('plain', containers),
      barePod('gated', pair, { ...splitMode, 'podsplit.io/network': 'there-is-none' }),
    );
    [split] = (await readySplitPods(namespace, 'web', 1, ['app', 'helper'])) as [SplitPod];
    victim = await victimOf(namespace, split, 'gated');
    rules = await rulesOf(split);
  });

  after(async () => {
    const { name } = namespace;
    await kubectl(['delete', `clusterrolebinding/${name}`, `clusterrole/${name}`, '--ignore-not-found']);
    await TestNamespace.deleteAll();
  });

  it('the user may otherwise make Pods and networks, debug them, and annotate for a split', async () => {
    for (const object of [podWith({}), podWith({ annotations: splitMode }, pair), nad('mine', bridgeConfig('mine'))]) {
      const ended = await namespace.try(['create', '--dry-run=server', '-f', '-', ...asUser], JSON.stringify(object));
      expect(ended.status, ended.output).to.equal(0);
    }
    // What changes the network of a Pod that is not split is nobody's business here.
    const debugged = await namespace.try([...asUser, ...debug('plain', 'netadmin')]);
    expect(debugged.status, debugged.output).to.equal(0);
  });

  for (const { what, make, message } of attacks) {
    it(`refused: ${what}`, async () => {
      const [args, input] = make(victim);
      const ended = await namespace.try([...asUser, ...args], input === undefined ? undefined : JSON.stringify(input));
      expect(ended.status, ended.output).not.to.equal(0);
      expect(ended.output).to.contain(message);
    });
  }

  it('a user with a built-in role reads what podsplit says, and has no right to write it', async () => {
    const may = async (verb: string, resource: string) =>
      (await namespace.try(['auth', 'can-i', verb, resource, ...asColleague])).stdout.trim();
    expect(await may('get', 'podsplits.podsplit.io')).to.equal('yes');
    for (const verb of ['create', 'update', 'delete']) {
      expect(await may(verb, 'podsplits.podsplit.io')).to.equal('no');
      expect(await may(verb, 'addressblocks.podsplit.io')).to.equal('no');
    }
  });

  it('an operator who has the rights writes pools, and not what podsplit says of them or takes from them', async () => {
    const blocks = await listAll<AddressBlock>('addressBlocks');
    const { name } = blocks.find(({ spec }) => spec.workload.namespace === namespace.name)!.metadata;
    const dry = async (...args: readonly string[]) => namespace.try([...args, '--dry-run=server', ...asUser]);
    const claims = await dry('patch', 'addressblock', name, '--type=merge', '-p', '{"spec":{"claims":[]}}');
    expect(claims.output).to.contain('addressblocks: written by podsplit only');
    expect((await dry('delete', 'addressblock', name)).output).to.contain('addressblocks: written by podsplit only');
    const status = ['patch', 'splitnetwork', 'default', '--subresource=status', '--type=merge', '-p'];
    expect((await dry(...status, '{"status":{"conditions":[]}}')).output).to.contain('written by podsplit only');
    const spec = await dry('patch', 'splitnetwork', 'default', '--type=merge', '-p', '{"spec":{"mtu":9000}}');
    expect(spec.status, spec.output).to.equal(0);
  });

  it('the agents write what was denied and what was used on their node, and nothing else', async () => {
    const denied = [
      {
        from: 'helper',
        to: 'app',
        address: '198.18.0.1',
        port: 1,
        protocol: 'tcp',
        network: 'peer',
        seenBy: 'app',
        packets: 1,
        lastSeen: '2026-01-02T03:04:05Z',
      },
    ];
    const common = { protocol: 'tcp', network: 'peer', lastSeen: '2026-01-02T03:04:05Z' };
    const observed = [{ ...common, from: 'helper', to: 'app', port: 1, connections: 1, wouldDeny: false }];
    // Server-side apply patches without reading first, as the agents do, who have no right to read.
    const tell = (status: object, ...more: readonly string[]) => {
      const metadata = { name: victim.podSplit };
      const args = [
        '--server-side',
        '--force-conflicts',
        '--subresource=status',
        '--dry-run=server',
        '--validate=false',
      ];
      return namespace.try(
        ['apply', '-f', '-', ...args, ...asAgent, ...more],
        JSON.stringify({ apiVersion: 'podsplit.io/v1alpha1', kind: 'PodSplit', metadata, status }),
      );
    };
    const onNodeNamed = (node: string) => `--as-user-extra=authentication.kubernetes.io/node-name=${node}`;
    const node = split.primary.spec.nodeName!;
    const told = await tell({ denied, observed }, onNodeNamed(node));
    expect(told.status, told.output).to.equal(0);
    for (const status of [{ denied }, { observed }]) {
      for (const who of [[], [onNodeNamed(`not-${node}`)]]) {
        expect((await tell(status, ...who)).output).to.contain('of Pods on its own node only');
      }
    }
    for (const status of [
      { phase: 'Refused' },
      { denied, observed, node: 'elsewhere' },
      { readyPieces: '9/9', denied: [] },
    ]) {
      expect((await tell(status, onNodeNamed(node))).output).to.contain(
        'the agent of a node writes denied and observed, and nothing else',
      );
    }
    // What stands behind a slash kubectl would take for a name.
    const may = async (verb: string, resource: string) => {
      const [plural = '', subresource] = resource.split('/');
      const below = subresource === undefined ? [] : [`--subresource=${subresource}`];
      return (await namespace.try(['auth', 'can-i', verb, plural, ...below, ...asAgent])).stdout.trim();
    };
    for (const resource of ['pods', 'pods/status', 'pods/ephemeralcontainers', 'podsplits.podsplit.io', nadKind]) {
      for (const verb of ['create', 'update', 'patch', 'delete']) {
        // To fail a Pod whose volume is too large, and a guard holds it to that: e2e/67-volumes.test.ts.
        const fails = verb === 'patch' && resource === 'pods/status';
        expect(await may(verb, resource), `${verb} ${resource}`).to.equal(fails ? 'yes' : 'no');
      }
    }
  });

  it('a debug container without such rights is let in, and reaches no more than its piece', async () => {
    const added = await namespace.try([...asUser, ...debug(victim.sibling, 'restricted')]);
    expect(added.status, added.output).to.equal(0);
  });

  it('a forged report of its networks and addresses gives a Pod nothing, and takes nothing from a piece', async () => {
    const [first] = podIPs(await namespace.get<Pod>('pods', 'plain'));
    const networkStatus = JSON.stringify([{ name: victim.nad, interface: 'net1', ips: addressesOf(split.primary) }]);
    const forged = {
      metadata: { annotations: { [networkStatusAnnotation]: networkStatus } },
      status: { podIP: first, podIPs: [{ ip: first }] },
    };
    const before = await namespace.get<Pod>('pods', victim.sibling);
    for (const pod of [victim.sibling, 'plain']) {
      const args = ['patch', 'pod', pod, '--subresource=status', '--type=merge', '-p', JSON.stringify(forged)];
      const ended = await namespace.try([...args, ...asUser]);
      expect(ended.status, ended.output).to.equal(0);
    }
    await helperAnswers();
    await reachesNothing('plain');
    expect(await rulesOf(split)).to.equal(rules);
    // For the invariants, which ask what Multus reported.
    const { annotations } = before.metadata;
    const report = annotations![networkStatusAnnotation]!;
    await namespace.kubectl(['annotate', '--overwrite', 'pod', victim.sibling, `${networkStatusAnnotation}=${report}`]);
  });

  it('a Pod that claims to be owned by the primary is no piece of it', async () => {
    const owner = { apiVersion: 'v1', kind: 'Pod', name: victim.primary, uid: victim.primaryUid, controller: true };
    const made = podWith({ annotations: {} }, pair);
    const owned = { ...made, metadata: { ...made.metadata, name: 'owned', ownerReferences: [owner] } };
    const ended = await namespace.try(['create', '-f', '-', ...asUser], JSON.stringify(owned));
    expect(ended.status, ended.output).to.equal(0);
    const pod = await eventually('the Pod is ready', async () => {
      const found = await namespace.get<Pod>('pods', 'owned');
      if (!isReady(found)) throw new Error(found.status.phase);
      return found;
    });
    expect(Object.keys({ ...pod.metadata.labels, ...pod.metadata.annotations }).join()).not.to.contain('podsplit.io/');
    expect(peerAddresses(pod)).to.deep.equal([]);
    await reachesNothing('owned');
    const { status } = await podSplitOf(namespace, split.primary);
    expect(status?.pieces?.map(({ name }) => name)).to.have.members(['app', 'helper']);
    expect(await rulesOf(split)).to.equal(rules);
  });

  it('CNI arguments put nobody on the bridge of a split workload, as naming it would', async () => {
    const { bridge } = victim;
    const before = await portsOf(bridge);
    expect(before).to.equal(2);
    const args = { bridge, type: 'podsplit', ips: ['198.18.0.9/15'] };
    await namespace.try(['create', '-f', '-', ...asUser], JSON.stringify(nad('mine', bridgeConfig('tamper0'))));
    await attach('arguments', asUser, JSON.stringify([{ name: 'mine', 'cni-args': args }]));
    expect(await portsOf(bridge)).to.equal(before);
    // An administrator's network is not held up: so this is what the guards prevent.
    await namespace.apply(nad('on-it', bridgeConfig(bridge)));
    await attach('by-name', [], 'on-it');
    expect(await portsOf(bridge)).to.equal(before + 1);
    await namespace.kubectl(['delete', 'pod/by-name', 'pod/arguments', `${nadKind}/on-it`, '--wait=false']);
  });

  it('the network of a split Pod takes nobody else in, whoever asks: the agent refuses', async () => {
    const owner = { apiVersion: 'v1', kind: 'Pod', name: victim.primary, uid: victim.primaryUid, controller: true };
    const networks = JSON.stringify([{ name: victim.nad, ips: ['198.18.0.9/15'], mac: '0a:58:c6:12:00:09' }]);
    const made = podWith({ annotations: { [networksAnnotation]: networks } }, onTheNode());
    const pod = { ...made, metadata: { ...made.metadata, name: 'slipped', ownerReferences: [owner] } };
    await namespace.apply(pod);
    await eventually('the agent refuses', async () => {
      const events = await namespace.list<Event>('events');
      const refused = events.filter(
        ({ reason, involvedObject }) => reason === 'FailedCreatePodSandBox' && involvedObject.name === 'slipped',
      );
      expect(refused.map(({ message }) => message).join()).to.contain('is no piece of a split Pod');
    });
    await namespace.kubectl(['delete', 'pod/slipped', '--wait=false']);
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

  it('what else the Pods of a workload share is set right when an administrator edits or deletes it', async () => {
    const generated = 'networkpolicies,poddisruptionbudgets';
    const own = ['-l', 'app.kubernetes.io/managed-by=podsplit'];
    const shared = async () =>
      (await listKinds<KubeObject & { readonly spec: object }>(generated, '-n', namespace.name, ...own)).map(
        ({ kind, metadata, spec }) => ({
          name: `${kind}/${metadata.name}`,
          spec,
        }),
      );
    const before = await shared();
    const named = before.map(({ name }) => name);
    expect(named.map((name) => name.split('/')[0]).sort()).to.deep.equal(['NetworkPolicy', 'PodDisruptionBudget']);
    const again = async (...changes: readonly (readonly string[])[]) => {
      for (const change of changes) expect(await namespace.kubectl(change)).not.to.contain('no change');
      await eventually('all are as they were', async () => {
        expect(await shared()).to.have.deep.members(before);
      });
    };
    const edits = { NetworkPolicy: { ingress: [{}] }, PodDisruptionBudget: { minAvailable: 0 } };
    await again(
      ...Object.entries(edits).map(([kind, spec]) => {
        const object = named.find((name) => name.startsWith(kind))!;
        return ['patch', object, '--type=merge', '-p', JSON.stringify({ spec })];
      }),
    );
    await again(['delete', ...named]);
    await helperAnswers();
  });

  it('a PodSplit that an administrator edits or deletes says again what is so', async () => {
    const before = await podSplitOf(namespace, split.primary);
    const says = ({ spec, status }: PodSplit) => ({ spec, phase: status?.phase, pieces: status?.pieces });
    const again = async (uid?: string) => {
      await eventually('it says what is so', async () => {
        const found = await podSplitOf(namespace, split.primary);
        expect(says(found)).to.deep.equal(says(before));
        expect(found.metadata.uid).not.to.equal(uid);
      });
    };
    const object = `podsplit/${victim.podSplit}`;
    await namespace.kubectl(['patch', object, '--type=merge', '-p', '{"spec":{"flows":[]}}']);
    const status = JSON.stringify({ status: { phase: 'Refused', pieces: [] } });
    await namespace.kubectl(['patch', object, '--subresource=status', '--type=merge', '-p', status]);
    await again();
    await namespace.kubectl(['delete', object]);
    await again(before.metadata.uid);
  });

  it('a wiring that an administrator edits is taken back, with what it opened', async () => {
    const wiringOf = async () =>
      (await namespace.get<Pod>('pods', victim.sibling)).metadata.annotations!['podsplit.io/wiring']!;
    const before = await wiringOf();
    const wiring = JSON.parse(before) as { readonly flows: readonly object[] };
    const more = [...wiring.flows, { from: 'app', to: 'helper', port: 7003, protocol: 'tcp' }];
    const edited = JSON.stringify({ ...wiring, flows: more });
    await namespace.kubectl(['annotate', '--overwrite', 'pod', victim.sibling, `podsplit.io/wiring=${edited}`]);
    await eventually('it is as it was, and so are the rules', async () => {
      expect(await wiringOf()).to.equal(before);
      expect(await rulesOf(split)).to.equal(rules);
    });
    await helperAnswers();
  });

  it('a piece whose labels an administrator takes off keeps its addresses as long as it is there', async () => {
    await namespace.apply(barePod('stripped', pair, splitMode));
    const [{ primary, pieces }] = (await readySplitPods(namespace, 'stripped', 1, ['app', 'helper'])) as [SplitPod];
    const { name } = pieces.get('helper')!.metadata;
    const change = (metadata: object) =>
      namespace.kubectl(['patch', 'pod', name, '--type=merge', '-p', JSON.stringify({ metadata })]);
    const claims = async () =>
      (await listAll<AddressBlock>('addressBlocks'))
        .flatMap(({ spec }) => spec.claims)
        .filter(({ pod }) => pod.uid === primary.metadata.uid);
    // It stays after its end, as one on a node that does not answer.
    await change({ finalizers: ['e2e.test/stays'], labels: { 'podsplit.io/split': null, 'podsplit.io/role': null } });
    await namespace.kubectl(['delete', 'pod', 'stripped', '--wait=true', patience]);
    await eventually('the controller knows that the Pod is gone', async () => {
      expect(await claims()).to.have.nested.property('[0].releasing', true);
    });
    // By then it has looked again, more than once.
    await namespace.apply(barePod('later', pair, splitMode));
    await readySplitPods(namespace, 'later', 1, ['app', 'helper']);
    expect(await claims()).to.have.length(1);
    await change({ finalizers: null });
    await eventually('its addresses are free', async () => {
      expect(await claims()).to.have.length(0);
    });
    await namespace.kubectl(['delete', 'pod', 'later', '--wait=true', patience]);
  });

  it('serves new Pods after that, and the old ones are as they were', async () => {
    await namespace.kubectl(['scale', 'deployment/web', '--replicas=2']);
    const pods = await readySplitPods(namespace, 'web', 2, ['app', 'helper']);
    const same = pods.find(({ primary }) => primary.metadata.uid === split.primary.metadata.uid);
    expect([...(same?.pieces.values() ?? [])].map(({ metadata }) => metadata.uid)).to.have.members(
      [...split.pieces.values()].map(({ metadata }) => metadata.uid),
    );
    expect(await rulesOf(split)).to.equal(rules);
    const gated = await namespace.get<Pod>('pods', 'gated');
    expect(condition(gated, 'podsplit.io/pieces-ready')?.reason).to.equal('NetworkNotFound');
    await invariantsHold();
  });

  it('a workload that its owner deletes takes its network along, and that is no alarm', async () => {
    const alarms = async () =>
      (await namespace.list<Event & { readonly count?: number }>('events'))
        .filter(({ reason }) => reason === 'NetworkRepaired')
        .reduce((sum, { count = 1 }) => sum + count, 0);
    const before = await alarms();
    await namespace.kubectl(['delete', 'deployment/web', ...asUser]);
    await eventually('all of it is gone', async () => {
      const pods = (await namespace.list<Pod>('pods')).filter(({ metadata }) => metadata.name.startsWith('web-'));
      const networks = (await namespace.list<KubeObject>('networkAttachmentDefinitions')).filter(
        ({ metadata }) => metadata.name === victim.nad,
      );
      expect([...pods, ...networks].map(({ metadata }) => metadata.name)).to.deep.equal([]);
    });
    expect(await alarms()).to.equal(before);
  });

  async function repaired(how: string): Promise<void> {
    await eventually(
      'the network is repaired',
      async () => {
        const found = await namespace.get<KubeObject & { readonly spec: { readonly config: string } }>(
          'networkAttachmentDefinitions',
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

  /** What no container declares answers everybody at the address of a Pod that is not split, and nobody at a piece's. */
  async function reachesNothing(pod: string): Promise<void> {
    const whole = podIPs(await namespace.get<Pod>('pods', 'plain'));
    const targets = (addresses: readonly string[]) => addresses.map((address) => ['tcp', address, 7003] as const);
    const ofWhole = await call(namespace, pod, 'app', targets(whole));
    expect(ofWhole.map((answer) => answer?.split(' ')[0])).to.deep.equal(whole.map(() => 'helper'));
    const ofPieces = targets([...split.pieces.values()].flatMap(addressesOf));
    expect(await call(namespace, pod, 'app', ofPieces)).to.deep.equal(ofPieces.map(() => undefined));
  }

  function onTheNode(): object {
    return { ...pair, nodeSelector: { 'kubernetes.io/hostname': split.primary.spec.nodeName } };
  }

  async function attach(name: string, who: readonly string[], networks: string): Promise<void> {
    const made = podWith({ annotations: { [networksAnnotation]: networks } }, onTheNode());
    const pod = { ...made, metadata: { ...made.metadata, name } };
    const ended = await namespace.try(['create', '-f', '-', ...who], JSON.stringify(pod));
    expect(ended.status, ended.output).to.equal(0);
    await namespace.kubectl(['wait', '--for=condition=Ready', `pod/${name}`, patience]);
  }

  async function portsOf(bridge: string): Promise<number> {
    const listed = await onNode(split.primary.spec.nodeName!, ['ip', '-j', 'link', 'show', 'master', bridge]);
    return (JSON.parse(listed) as readonly object[]).length;
  }

  async function helperAnswers(): Promise<void> {
    const answers = await call(namespace, victim.primary, 'app', [['tcp', '127.0.0.1', 7002]]);
    expect(answers).to.deep.equal(['helper 127.0.0.1']);
  }
});

/** The tables of all pieces as the kernel lists them, but for what they count and record. */
async function rulesOf({ pieces }: SplitPod): Promise<string> {
  const tables = await Promise.all(
    [...pieces.values()].map((pod) => inNetns(pod, ['nft', '-s', '-j', 'list', 'table', 'inet', 'podsplit'])),
  );
  const listings = tables.map((table) => (JSON.parse(table) as { readonly nftables: readonly Listed[] }).nftables);
  return JSON.stringify(
    listings.map((listing) => {
      const lasting = listing.filter(({ set }) => !/^(tried|conns)/.test(set?.name ?? '')).map(withoutCounts);
      // The one that names the wiring is made anew with each change of it, and is listed last then.
      const named = lasting.filter(({ counter }) => counter !== undefined).map((each) => JSON.stringify(each));
      return [...lasting.filter(({ counter }) => counter === undefined), ...named.sort()];
    }),
  );
}

interface Listed {
  readonly set?: { readonly name: string; readonly elem?: readonly unknown[] };
  readonly counter?: { readonly name: string; readonly comment?: string };
}

/** A Pod with a forged address passes the engine of the cluster, and is dropped and counted by the piece: no rule changes. */
function withoutCounts(listed: Listed): Listed {
  // In the kernel's order, which depends on what was there before.
  if (listed.set?.elem !== undefined) {
    return { set: { ...listed.set, elem: listed.set.elem.map((each) => JSON.stringify(each)).sort() } };
  }
  if (listed.counter === undefined) return listed;
  const { name, comment } = listed.counter;
  return { counter: { name, ...(comment === undefined ? {} : { comment }) } };
}
