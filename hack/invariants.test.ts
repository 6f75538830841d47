import { expect } from 'chai';
import type { INetworkPolicyPeer as Peer } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicyPeer';
import { splitId, workloadKey, type WorkloadRef } from '../controller/api/identity.ts';
import type { AddressBlock, ObjectMeta } from '../controller/api/resources.ts';
import type { KubeObject, NetworkPolicy, Pod, PodDisruptionBudget } from '../controller/kube/resources.ts';
import { siblingBudget } from '../controller/policies/disruption-budget.ts';
import { peerMirror } from '../controller/policies/peer-mirror.ts';
import { formatMoves, withMove } from '../controller/reconcile/moves.ts';
import { checks, rows, violations, type Snapshot, type Violation } from './invariants.ts';

const workload: WorkloadRef = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: 'web', uid: 'w' };
const key = workloadKey(workload);
const nad = `podsplit-web-${key}`;

const generatedLabels = { 'app.kubernetes.io/managed-by': 'podsplit', 'podsplit.io/workload': key };
const usersOwn = policy({ name: 'the-users-own', uid: 'np' }, { podSelector: { matchLabels: { app: 'web' } } });

/** Two replicas of two pieces each: offsets 1 and 2, 3 and 4 of block 0. */
const sound: Snapshot = {
  now: Date.parse('2026-01-01T00:00:00Z'),
  pods: [primary('a', 1), sibling('a', 2), primary('b', 3), sibling('b', 4), bystander()],
  blocks: [block([claim('a', 1), claim('b', 3)])],
  networks: [
    {
      apiVersion: 'podsplit.io/v1alpha1',
      kind: 'SplitNetwork',
      metadata: { name: 'default' },
      spec: { ipv4: '198.18.0.0/15', ipv6: 'fd00::/64', blockSize: 8 },
    },
  ],
  podSplits: [podSplit('a'), podSplit('b')],
  nads: [generated(nad)],
  networkPolicies: [policy({ name: `podsplit-${key}-in-log`, labels: generatedLabels }), usersOwn, mirrorOf(usersOwn)],
  multiNetworkPolicies: [generated(`podsplit-${key}-log`)],
  budgets: [budget()],
  volumes: [{ node: 'node-1', folder: 'uid-a' }],
};

describe('invariants of a cluster', () => {
  it('hold for split Pods as the controller leaves them', () => {
    expect(violations(sound)).to.deep.equal([]);
    expect(rows(sound).map((row) => [row.pod, row.role, row.addresses[0], row.block])).to.deep.equal([
      ['shop/web-a', 'primary', '198.18.0.1/15', 'default-0'],
      ['shop/web-a-log', 'sibling', '198.18.0.2/15', 'default-0'],
      ['shop/web-b', 'primary', '198.18.0.3/15', 'default-0'],
      ['shop/web-b-log', 'sibling', '198.18.0.4/15', 'default-0'],
    ]);
  });

  it('hold on a cluster without podsplit', () => {
    const bare = {
      now: sound.now,
      blocks: [],
      networks: [],
      podSplits: [],
      nads: [],
      networkPolicies: [],
      multiNetworkPolicies: [],
      budgets: [],
      volumes: [],
    };
    expect(violations({ ...bare, pods: [bystander()] })).to.deep.equal([]);
  });

  it('hold for a workload whose next Pod is held back, since the last one did not fit', () => {
    const moves = formatMoves(withMove({}, 'needs', { node: 'node-1', said: 'no room', now: sound.now }));
    const [found] = sound.nads;
    const nads = [{ ...found, metadata: { ...found!.metadata, annotations: { 'podsplit.io/moves': moves } } }];
    const between = { ...sound, pods: [], blocks: [], podSplits: [], volumes: [], networkPolicies: [], nads };
    expect(violations(between)).to.deep.equal([]);
    const later = violations({ ...between, now: sound.now + 120_000 });
    expect(later.map(({ check }) => check)).to.include('NetworkUsed');
  });

  it('hold for a DaemonSet, whose siblings are under no budget', () => {
    const ofDaemonSet = (pod: Pod): Pod =>
      pod.metadata.labels?.['podsplit.io/role'] === 'primary'
        ? edit(pod, ({ metadata, ...rest }) => ({
            ...rest,
            metadata: {
              ...metadata,
              ownerReferences: [{ apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'web', uid: 'w', controller: true }],
            },
          }))
        : pod;
    expect(violations({ ...sound, pods: sound.pods.map(ofDaemonSet), budgets: [] })).to.deep.equal([]);
  });

  it('hold for a Pod that waits for its network, and for one that is ending', () => {
    const waiting = edit(primary('c', 0), (pod) => ({
      ...pod,
      metadata: { ...pod.metadata, annotations: {}, labels: { 'podsplit.io/role': 'primary' } },
      spec: { ...pod.spec, containers: [{ name: 'app' }], schedulingGates: [{ name: 'podsplit.io/network' }] },
    }));
    expect(violations({ ...sound, pods: [...sound.pods, waiting] })).to.deep.equal([]);
    const ending = withPod('web-b', deleting);
    expect(
      violations({ ...ending, pods: ending.pods.filter(({ metadata }) => metadata.name !== 'web-b-log') }),
    ).to.deep.equal([]);
  });

  const cases: readonly (readonly [
    what: string,
    snapshot: Snapshot,
    ...found: (readonly [Violation['check'], RegExp])[],
  ])[] = [
    [
      'a piece without a claim',
      { ...sound, blocks: [block([claim('a', 1)])] },
      ['PieceClaimed', /no claim holds addresses for app/],
      ['PieceClaimed', /no claim holds addresses for log/],
    ],
    [
      'a piece with other addresses than its claim',
      withPod('web-b', (pod) => networks(pod, '198.18.0.5/15', 'fd00::5/64', '0a:58:c6:12:00:05')),
      ['PieceClaimed', /has 198.18.0.5\/15, fd00::5\/64, the claim 198.18.0.3\/15, fd00::3\/64/],
      ['PieceClaimed', /has MAC 0a:58:c6:12:00:05, the claim 0a:58:c6:12:00:03/],
    ],
    [
      'a volume of a Pod that is gone, one on a node that its Pod has left, and one that is not deleted',
      { ...sound, volumes: ['uid-gone', 'uid-a', '.trash/x'].map((folder) => ({ node: 'node-2', folder })) },
      ['VolumeOwned', /no split Pod of UID uid-gone is there/],
      ['VolumeOwned', /no split Pod of UID uid-a is there/],
      ['VolumeOwned', /volumes\/.trash\/x is not deleted/],
    ],
    [
      'a piece without its network',
      withPod('web-b', (pod) => annotate(pod, 'k8s.v1.cni.cncf.io/networks', '[]')),
      ['PieceClaimed', /names 0 peer networks/],
    ],
    [
      'a piece to which Multus gave something else',
      withPod('web-b', (pod) =>
        annotate(
          pod,
          'k8s.v1.cni.cncf.io/network-status',
          JSON.stringify([
            { interface: 'eth0', ips: ['10.0.0.7'] },
            { interface: 'net1', ips: ['198.18.0.3'], mac: '0a:58:c6:12:00:03' },
          ]),
        ),
      ),
      ['PieceClaimed', /network-status has 198.18.0.3, the claim 198.18.0.3, fd00::3/],
    ],
    [
      'an address given twice',
      {
        ...sound,
        blocks: [block([claim('a', 1), claim('b', 2)])],
        pods: [primary('a', 1), sibling('a', 2), primary('b', 2), sibling('b', 3)],
      },
      ['AddressOnce', /web-a-log: 198.18.0.2 is also held by Pod shop\/web-b\./],
      ['AddressOnce', /web-b: 198.18.0.2 is also held by Pod shop\/web-a-log\./],
      ['AddressOnce', /web-a-log: fd00::2 is also held by Pod shop\/web-b\./],
      ['AddressOnce', /web-b: fd00::2 is also held by Pod shop\/web-a-log\./],
      ['AddressOnce', /web-a-log: 0a:58:c6:12:00:02 is also held/],
      ['AddressOnce', /web-b: 0a:58:c6:12:00:02 is also held/],
      ['BlockSound', /spec.claims\[1\].offsets.app: 2 is also spec.claims\[0\].offsets.log/],
    ],
    [
      'a claim of a Pod that is gone',
      { ...sound, blocks: [block([claim('a', 1), claim('b', 3), claim('gone', 5)])] },
      ['ClaimOwned', /Pod web-gone \(uid-gone\) is gone: a leak/],
    ],
    [
      'a Pod with two claims',
      { ...sound, blocks: [...sound.blocks, block([claim('a', 1)], 1)] },
      ['ClaimOwned', /Pod shop\/web-a has 2 claims/],
    ],
    [
      'a block of a workload without split Pods',
      { ...sound, blocks: [...sound.blocks, block([], 1)] },
      ['BlockUsed', /has no split Pod/],
    ],
    [
      'a block of a network that is gone',
      { ...sound, networks: [] },
      ...sound.pods.slice(0, 4).map(() => ['PieceClaimed', /SplitNetwork default, which is gone/] as const),
      ['BlockSound', /SplitNetwork default is gone/],
    ],
    [
      'a sibling that is missing',
      { ...sound, pods: sound.pods.filter(({ metadata }) => metadata.name !== 'web-b-log') },
      ['PiecesComplete', /container log has 0 siblings/],
    ],
    [
      'a sibling that is ending while its Pod runs',
      withPod('web-b-log', deleting),
      ['PiecesComplete', /container log has 0 siblings/],
    ],
    [
      'a sibling of another container',
      withPod('web-b', (pod) => annotate(pod, 'podsplit.io/removed', JSON.stringify({ containers: [] }))),
      ['PiecesComplete', /web-b-log runs log, which was not cut from the Pod/],
    ],
    [
      'an annotation that does not read',
      withPod('web-b', (pod) => annotate(pod, 'podsplit.io/removed', '{')),
      ['PiecesComplete', /podsplit.io\/removed does not read/],
    ],
    [
      'pieces on two nodes',
      withPod('web-b-log', (pod) => ({ ...pod, spec: { containers: [{ name: 'log' }], nodeName: 'node-2' } })),
      ['PiecesComplete', /web-b-log is on node "node-2", the primary on "node-1"/],
    ],
    [
      'a stray sibling',
      { ...sound, pods: [...sound.pods, edit(sibling('gone', 6), gated)] },
      ['PieceClaimed', /no claim/],
      ['SiblingOwned', /its primary is gone/],
    ],
    [
      'a sibling that the primary does not own',
      withPod('web-b-log', (pod) => ({ ...pod, metadata: { ...pod.metadata, ownerReferences: [] } })),
      ['SiblingOwned', /Pod shop\/web-b does not own it/],
    ],
    [
      'a sibling that outlives its Pod',
      withPod('web-b', (pod) => ({ ...pod, status: { phase: 'Succeeded' } })),
      ['SiblingOwned', /Pod shop\/web-b has ended/],
    ],
    [
      'a NAD, policies of a workload that is no longer split',
      { ...sound, pods: [bystander()], blocks: [], podSplits: [], volumes: [] },
      ['NetworkUsed', /NetworkAttachmentDefinition shop\/podsplit-web-.*its workload has no split Pod/],
      ['PolicyUsed', /NetworkPolicy shop\/podsplit-.*its workload has no split Pod/],
      ['PolicyUsed', /MultiNetworkPolicy shop\/podsplit-.*its workload has no split Pod/],
      ['BudgetUsed', /PodDisruptionBudget shop\/podsplit-.*its workload has no split Pod/],
      ['MirrorUsed', /its original lets in no split Pod/],
    ],
    ['a NAD that is missing', { ...sound, nads: [] }, ['NetworkUsed', /it has no NAD/]],
    [
      'siblings that anybody may call',
      { ...sound, networkPolicies: [] },
      ['PolicyUsed', /web-a-log: no NetworkPolicy closes/],
      ['PolicyUsed', /web-b-log: no NetworkPolicy closes/],
    ],
    [
      'siblings that may be evicted for themselves',
      { ...sound, budgets: [{ ...budget(), spec: { minAvailable: 1, selector: { matchLabels: { app: 'web' } } } }] },
      ['BudgetUsed', /web-a-log: no PodDisruptionBudget/],
      ['BudgetUsed', /web-b-log: no PodDisruptionBudget/],
    ],
    [
      'a policy that lets in split Pods, and not their siblings',
      withPolicies(usersOwn),
      ['MirrorUsed', /podsplit-peers-the-users-own-.*: it is missing/],
    ],
    [
      'a mirror that lets in others than its original',
      withPolicies(usersOwn, { ...mirrorOf(usersOwn), spec: { podSelector: {}, ingress: [{}] } }),
      ['MirrorUsed', /it is not what its original asks for/],
    ],
    [
      'a mirror whose original is gone',
      withPolicies(mirrorOf(usersOwn)),
      ['MirrorUsed', /its original lets in no split Pod/],
    ],
    [
      'a PodSplit of a Pod that is gone',
      { ...sound, podSplits: [...sound.podSplits, podSplit('gone')] },
      ['PodSplitOwned', /Pod web-gone \(uid-gone\) is gone/],
    ],
    ['a Pod without PodSplit', { ...sound, podSplits: [podSplit('a')] }, ['PodSplitOwned', /web-b: no PodSplit/]],
  ];
  for (const [what, snapshot, ...wanted] of cases) {
    it(`see ${what}`, () => {
      const found = violations(snapshot);
      expect(found.map(({ check }) => check)).to.deep.equal(wanted.map(([check]) => check));
      for (const [i, { object, message }] of found.entries()) expect(`${object}: ${message}`).to.match(wanted[i]![1]);
    });
  }

  it('are each seen to be violated', () => {
    const seen = new Set(cases.flatMap(([, , ...wanted]) => wanted.map(([check]) => check)));
    expect([...seen].sort()).to.deep.equal(Object.keys(checks).sort());
  });
});

function primary(id: string, offset: number): Pod {
  const pod: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `web-${id}`,
      namespace: 'shop',
      uid: `uid-${id}`,
      labels: { app: 'web', 'podsplit.io/role': 'primary', 'podsplit.io/workload': key, ...splitLabel(id, 'app') },
      annotations: { 'podsplit.io/removed': JSON.stringify({ containers: [{ name: 'log' }] }) },
    },
    spec: { nodeName: 'node-1', containers: [{ name: 'app' }] },
    status: { phase: 'Running' },
  };
  return withAddresses(pod, offset);
}

function sibling(id: string, offset: number): Pod {
  const pod: Pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `web-${id}-log`,
      namespace: 'shop',
      uid: `uid-${id}-log`,
      labels: { 'podsplit.io/role': 'sibling', 'podsplit.io/workload': key, ...splitLabel(id, 'log') },
      ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: `web-${id}`, uid: `uid-${id}`, controller: true }],
    },
    spec: { nodeName: 'node-1', containers: [{ name: 'log' }] },
    status: { phase: 'Running' },
  };
  return withAddresses(pod, offset);
}

function bystander(): Pod {
  const metadata = { name: 'other', namespace: 'shop', uid: 'uid-other', labels: { app: 'other' } };
  return { apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: [{ name: 'main' }] } };
}

function splitLabel(id: string, container: string) {
  return { 'podsplit.io/split': splitId(`uid-${id}`), 'podsplit.io/container': container };
}

function withAddresses(pod: Pod, offset: number): Pod {
  const mac = `0a:58:c6:12:00:0${offset}`;
  const status = [
    { name: 'cluster', interface: 'eth0', ips: ['10.0.0.7'], mac: '02:00:00:00:00:01', default: true },
    { name: `shop/${nad}`, interface: 'net1', ips: [`198.18.0.${offset}`, `fd00::${offset}`], mac },
  ];
  const attached = networks(pod, `198.18.0.${offset}/15`, `fd00::${offset}/64`, mac);
  return annotate(attached, 'k8s.v1.cni.cncf.io/network-status', JSON.stringify(status));
}

/** A Pod that was given other addresses has no status yet. */
function networks(pod: Pod, ipv4: string, ipv6: string, mac: string): Pod {
  const selection = [{ name: nad, interface: 'net1', ips: [ipv4, ipv6], mac }];
  const bare = annotate(pod, 'k8s.v1.cni.cncf.io/network-status', '');
  return annotate(bare, 'k8s.v1.cni.cncf.io/networks', JSON.stringify(selection));
}

function annotate(pod: Pod, name: string, value: string): Pod {
  return { ...pod, metadata: { ...pod.metadata, annotations: { ...pod.metadata.annotations, [name]: value } } };
}

function deleting(pod: Pod): Pod {
  return { ...pod, metadata: { ...pod.metadata, deletionTimestamp: '2030-01-01T00:00:00Z' } };
}

function gated(pod: Pod): Pod {
  return { ...pod, spec: { containers: [{ name: 'log' }], schedulingGates: [{ name: 'podsplit.io/network' }] } };
}

function edit(pod: Pod, change: (pod: Pod) => Pod): Pod {
  return change(pod);
}

function withPod(name: string, change: (pod: Pod) => Pod): Snapshot {
  return { ...sound, pods: sound.pods.map((pod) => (pod.metadata.name === name ? change(pod) : pod)) };
}

function withPolicies(...policies: readonly NetworkPolicy[]): Snapshot {
  const [closed] = sound.networkPolicies;
  return { ...sound, networkPolicies: [closed!, ...policies] };
}

function claim(id: string, offset: number) {
  return { pod: { name: `web-${id}`, uid: `uid-${id}` }, offsets: { app: offset, log: offset + 1 } };
}

function block(claims: AddressBlock['spec']['claims'], index = 0): AddressBlock {
  return {
    apiVersion: 'podsplit.io/v1alpha1',
    kind: 'AddressBlock',
    metadata: { name: `default-${index}` },
    spec: { network: 'default', index, workload: { namespace: 'shop', nad }, claims },
  };
}

function podSplit(id: string): Snapshot['podSplits'][number] {
  const { apiVersion, kind, name, uid } = workload;
  return {
    apiVersion: 'podsplit.io/v1alpha1',
    kind: 'PodSplit',
    metadata: { name: `web-${id}`, namespace: 'shop' },
    spec: {
      pod: { name: `web-${id}`, uid: `uid-${id}` },
      workload: { apiVersion, kind, name, uid },
      network: 'default',
      networkAttachmentDefinition: nad,
      flows: [],
    },
  };
}

function budget(): PodDisruptionBudget {
  const { apiVersion, kind, name, uid } = workload;
  const made = siblingBudget(workload, { apiVersion, kind, name, uid });
  if (made === undefined) throw new Error('a Deployment has one');
  return made;
}

function generated(name: string): KubeObject {
  return { metadata: { name, namespace: 'shop', labels: generatedLabels } };
}

/** In the namespace of the workload, with one peer that it lets in. */
function policy(metadata: Partial<ObjectMeta> & { readonly name: string }, ...from: Peer[]): NetworkPolicy {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { namespace: 'shop', ...metadata },
    spec: { podSelector: {}, policyTypes: ['Ingress'], ingress: from.length === 0 ? [] : [{ from }] },
  } as NetworkPolicy;
}

function mirrorOf(original: NetworkPolicy): NetworkPolicy {
  return peerMirror(original) as NetworkPolicy;
}
