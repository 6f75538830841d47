// ContainerNetworkPolicies on the cluster: for each set of policies every container calls everybody, and who is answered is
// compared with a model that shares no code with podsplit. One table of cases, then policies made at random.

import { expect } from 'chai';
import fc from 'fast-check';
import type {
  ContainerNetworkPolicy,
  ContainerNetworkPolicySpec,
  PolicyPeer,
  PolicyPort,
} from '../../controller/api/container-network-policy.ts';
import { eventually } from './eventually.ts';
import { TestNamespace } from './namespace.ts';
import { condition, type Condition, type PodSplit } from './objects.ts';
import { differencesFrom, policyArena, type PolicyArena } from './policy-arena.ts';

type Spec = Omit<ContainerNetworkPolicySpec, 'podSelector'> & Partial<ContainerNetworkPolicySpec>;

const shop = { podSelector: { matchLabels: { app: 'shop' } } };
const store = { podSelector: { matchLabels: { app: 'store' } } };
const far = { namespaceSelector: { matchLabels: { team: 'far' } } };
const http = [{ port: 8080 }];

/** What policies are tried, by what they show. Without `podSelector` they select the Pod shop. */
const cases: Readonly<Record<string, readonly Spec[]>> = {
  'no policy': [],
  'an empty ingress policy closes a container': [{ containers: ['web'] }],
  'an empty ingress policy closes all of a Pod': [{}],
  'an empty egress policy': [{ policyTypes: ['Egress'] }],
  'an empty egress policy for one container': [{ containers: ['log'], policyTypes: ['Egress'] }],
  'both directions closed': [{ policyTypes: ['Ingress', 'Egress'] }],
  'every Pod closed, the whole ones not by us': [{ podSelector: {} }],
  'a rule that allows everything': [{ containers: ['web'], ingress: [{}] }],
  'an empty list of peers is everybody': [{ containers: ['web'], ingress: [{ from: [], ports: http }] }],
  'a Pod by its label': [{ ingress: [{ from: [store] }] }],
  'a Pod by its label, at a port': [{ ingress: [{ from: [store], ports: http }] }],
  'one container of a Pod': [{ ingress: [{ from: [{ ...store, containers: ['db'] }] }] }],
  'a container that the peer has not': [{ ingress: [{ from: [{ ...store, containers: ['nobody'] }] }] }],
  'a whole Pod by its only container': [
    { ingress: [{ from: [{ podSelector: { matchLabels: { app: 'plain' } }, containers: ['one'] }] }] },
  ],
  'a port by its name': [{ ingress: [{ ports: [{ port: 'redis' }] }] }],
  'a name that no port has': [{ ingress: [{ ports: [{ port: 'nothing' }] }] }],
  UDP: [{ ingress: [{ ports: [{ port: 8053, protocol: 'UDP' }] }] }],
  'all of one protocol': [{ ingress: [{ ports: [{ protocol: 'UDP' }] }] }],
  'a range of ports': [{ ingress: [{ ports: [{ port: 6000, endPort: 8100 }] }] }],
  'SCTP allows no TCP': [{ ingress: [{ ports: [{ port: 8080, protocol: 'SCTP' }] }] }],
  'a namespace by its label': [{ ingress: [{ from: [far] }] }],
  'a Pod in a namespace': [{ ingress: [{ from: [{ ...far, podSelector: { matchLabels: { tier: 'x' } } }] }] }],
  'a Pod in a namespace, or another': [
    { ingress: [{ from: [{ ...far, podSelector: { matchLabels: { tier: 'y' } } }, store] }] },
  ],
  'every namespace': [{ ingress: [{ from: [{ namespaceSelector: {} }] }] }],
  'every Pod of the namespace': [{ ingress: [{ from: [{ podSelector: {} }] }] }],
  'all IPv4': [{ ingress: [{ from: [{ ipBlock: { cidr: '0.0.0.0/0' } }] }] }],
  'all IPv6': [{ ingress: [{ from: [{ ipBlock: { cidr: '::/0' } }] }] }],
  'the Pods of one node by their range': [{ ingress: [{ from: [{ ipBlock: { cidr: '10.244.2.0/24' } }] }] }],
  'all but the Pods of one node': [
    {
      policyTypes: ['Ingress', 'Egress'],
      ingress: [{ from: [{ ipBlock: { cidr: '0.0.0.0/0', except: ['10.244.2.0/24'] } }] }],
      egress: [{ to: [{ ipBlock: { cidr: '::/0', except: ['fd00:244:2::/64'] } }] }],
    },
  ],
  In: [{ podSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: ['store', 'shop'] }] } }],
  NotIn: [{ podSelector: { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['store'] }] } }],
  Exists: [{ ingress: [{ from: [{ podSelector: { matchExpressions: [{ key: 'tier', operator: 'Exists' }] } }] }] }],
  DoesNotExist: [
    { ingress: [{ from: [{ podSelector: { matchExpressions: [{ key: 'tier', operator: 'DoesNotExist' }] } }] }] },
  ],
  'egress rules without types close ingress too': [{ egress: [{ to: [store] }] }],
  'egress to a Pod': [{ policyTypes: ['Egress'], egress: [{ to: [store], ports: http }] }],
  'egress to one container of a Pod': [
    { policyTypes: ['Egress'], egress: [{ to: [{ ...store, containers: ['db'] }] }] },
  ],
  'egress to a named port of a Pod': [
    { policyTypes: ['Egress'], egress: [{ to: [store], ports: [{ port: 'redis' }] }] },
  ],
  'egress to a port of everybody': [{ policyTypes: ['Egress'], egress: [{ ports: [{ port: 80 }] }] }],
  'egress of another workload': [{ ...store, policyTypes: ['Egress'], egress: [{ to: [shop] }] }],
  'inside: only one container may call': [
    { containers: ['cache'], ingress: [{ from: [{ ...shop, containers: ['web'] }], ports: [{ port: 'redis' }] }] },
  ],
  'inside: one container may call only one other': [
    {
      containers: ['log'],
      policyTypes: ['Egress'],
      egress: [{ to: [{ ...shop, containers: ['cache'] }], ports: [{ port: 6379 }] }],
    },
  ],
  'inside: both ends have to agree': [
    { containers: ['log'], policyTypes: ['Egress'], egress: [{ to: [{ ...shop, containers: ['cache'] }] }] },
    { containers: ['cache'], ingress: [{ from: [{ ...shop, containers: ['web'] }] }] },
  ],
  'inside: a port that nobody declares': [
    { containers: ['web'], ingress: [{ from: [{ ...shop, containers: ['cache'] }], ports: [{ port: 8181 }] }] },
  ],
  'inside: a range opens what is declared in it': [
    { containers: ['web'], ingress: [{ from: [shop], ports: [{ port: 8000, endPort: 8999 }] }] },
  ],
  'inside: UDP': [{ containers: ['cache'], ingress: [{ from: [shop], ports: [{ port: 'stats', protocol: 'UDP' }] }] }],
  'two policies add up': [
    { containers: ['web'], ingress: [{ from: [store] }] },
    { containers: ['web'], ingress: [{ from: [far] }] },
  ],
  'two policies add up in ports': [
    { ingress: [{ from: [store], ports: http }] },
    { ingress: [{ ports: [{ port: 'admin' }] }] },
  ],
  'Audit closes nothing': [{ action: 'Audit', policyTypes: ['Ingress', 'Egress'] }],
  'Audit beside Enforce': [{ action: 'Audit' }, { containers: ['cache'], ingress: [{ from: [store] }] }],
};

const labels = fc.constantFrom({}, { app: 'shop' }, { app: 'store' }, { tier: 'x' }, { tier: 'y' });
const selector = labels.map((matchLabels) => ({ matchLabels }));
const containers = fc.uniqueArray(fc.constantFrom('web', 'cache', 'log', 'api', 'db', 'one'), {
  minLength: 1,
  maxLength: 3,
});
const peer: fc.Arbitrary<PolicyPeer> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ podSelector: selector, containers }, { requiredKeys: ['podSelector'] }) },
  {
    weight: 2,
    arbitrary: fc.record(
      { namespaceSelector: fc.constantFrom({}, { matchLabels: { team: 'far' } }), podSelector: selector },
      { requiredKeys: ['namespaceSelector'] },
    ),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom<NonNullable<PolicyPeer['ipBlock']>>(
        { cidr: '10.244.0.0/16', except: ['10.244.1.0/24'] },
        { cidr: 'fd00:244::/48' },
        { cidr: '10.96.0.0/12' },
      )
      .map((ipBlock) => ({ ipBlock })),
  },
);
const port: fc.Arbitrary<PolicyPort> = fc.oneof(
  fc.constantFrom<PolicyPort>(
    { port: 8080 },
    { port: 6379 },
    { port: 80 },
    { port: 'http' },
    { port: 'redis' },
    { port: 'admin' },
  ),
  fc.constantFrom<PolicyPort>({ protocol: 'UDP' }, { port: 8053, protocol: 'UDP' }, { port: 'stats', protocol: 'UDP' }),
  fc.constantFrom<PolicyPort>(
    { port: 6000, endPort: 8080 },
    { port: 8081, endPort: 9999 },
    { port: 8053, endPort: 8200, protocol: 'UDP' },
  ),
);
const few = { maxLength: 2 };
const ports = fc.array(port, few);
const spec: fc.Arbitrary<ContainerNetworkPolicySpec> = fc.record(
  {
    podSelector: selector,
    containers,
    policyTypes: fc.uniqueArray(fc.constantFrom('Ingress' as const, 'Egress' as const), { minLength: 1, maxLength: 2 }),
    ingress: fc.array(fc.record({ from: fc.array(peer, few), ports }, { requiredKeys: [] }), few),
    egress: fc.array(fc.record({ to: fc.array(peer, few), ports }, { requiredKeys: [] }), few),
  },
  { requiredKeys: ['podSelector'] },
);
const randomRounds = 25;
const loadSeconds = 10;
const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);

/** @param mode of the Pods whose containers call */
export function describePolicies(mode: 'split' | 'isolate'): void {
  describe(`ContainerNetworkPolicies in mode ${mode}, random ones of SEED=${seed}`, () => {
    let arena: PolicyArena;

    before(async () => {
      arena = await policyArena(mode);
    });

    after(async () => {
      for (const agent of arena.agents.values()) agent.end();
      await TestNamespace.deleteAll();
    });

    for (const [what, specs] of Object.entries(cases)) {
      it(what, () => holds(specs));
    }

    for (const [round, specs] of fc
      .sample(fc.array(spec, { minLength: 1, maxLength: 3 }), { numRuns: randomRounds, seed })
      .entries()) {
      it(`random ${round}: ${specs.length} policies`, () => holds(specs));
    }

    it('says what each selects and compiles to, and what is wrong with it', async () => {
      await replace([
        { containers: ['cache'], ingress: [{ from: [store], ports: [{ port: 'redis' }] }] },
        { podSelector: {}, ingress: [{ ports: [{ port: 'nothing' }] }] },
      ]);
      const [first, second] = await eventually('both have a status', async () => {
        const policies = (await arena.namespace.list<Policy>('containerNetworkPolicies')).toSorted((a, b) =>
          a.metadata.name < b.metadata.name ? -1 : 1,
        );
        if (!policies.every(({ status }) => status?.selected !== undefined)) throw new Error(JSON.stringify(policies));
        return policies;
      });
      expect(first?.status?.selected).to.deep.equal({ pods: 1, containers: 1, unguarded: 0 });
      expect(first?.status?.compiled?.ingress).to.be.above(0);
      expect(verdict(first, 'Accepted')).to.equal('True Compiled');
      expect(verdict(first, 'Enforced')).to.equal('True Enforced');
      expect(second?.status?.selected).to.deep.equal({ pods: 2, containers: 5, unguarded: 1 });
      expect(verdict(second, 'Accepted')).to.equal('False UnknownPortName');
      expect(verdict(second, 'Enforced')).to.equal('False NotSplit');
    });

    it('tells what policies that audit would refuse, which passes', async () => {
      const agent = arena.agents.get('plain/one')!;
      const shopIP = arena.directory.pods.find(({ name }) => name === 'shop')!.podIPs[0]!;
      await replace([{ action: 'Audit', containers: ['web'], ingress: [{ from: [store] }] }]);
      const rows = await eventually('it is told', async () => {
        const answer = await agent.call({ proto: 'tcp', host: shopIP, port: 8080 });
        expect(answer).to.include({ server: 'web' });
        const [split] = (await arena.namespace.list<PodSplit>('podSplits')).filter(
          ({ spec }) => spec.pod.name === 'shop',
        );
        const audited = (split?.status?.denied ?? []).filter(({ audited: passed }) => passed === true);
        if (audited.length === 0) throw new Error(JSON.stringify(split?.status?.denied));
        return audited;
      });
      expect(rows.map(({ to, port, network }) => `${to} ${port} ${network}`)).to.include('web 8080 pod');
    });

    it('change under load: nobody forbidden arrives, and no allowed connection is cut', async () => {
      const [allowed, forbidden, web] = ['plain/one', 'far/one', 'shop/web'].map((name) => arena.agents.get(name)!);
      const shopIPs = arena.directory.pods.find(({ name }) => name === 'shop')!.podIPs;
      const farIPs = arena.directory.pods.find(({ name }) => name === 'far')!.podIPs;
      const stays: Spec = {
        containers: ['web'],
        ingress: [{ from: [{ podSelector: { matchLabels: { app: 'plain' } } }] }],
      };
      await holds([stays]);
      const before = (await web!.seen(8080)).length;
      const loads = shopIPs.map((host) =>
        allowed!.must('load', { proto: 'tcp', host, port: 8080, seconds: loadSeconds }),
      );
      let tried = 0;
      const attack = (async (): Promise<void> => {
        const end = Date.now() + loadSeconds * 1000;
        while (Date.now() < end) {
          await Promise.all(shopIPs.map((host) => forbidden!.call({ proto: 'tcp', host, port: 8080, timeout: 0.2 })));
          tried++;
        }
      })();
      let changed = 0;
      for (const end = Date.now() + loadSeconds * 900; Date.now() < end; changed++) {
        await arena.namespace.apply(
          policy(
            1,
            changed % 2 === 0
              ? { containers: ['web'], ingress: [{ from: [store], ports: http }] }
              : { containers: ['cache'] },
          ),
        );
      }
      await attack;
      for (const load of await Promise.all(loads)) {
        const { done, failed } = load as { readonly done: number; readonly failed: number };
        expect(failed, `of ${done} round trips`).to.equal(0);
        expect(done).to.be.above(100);
      }
      expect(tried).to.be.above(10);
      expect(changed).to.be.above(5);
      const callers = (await web!.seen(8080)).slice(before).map(([address]) => address);
      expect(callers.filter((address) => farIPs.includes(address.replace('::ffff:', '')))).to.deep.equal([]);
    });

    it('are refused with the reason where they are malformed', async () => {
      const malformed: Readonly<Record<string, object>> = {
        'give either ipBlock': { ingress: [{ from: [{ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }] }] },
        'containers are those of Pods': {
          ingress: [{ from: [{ containers: ['a'], ipBlock: { cidr: '10.0.0.0/8' } }] }],
        },
        'cidr is not a range': { egress: [{ to: [{ ipBlock: { cidr: '10.0.0.0' } }] }] },
        'no range within cidr': { egress: [{ to: [{ ipBlock: { cidr: '10.0.0.0/8', except: ['11.0.0.0/9'] } }] }] },
        'endPort goes with a port number': { ingress: [{ ports: [{ port: 90, endPort: 80 }] }] },
        'Unsupported value: "ICMP"': { ingress: [{ ports: [{ protocol: 'ICMP' }] }] },
        'spec.podSelector: Required value': { podSelector: null },
      };
      for (const [why, wrong] of Object.entries(malformed)) {
        const answer = await arena.namespace.dryRun(policy(0, wrong));
        expect(answer.status, why).not.to.equal(0);
        expect(answer.output).to.include(why);
      }
    });

    async function holds(specs: readonly Spec[]): Promise<void> {
      const policies = await replace(specs);
      await eventually(
        'who is answered is as the model says',
        async () => {
          const differences = await differencesFrom(arena, policies);
          if (differences.length > 0)
            throw new Error(`${differences.length} of them: ${differences.slice(0, 8).join('; ')}`);
        },
        30_000,
      ).catch((error: unknown) => {
        throw new Error(`${String(error)}\n${JSON.stringify(specs)}`);
      });
    }

    async function replace(specs: readonly Spec[]): Promise<readonly ContainerNetworkPolicy[]> {
      const policies = specs.map((each, i) => policy(i, each));
      await arena.namespace.kubectl(['delete', 'cnetpol', '--all']);
      if (policies.length > 0) await arena.namespace.apply(...policies);
      return policies;
    }
  });
}

interface Policy {
  readonly metadata: { readonly name: string };
  readonly status?: ContainerNetworkPolicy['status'] & { readonly conditions?: readonly Condition[] };
}

function policy(i: number, { podSelector = shop.podSelector, ...rest }: Spec): ContainerNetworkPolicy {
  return {
    apiVersion: 'podsplit.io/v1alpha1',
    kind: 'ContainerNetworkPolicy',
    metadata: { name: `p${i}` },
    spec: { podSelector, ...rest },
  };
}

function verdict(policy: Policy | undefined, type: string): string {
  const found = policy === undefined ? undefined : condition(policy, type);
  return `${found?.status ?? ''} ${found?.reason ?? ''}`;
}
