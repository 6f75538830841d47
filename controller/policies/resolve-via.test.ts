import { expect } from 'chai';
import fc from 'fast-check';
import type { ContainerNetworkPolicy, ContainerNetworkPolicySpec, EgressVia } from '../api/container-network-policy.ts';
import { egressDnsModes, type IntendedVia } from '../api/egress-via.ts';
import { parseWiring, formatWiring } from '../rules/wiring-json.ts';
import { buildWirings } from '../split/wire.ts';
import type { Directory, PolicySubject } from './directory.ts';
import { parsePolicy } from './parse-policy.ts';
import { resolvePod, type ResolvedPod } from './resolve-pod.ts';
import { wiringVia, type ResolvedVia } from './resolve-via.ts';

const names = ['agent', 'proxy', 'gate', 'log'] as const;
const subject: PolicySubject = {
  namespace: 'shop',
  name: 'agent-0',
  uid: 'uid',
  labels: { app: 'agent' },
  containers: names.map((name) => ({ name, ports: [] })),
  flows: [
    { from: 'agent', to: 'proxy', port: 3128, protocol: 'tcp' },
    { from: 'agent', to: 'gate', port: 9000, protocol: 'tcp' },
    { from: 'agent', to: 'log', port: 514, protocol: 'tcp' },
  ],
  via: [],
};
const annotated: IntendedVia = { from: 'agent', to: 'proxy', port: 15001, dns: 'proxy' };
const nowhere: Directory = { pods: [], namespaces: new Map(), services: [] };

function policy(
  name: string,
  egressVia: unknown,
  changed: Partial<ContainerNetworkPolicySpec> = {},
): ContainerNetworkPolicy {
  return {
    apiVersion: 'podsplit.io/v1alpha1',
    kind: 'ContainerNetworkPolicy',
    metadata: { name, namespace: 'shop' },
    spec: { podSelector: {}, containers: ['agent'], egressVia: egressVia as EgressVia, ...changed },
  };
}

function resolve(policies: readonly ContainerNetworkPolicy[], via: readonly IntendedVia[] = []): ResolvedPod {
  return resolvePod({ ...subject, via }, policies, nowhere);
}

function brief(via: readonly ResolvedVia[]): readonly string[] {
  return via.map((each) =>
    each.kind === 'none'
      ? `${each.from} closed ${each.code} ${each.policies.join()}`
      : `${each.from}->${each.to}:${each.port ?? 'flows'} ${each.dns} ${each.policies.join()}`,
  );
}

const codes = ({ problems }: ResolvedPod): readonly string[] => problems.map(({ policy: by, code }) => `${by} ${code}`);

describe('the only way out, by policies', () => {
  it('is what a policy says, without DNS where it says none', () => {
    const resolved = resolve([policy('keep', { container: 'proxy', port: 15001 })]);
    expect(brief(resolved.via)).to.deep.equal(['agent->proxy:15001 none keep']);
    expect(resolved.problems).to.deep.equal([]);
    expect(resolved.flows).to.deep.equal(subject.flows);
  });

  it('closes nobody to callers, unless the policy has types or rules', () => {
    const keeps = (changed: Partial<ContainerNetworkPolicySpec>) =>
      resolve([policy('keep', { container: 'proxy' }, changed)]).podNetwork.get('agent');
    expect(keeps({})).to.equal(undefined);
    expect(keeps({ policyTypes: ['Ingress'] })).to.deep.equal({ ingress: { enforce: [] } });
    expect(Object.keys(keeps({ egress: [{ ports: [{ port: 443 }] }] }) ?? {})).to.deep.equal(['egress']);
    expect(Object.keys(keeps({ ingress: [{}] }) ?? {})).to.deep.equal(['ingress']);
  });

  it('is above the annotation where both name one proxy', () => {
    const say = (via: EgressVia) => brief(resolve([policy('keep', via)], [annotated]).via);
    expect(say({ container: 'proxy', port: 15001, dns: 'proxy' })).to.deep.equal(['agent->proxy:15001 proxy keep']);
    expect(say({ container: 'proxy', port: 3000, dns: 'none' })).to.deep.equal(['agent->proxy:3000 none keep']);
    expect(brief(resolve([policy('else', undefined)], [annotated]).via)).to.deep.equal(['agent->proxy:15001 proxy ']);
  });

  it('does not open the DNS of the cluster that the annotation closed', () => {
    const asks = policy('asks', { container: 'proxy', port: 15001, dns: 'cluster' });
    expect(brief(resolve([asks], [annotated]).via)).to.deep.equal(['agent closed EgressViaConflict asks']);
    expect(brief(resolve([asks], [{ ...annotated, dns: 'cluster' }]).via)).to.deep.equal([
      'agent->proxy:15001 cluster asks',
    ]);
  });

  it("is none by a port that is another container's too, where they share their ports", () => {
    const queries = policy('queries', { container: 'proxy', dns: 'proxy' });
    const serving = (name: string): PolicySubject => ({
      ...subject,
      containers: names.map((each) => ({
        name: each,
        ports: each === name ? [{ port: 53, protocol: 'udp' as const }] : [],
      })),
    });
    const way = (of: PolicySubject) => brief(resolvePod(of, [queries], nowhere).via);
    expect(way(serving('log'))).to.deep.equal(['agent->proxy:flows proxy queries']);
    expect(way({ ...serving('log'), sharesPorts: true })).to.deep.equal(['agent closed EgressViaConflict queries']);
    expect(way({ ...serving('proxy'), sharesPorts: true })).to.deep.equal(['agent->proxy:flows proxy queries']);
    const other = policy('other', { container: 'gate', dns: 'proxy' }, { containers: ['log'] });
    expect(brief(resolvePod({ ...subject, sharesPorts: true }, [queries, other], nowhere).via)).to.deep.equal([
      'agent closed EgressViaConflict queries',
      'log closed EgressViaConflict other',
    ]);
  });

  it('may be said by several that agree', () => {
    const both = ['b', 'a'].map((name) => policy(name, { container: 'proxy', port: 1 }));
    expect(brief(resolve(both).via)).to.deep.equal(['agent->proxy:1 none a,b']);
  });

  for (const [what, policies, via] of [
    ['two policies name two proxies', [policy('a', { container: 'proxy' }), policy('b', { container: 'gate' })], []],
    ['a policy names another than the annotation', [policy('a', { container: 'gate' })], [annotated]],
    [
      'two policies name two ports',
      [policy('a', { container: 'gate', port: 1 }), policy('b', { container: 'gate', port: 2 })],
      [],
    ],
    [
      'two policies name two kinds of DNS',
      [policy('a', { container: 'gate' }), policy('b', { container: 'gate', dns: 'proxy' })],
      [],
    ],
  ] as const) {
    it(`is none where ${what}, by flows neither`, () => {
      const resolved = resolve(policies, via);
      const by = policies.map(({ metadata }) => metadata.name);
      expect(brief(resolved.via)).to.deep.equal([`agent closed EgressViaConflict ${by.join()}`]);
      expect(codes(resolved)).to.deep.equal(by.map((name) => `${name} EgressViaConflict`));
      expect(resolved.flows).to.deep.equal([]);
      expect(resolved.unselected.from).not.to.include('agent');
    });
  }

  it('is none where the Pod lacks the proxy, and other Pods are not told', () => {
    const resolved = resolve([policy('a', { container: 'envoy', port: 1 })]);
    expect(brief(resolved.via)).to.deep.equal(['agent closed EgressViaMissing a']);
    expect(codes(resolved)).to.deep.equal(['a EgressViaMissing']);
    const other = { ...subject, containers: subject.containers.filter(({ name }) => name !== 'agent') };
    expect(resolvePod(other, [policy('a', { container: 'envoy' })], nowhere).via).to.deep.equal([]);
  });

  it('is none by a proxy that has but one way out itself, in a circle neither', () => {
    const chain = [policy('a', { container: 'proxy' }), policy('b', { container: 'gate' }, { containers: ['proxy'] })];
    expect(brief(resolve(chain).via)).to.deep.equal(['agent closed EgressViaKept a,b', 'proxy->gate:flows none b']);
    expect(brief(resolve(chain.slice(1), [annotated]).via)[0]).to.equal('agent closed EgressViaKept b');
    const circle = [
      policy('a', { container: 'proxy' }),
      policy('b', { container: 'agent' }, { containers: ['proxy'] }),
    ];
    expect(brief(resolve(circle).via)).to.deep.equal([
      'agent closed EgressViaKept a,b',
      'proxy closed EgressViaKept a,b',
    ]);
  });

  for (const [what, egressVia, changed, path] of [
    ['no object', 'proxy', {}, 'spec.egressVia.container'],
    ['no container', {}, {}, 'spec.egressVia.container'],
    ['no port', { container: 'proxy', port: 0 }, {}, 'spec.egressVia.port'],
    ['no DNS', { container: 'proxy', dns: 'google' }, {}, 'spec.egressVia.dns'],
    ['a proxy of its own', { container: 'agent' }, {}, 'spec.egressVia'],
    ['nobody whom it keeps', { container: 'proxy' }, { containers: undefined }, 'spec.egressVia'],
    ['an audit', { container: 'proxy' }, { action: 'Audit' }, 'spec.egressVia'],
  ] as const) {
    it(`is none where it cannot be read: ${what}`, () => {
      const found = policy('a', egressVia, changed as Partial<ContainerNetworkPolicySpec>);
      expect(parsePolicy(found).problems.map((problem) => problem.path)).to.deep.equal([path]);
      const resolved = resolve([found]);
      expect(brief(resolved.via)).to.include('agent closed Invalid a');
      expect(codes(resolved)).to.deep.equal(['a Invalid']);
      expect(resolved.flows.filter(({ from }) => from === 'agent')).to.deep.equal([]);
    });
  }
});

const container = fc.constantFrom(...names);
const way = fc.record(
  {
    container: fc.constantFrom(...names, 'elsewhere'),
    port: fc.constantFrom(15001, 3128),
    dns: fc.constantFrom(...egressDnsModes),
  },
  { requiredKeys: ['container'] },
);
const world = fc.record({
  policies: fc.array(fc.tuple(way, fc.uniqueArray(container, { minLength: 1, maxLength: 3 })), { maxLength: 4 }),
  via: fc.uniqueArray(
    fc
      .tuple(container, container)
      .filter(([from, to]) => from !== to)
      .map(([from, to]): IntendedVia => ({ from, to, dns: 'none' })),
    { selector: ({ from }) => from, maxLength: 2 },
  ),
});

describe('of every set of policies and annotations, the ways out', () => {
  const numbered = (policies: readonly (readonly [EgressVia, readonly string[]])[]) =>
    policies.map(([via, containers], i) => policy(`p${i}`, via, { containers }));

  it('keep exactly whom somebody keeps, by a proxy that all of them name, or by nobody', () => {
    fc.assert(
      fc.property(world, ({ policies, via }) => {
        const resolved = resolve(numbered(policies), via);
        for (const name of names) {
          const wanted = new Set([
            ...policies.filter(([, containers]) => containers.includes(name)).map(([each]) => each.container),
            ...via.filter(({ from }) => from === name).map(({ to }) => to),
          ]);
          const found = resolved.via.find(({ from }) => from === name);
          expect(found !== undefined, name).to.equal(wanted.size > 0);
          if (found?.kind === 'proxy') expect([...wanted]).to.deep.equal([found.to]);
          if (found?.kind === 'none') {
            expect(resolved.flows.map(({ from }) => from)).not.to.include(name);
          }
        }
      }),
    );
  });

  it('do not depend on the order of policies', () => {
    fc.assert(
      fc.property(world, ({ policies, via }) => {
        const objects = numbered(policies);
        const [one, other] = [resolve(objects, via), resolve(objects.toReversed(), via)];
        expect([other.via, other.flows]).to.deep.equal([one.via, one.flows]);
      }),
    );
  });

  it('are never more for one policy more', () => {
    fc.assert(
      fc.property(world, ({ policies, via }) => {
        const objects = numbered(policies);
        const before = resolve(objects.slice(1), via);
        const after = resolve(objects, via);
        for (const { from } of before.via) expect(after.via.map((each) => each.from)).to.include(from);
        for (const each of before.via) {
          const then = after.via.find(({ from }) => from === each.from);
          if (each.kind === 'none' && each.code === 'EgressViaConflict') expect(then?.kind).to.equal('none');
        }
      }),
    );
  });

  it('make wirings that read', () => {
    const piece = (name: string) => ({
      name,
      container: { name },
      volumes: [],
      resourceClaims: [],
      annotations: {},
      initContainers: [],
      ports: [],
    });
    const [primary, ...siblings] = names;
    fc.assert(
      fc.property(world, ({ policies, via }) => {
        const resolved = resolve(numbered(policies), via);
        const wirings = buildWirings({
          plan: {
            kind: 'split',
            primary: piece(primary),
            siblings: siblings.map(piece),
            flows: [],
            via: [],
            facade: [],
            sharedVolumes: [],
            startOrder: [],
            network: 'default',
            install: 'node',
            order: { containers: names, volumes: [], resourceClaims: [] },
            reasons: [],
          },
          splitId: 'abc',
          pool: { ipv4: '198.18.0.0/15' },
          addresses: Object.fromEntries(
            names.map((name, i) => [name, { mac: `0a:00:00:00:00:0${i}`, ipv4: `198.18.0.${i + 1}` }]),
          ),
          policies: { ...resolved, via: resolved.via.map(wiringVia) },
          resolvers: ['10.96.0.10'],
          release: 'go',
        });
        for (const wiring of Object.values(wirings)) expect(parseWiring(formatWiring(wiring))).to.deep.equal(wiring);
      }),
    );
  });
});
