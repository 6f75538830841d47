import { expect } from 'chai';
import fc from 'fast-check';
import type { ContainerNetworkPolicySpec } from '../api/container-network-policy.ts';
import { explainPod, type Explanation, type Party } from './explain-pod.ts';
import type { Directory, PolicySubject } from './directory.ts';
import { addressesOf, containerNames, knownPorts, smallWorld } from './testdata/arbitrary-world.ts';
import { naiveEgress, naiveFlow, naiveIngress } from './testdata/naive-model.ts';

const subject: PolicySubject = {
  namespace: 'shop',
  name: 'web-0',
  uid: 'uid-web-0',
  labels: { app: 'web' },
  containers: [
    { name: 'web', ports: [{ port: 8080, protocol: 'tcp' }] },
    { name: 'cache', ports: [{ port: 6379, protocol: 'tcp' }] },
  ],
  flows: [{ from: 'web', to: 'cache', port: 6379, protocol: 'tcp' }],
  via: [],
};
const directory: Directory = {
  pods: [
    {
      namespace: 'shop',
      name: 'db',
      uid: 'uid-db',
      labels: { app: 'db' },
      podIPs: ['10.0.0.9', 'fd00::9'],
      mode: 'split',
      containers: [
        { name: 'db', ports: [{ port: 5432, protocol: 'tcp' }], podIPs: ['10.0.0.9', 'fd00::9'] },
        { name: 'backup', ports: [], podIPs: ['10.0.1.9'] },
      ],
    },
  ],
  namespaces: new Map([['shop', {}]]),
  services: [],
};
const [web, cache, nobody] = ['web', 'cache', 'nobody'].map((name): Party => ({ kind: 'container', name }));
const db: Party = { kind: 'pod', namespace: 'shop', name: 'db' };

function explain(
  specs: readonly Partial<ContainerNetworkPolicySpec>[],
  from: Party | undefined,
  to: Party | undefined,
  port: number,
): Explanation {
  const policies = specs.map((spec, i) => ({
    apiVersion: 'podsplit.io/v1alpha1',
    kind: 'ContainerNetworkPolicy' as const,
    metadata: { name: `policy-${i}`, namespace: 'shop' },
    spec: { podSelector: {}, ...spec },
  }));
  return explainPod(subject, policies, directory, { from: from!, to: to!, port, protocol: 'tcp' });
}

/** In few words: `because`, then each end. */
function brief({ allowed, because, audited, ends }: Explanation): string {
  const each = ends.map(
    ({ container, direction, verdict, policies, rules }) =>
      `${container} ${direction} ${verdict} [${policies.join()}] [${rules.map(({ policy, path }) => `${policy} ${path}`).join()}]`,
  );
  return [`${allowed ? 'yes' : 'no'} ${because}${audited ? ' audited' : ''}`, ...each].join('; ');
}

describe('an explanation', () => {
  const takes = { containers: ['cache'], ingress: [{}, { ports: [{ port: 6379 }] }] };
  const closed = { containers: ['cache'], ingress: [] };
  const sends = {
    containers: ['web'],
    policyTypes: ['Egress' as const],
    egress: [{ to: [{ podSelector: { matchLabels: { app: 'db' } } }] }],
  };

  for (const [what, explained, said] of [
    [
      'flows',
      explain([], web, cache, 6379),
      'yes Flows; web egress not-selected [] []; cache ingress not-selected [] []',
    ],
    [
      'no flow',
      explain([], cache, web, 8080),
      'no NoFlow; cache egress not-selected [] []; web ingress not-selected [] []',
    ],
    [
      'a rule at one end',
      explain([takes], web, cache, 6379),
      'yes EndsAllow; web egress not-selected [] []; cache ingress allows [policy-0] [policy-0 spec.ingress[0],policy-0 spec.ingress[1]]',
    ],
    [
      'the end that refuses',
      explain([takes, sends], web, cache, 6379),
      'no EndRefuses; web egress refuses [policy-1] []; cache ingress allows [policy-0] [policy-0 spec.ingress[0],policy-0 spec.ingress[1]]',
    ],
    [
      'a port that nobody declares',
      explain([takes], web, cache, 7000),
      'no NotDeclared; web egress not-selected [] []; cache ingress allows [policy-0] [policy-0 spec.ingress[0]]',
    ],
    [
      "a port that is the caller's own",
      explain([{ containers: ['cache'], ingress: [{ ports: [{ port: 8080 }] }] }], web, cache, 8080),
      'no PortTaken; web egress not-selected [] []; cache ingress allows [policy-0] [policy-0 spec.ingress[0]]',
    ],
    [
      'an audit',
      explain([{ ...closed, action: 'Audit' }], web, cache, 6379),
      'yes Flows audited; web egress not-selected [] []; cache ingress not-selected [] []',
    ],
    ['no policy outwards', explain([takes], web, db, 5432), 'yes NoPolicy; web egress not-selected [] []'],
    [
      'a rule outwards',
      explain([sends, { ...sends, egress: [] }], web, db, 5432),
      'yes EndsAllow; web egress allows [policy-0,policy-1] [policy-0 spec.egress[0]]',
    ],
    [
      'no rule outwards',
      explain([sends], web, { kind: 'address', address: '192.0.2.1' }, 443),
      'no EndRefuses; web egress refuses [policy-0] []',
    ],
    [
      'a container of another Pod that calls',
      explain(
        [{ containers: ['cache'], ingress: [{ from: [{ podSelector: {}, containers: ['backup'] }] }] }],
        { ...db, container: 'backup' },
        cache,
        6379,
      ),
      'yes EndsAllow; cache ingress allows [policy-0] [policy-0 spec.ingress[0]]',
    ],
    [
      'an audit inwards',
      explain([{ ...closed, action: 'Audit' }], { kind: 'address', address: '192.0.2.1' }, cache, 6379),
      'yes NoPolicy audited; cache ingress not-selected [] []',
    ],
    ['somebody unknown', explain([], web, nobody, 1), 'no UnknownParty'],
    ['a Pod that is not there', explain([], { ...db, name: 'x' }, cache, 1), 'no UnknownParty'],
  ] as const) {
    it(`names ${what}`, () => {
      expect(brief(explained)).to.equal(said);
    });
  }

  it('agrees with the plain model', function () {
    this.timeout(60_000);
    const asked = fc.record({
      from: fc.constantFrom(...containerNames),
      to: fc.constantFrom(...containerNames),
      address: fc.nat(),
      port: fc.constantFrom(...knownPorts, 1),
      protocol: fc.constantFrom('tcp' as const, 'udp' as const, 'sctp' as const),
    });
    fc.assert(
      fc.property(smallWorld, fc.array(asked, { minLength: 20, maxLength: 20 }), (world, questions) => {
        for (const { from, to, address: n, port, protocol } of questions) {
          const all = addressesOf(world);
          const address: Party = { kind: 'address', address: all[n % all.length]! };
          const [one, other] = [from, to].map((name): Party => ({ kind: 'container', name }));
          const ask = (a: Party, b: Party): Explanation =>
            explainPod(world.subject, world.policies, world.directory, { from: a, to: b, port, protocol });
          const has = (name: string): boolean => world.subject.containers.some((each) => each.name === name);
          const flow =
            protocol !== 'sctp' &&
            from !== to &&
            has(from) &&
            has(to) &&
            naiveFlow(world, world.subject, { from, to, port, protocol });
          const explained = ask(one!, other!);
          expect(explained.allowed).to.equal(flow);
          if (explained.because === 'EndRefuses' || explained.because === 'NoFlow')
            expect(explained.allowed).to.equal(false);
          if (explained.because === 'EndsAllow' || explained.because === 'Flows')
            expect(explained.allowed).to.equal(true);
          const packet = { to: address.address, from: address.address, protocol, port };
          expect(ask(one!, address).allowed).to.equal(has(from) && naiveEgress(world, world.subject, from, packet));
          expect(ask(address, other!).allowed).to.equal(has(to) && naiveIngress(world, world.subject, to, packet));
        }
      }),
      { numRuns: 60 },
    );
  });
});
