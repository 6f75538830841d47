import { expect } from 'chai';
import fc from 'fast-check';
import { NetworkPolicy, type INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import type { INetworkPolicyPeer } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicyPeer';
import { keptLabels } from '../api/keys.ts';
import { ownLabels } from '../api/names.ts';
import { inexactFor, mayBeInexact, type Inexactness } from './inexact.ts';
import { selects, type Labels, type LabelSelector } from './label-selector.ts';
import { findsAsPeer, peerMirror } from './peer-mirror.ts';

type Requirements = NonNullable<LabelSelector['matchExpressions']>;

const web = { namespace: 'shop', labels: { app: 'web', tier: 'front' } };
const notIn = (...values: string[]): LabelSelector => ({
  matchExpressions: [{ key: 'app', operator: 'NotIn', values }],
});
const notSibling = { key: ownLabels.role, operator: 'NotIn' as const, values: ['sibling'] };

describe('the mirror of a policy for peers', () => {
  const cases: readonly (readonly [what: string, peer: INetworkPolicyPeer, found: boolean])[] = [
    ['the label of the Pod', { podSelector: { matchLabels: { app: 'web' } } }, true],
    [
      'an expression that selects the Pod',
      { podSelector: { matchExpressions: [{ key: 'app', operator: 'Exists' }] } },
      true,
    ],
    ['another label', { podSelector: { matchLabels: { app: 'db' } } }, false],
    ['every Pod: siblings are Pods', { podSelector: {} }, false],
    ['every Pod of namespaces', { namespaceSelector: { matchLabels: { team: 'a' } } }, false],
    ['an address', { ipBlock: { cidr: '10.0.0.0/8' } }, false],
    ['a piece by its name', { podSelector: { matchLabels: { app: 'web', 'podsplit.io/container': 'log' } } }, false],
    [
      'Pods that are no siblings',
      { podSelector: { matchLabels: { app: 'web' }, matchExpressions: [notSibling] } },
      true,
    ],
  ];
  for (const [what, peer, found] of cases) {
    it(`is ${found ? '' : 'not '}there for ${what}`, () => {
      expect(findsAsPeer(letsIn('shop', peer), web)).to.equal(found);
    });
  }

  const namespaces: readonly (readonly [what: string, selector: LabelSelector | undefined, found: boolean])[] = [
    ['without a namespace selector', undefined, false],
    ['with an empty one', {}, true],
    ['with labels that nobody here knows', { matchLabels: { team: 'a' } }, true],
    ["with the namespace's name", { matchLabels: { 'kubernetes.io/metadata.name': 'shop' } }, true],
    ["with another namespace's name", { matchLabels: { 'kubernetes.io/metadata.name': 'bank', team: 'a' } }, false],
  ];
  for (const [what, namespaceSelector, found] of namespaces) {
    it(`is ${found ? '' : 'not '}there for a policy of another namespace ${what}`, () => {
      const peer = { podSelector: { matchLabels: { app: 'web' } }, ...(namespaceSelector && { namespaceSelector }) };
      expect(findsAsPeer(letsIn('bank', peer), web)).to.equal(found);
    });
  }

  it('is the original for siblings: same Pods, same ports, only peers that are found by labels', () => {
    const original = letsIn('bank', { podSelector: { matchLabels: { app: 'web' } }, namespaceSelector: {} });
    original.spec!.ingress!.push({ from: [{ ipBlock: { cidr: '10.0.0.0/8' } }] }, { ports: [{ port: 1 }] });
    const mirror = peerMirror(original)!;
    new NetworkPolicy(mirror).validate();
    expect(mirror.metadata).to.deep.include({ namespace: 'bank', annotations: { 'podsplit.io/mirror-of': 'p' } });
    expect(mirror.metadata?.ownerReferences?.map(({ kind, uid }) => [kind, uid])).to.deep.equal([
      ['NetworkPolicy', 'u'],
    ]);
    expect(mirror.spec).to.deep.equal({
      podSelector: { matchLabels: { app: 'db' } },
      policyTypes: ['Ingress'],
      ingress: [
        {
          ports: [{ port: 5432, protocol: 'TCP' }],
          from: [
            {
              namespaceSelector: {},
              podSelector: { matchLabels: { 'label.podsplit.io/app': 'web', 'podsplit.io/role': 'sibling' } },
            },
          ],
        },
      ],
    });
    expect(peerMirror(mirror), 'is not mirrored again').to.equal(undefined);
    expect(findsAsPeer({ ...original, spec: { ...original.spec!, policyTypes: ['Egress'] } }, web)).to.equal(false);
  });

  it('stays within the limit of names, and has another after the policy was made anew', () => {
    const name = `${'p'.repeat(59)}.${'q'.repeat(193)}`;
    const one = peerMirror({ ...letsIn('shop', { podSelector: notIn('x') }), metadata: { name, uid: 'a' } });
    const other = peerMirror({ ...letsIn('shop', { podSelector: notIn('x') }), metadata: { name, uid: 'b' } });
    expect(one?.metadata?.name)
      .to.have.lengthOf.at.most(253)
      .and.match(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/);
    expect(one?.metadata?.name).to.not.equal(other?.metadata?.name);
  });

  it('with the original lets in a sibling exactly where its Pod is let in, unless that is said to be inexact', () => {
    const key = fc.constantFrom('app', 'tier', 'example.com/app');
    const value = fc.constantFrom('a', 'b');
    const requirement = fc.record({
      key,
      operator: fc.constantFrom('In', 'NotIn', 'Exists', 'DoesNotExist'),
      values: fc.array(value, { minLength: 1, maxLength: 2 }),
    });
    const leftOut: fc.Arbitrary<Requirements> = fc.constant([notSibling]);
    const selector = fc.record({
      matchLabels: fc.dictionary(key, value, { maxKeys: 2 }),
      matchExpressions: fc.oneof<fc.Arbitrary<Requirements>[]>(fc.array(requirement, { maxLength: 2 }), leftOut),
    });
    fc.assert(
      fc.property(fc.array(selector, { minLength: 1, maxLength: 2 }), fc.dictionary(key, value), (peers, own) => {
        const policy = letsIn('shop', ...peers.map((podSelector) => ({ podSelector })));
        const pod = { namespace: 'shop', labels: { ...own, [ownLabels.role]: 'primary' } };
        const sibling = { ...keptLabels(own), [ownLabels.role]: 'sibling' };
        const mirror = findsAsPeer(policy, pod) ? peerMirror(policy) : undefined;
        const [podIn, siblingIn] = [admits([policy, mirror], pod.labels), admits([policy, mirror], sibling)];
        const inexact = inexactFor(policy, pod).length > 0;
        expect(siblingIn).to.equal(podIn || inexact);
        if (inexact) expect(mayBeInexact(policy)).to.equal(true);
        expect(admits([mirror], pod.labels), 'nobody but siblings').to.equal(false);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('a policy that cannot be mirrored exactly', () => {
  const subject = (
    podSelector: LabelSelector,
    namespace = 'shop',
    policyTypes: ('Egress' | 'Ingress')[] = ['Egress'],
  ): INetworkPolicy => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'p', namespace },
    spec: { podSelector, policyTypes, egress: [{}] },
  });
  const cases: readonly (readonly [what: string, policy: INetworkPolicy, ...found: Inexactness[]])[] = [
    ['selects other Pods by absence', subject(notIn('web')), 'selects'],
    ['selects this Pod by absence', subject(notIn('db'))],
    ['selects every Pod', subject({})],
    ['selects by absence in another namespace', subject(notIn('web'), 'bank')],
    [
      'selects by absence, siblings left out',
      subject({ matchExpressions: [...notIn('web').matchExpressions!, notSibling] }),
    ],
    ['selects by absence for ingress: the table in the piece holds', subject(notIn('web'), 'shop', ['Ingress'])],
    ['lets in others by absence', letsIn('shop', { podSelector: notIn('web') }), 'lets-in'],
    ['lets in this Pod by absence', letsIn('shop', { podSelector: notIn('db') })],
    ['lets in others by absence, and this Pod', letsIn('shop', { podSelector: notIn('web') }, { podSelector: {} })],
    ['lets in others of its own namespace', letsIn('bank', { podSelector: notIn('web') })],
    [
      'lets in others of all namespaces',
      letsIn('bank', { podSelector: notIn('web'), namespaceSelector: {} }),
      'lets-in',
    ],
  ];
  for (const [what, policy, ...found] of cases) {
    it(`${what}: ${found.length === 0 ? 'is exact' : found.join()}`, () => {
      expect(inexactFor(policy, web)).to.deep.equal(found);
    });
  }
});

function letsIn(namespace: string, ...from: INetworkPolicyPeer[]): INetworkPolicy {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'p', namespace, uid: 'u' },
    spec: {
      podSelector: { matchLabels: { app: 'db' } },
      ingress: [{ from, ports: [{ port: 5432, protocol: 'TCP' }] }],
    },
  };
}

/** Naively, of one namespace. */
function admits(policies: readonly (INetworkPolicy | undefined)[], labels: Labels): boolean {
  return policies.some((policy) =>
    policy?.spec?.ingress?.some(({ from }) => from?.some(({ podSelector }) => selects(podSelector, labels))),
  );
}
