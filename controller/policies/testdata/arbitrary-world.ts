import fc from 'fast-check';
import type { ContainerNetworkPolicy, PolicyPeer, PolicyPort } from '../../api/container-network-policy.ts';
import type { Flow } from '../../api/flow.ts';
import type { DirectoryContainer, DirectoryPod, PolicyDeclaredPort, PolicySubject } from '../directory.ts';
import type { LabelSelector } from '../label-selector.ts';
import type { NaiveWorld } from './naive-model.ts';

/** A cluster so small that selectors, ports and ranges meet. `subject` is one of its Pods, in namespace `a`. */
export interface SmallWorld extends NaiveWorld {
  readonly subject: PolicySubject;
}

export const containerNames = ['web', 'cache', 'log'] as const;
const ports = [80, 81, 82, 83, 8080] as const;
const portNames = ['http', 'admin'] as const;
const protocol = fc.constantFrom('tcp' as const, 'udp' as const, 'sctp' as const);
const key = fc.constantFrom('app', 'tier');
const value = fc.constantFrom('x', 'y');
const labels = fc.dictionary(key, value, { maxKeys: 2 });

const selector: fc.Arbitrary<LabelSelector> = fc.oneof(
  { weight: 2, arbitrary: fc.constant({}) },
  { weight: 2, arbitrary: fc.record({ matchLabels: fc.dictionary(key, value, { maxKeys: 1 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      matchExpressions: fc.array(
        fc.oneof(
          fc.record({ key, operator: fc.constantFrom('In', 'NotIn'), values: fc.array(value, { minLength: 1 }) }),
          fc.record({ key, operator: fc.constantFrom('Exists', 'DoesNotExist') }),
        ),
        { maxLength: 2 },
      ),
    }),
  },
);

const someContainers = fc.uniqueArray(fc.constantFrom(...containerNames), { minLength: 1, maxLength: 2 });

const blocks: readonly NonNullable<PolicyPeer['ipBlock']>[] = [
  { cidr: '0.0.0.0/0' },
  { cidr: '0.0.0.0/0', except: ['10.0.0.0/8'] },
  { cidr: '10.0.0.0/29', except: ['10.0.0.2/31'] },
  { cidr: '10.0.0.4/30' },
  { cidr: '10.0.0.0/28', except: ['10.0.0.0/30', '10.0.0.6/32', '10.0.0.0/31'] },
  { cidr: '10.96.0.0/16' },
  { cidr: 'fd00::/64', except: ['fd00::2/127'] },
  { cidr: '::/0', except: ['fd00::4/126'] },
  { cidr: '192.0.2.7/24' },
];

const peer: fc.Arbitrary<PolicyPeer> = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom(...blocks).map((ipBlock) => ({ ipBlock })) },
  {
    weight: 3,
    arbitrary: fc
      .record({ podSelector: selector, namespaceSelector: selector, containers: someContainers }, { requiredKeys: [] })
      .map((each) =>
        each.podSelector === undefined && each.namespaceSelector === undefined ? { ...each, podSelector: {} } : each,
      ),
  },
);

const policyProtocol = fc.constantFrom('TCP' as const, 'UDP' as const, 'SCTP' as const);
const policyPort: fc.Arbitrary<PolicyPort> = fc.oneof(
  { weight: 1, arbitrary: fc.record({ protocol: policyProtocol }) },
  {
    weight: 4,
    arbitrary: fc.record({ protocol: policyProtocol, port: fc.constantFrom(...ports) }, { requiredKeys: ['port'] }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ protocol: policyProtocol, port: fc.constantFrom(...portNames) }, { requiredKeys: ['port'] }),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(policyProtocol, fc.constantFrom(...ports), fc.constantFrom(...ports))
      .map(([proto, one, other]) => ({ protocol: proto, port: Math.min(one, other), endPort: Math.max(one, other) })),
  },
);

const peers = fc.array(peer, { maxLength: 3 });
const rulePorts = fc.array(policyPort, { maxLength: 3 });
const types = fc.constantFrom<('Ingress' | 'Egress')[]>([], ['Ingress'], ['Egress'], ['Ingress', 'Egress']);

const spec = fc.record(
  {
    podSelector: selector,
    containers: someContainers,
    action: fc.constantFrom('Enforce' as const, 'Enforce' as const, 'Enforce' as const, 'Audit' as const),
    policyTypes: types,
    ingress: fc.array(fc.record({ from: peers, ports: rulePorts }, { requiredKeys: [] }), { maxLength: 3 }),
    egress: fc.array(fc.record({ to: peers, ports: rulePorts }, { requiredKeys: [] }), { maxLength: 3 }),
  },
  { requiredKeys: ['podSelector'] },
);

const declared: fc.Arbitrary<PolicyDeclaredPort> = fc.record(
  { name: fc.constantFrom(...portNames), port: fc.constantFrom(...ports), protocol },
  { requiredKeys: ['port', 'protocol'] },
);

const podShape = fc.record({
  namespace: fc.constantFrom('a', 'b', 'unknown'),
  labels,
  mode: fc.constantFrom('plain' as const, 'split' as const, 'split' as const, 'isolate' as const),
  containers: fc.uniqueArray(fc.record({ name: fc.constantFrom(...containerNames), ports: fc.array(declared, { maxLength: 3 }) }), {
    minLength: 1,
    maxLength: 3,
    selector: ({ name }) => name,
  }),
  without: fc.integer({ min: 0, max: 9 }),
});

/** Pod `n`: 10.0.0.n and fd00::n, its pieces 10.0.1.(16 n + i) and the like. Some have no addresses yet, or one only. */
function podOf(shape: typeof podShape extends fc.Arbitrary<infer T> ? T : never, n: number): DirectoryPod {
  const podIPs = [`10.0.0.${n}`, `fd00::${n.toString(16)}`].slice(0, shape.without === 0 ? 0 : shape.without === 1 ? 1 : 2);
  const containers = shape.containers.map(({ name, ports: own }, i): DirectoryContainer => ({
    name,
    ports: uniquePorts(own),
    podIPs: shape.mode !== 'split' || i === 0 ? podIPs : podIPs.map((ip) => pieceIP(ip, n * 16 + i)),
  }));
  return {
    namespace: shape.namespace,
    name: `pod-${n}`,
    uid: `uid-${n}`,
    labels: shape.labels,
    podIPs,
    mode: shape.mode,
    containers: shape.mode === 'split' && containers.length === 1 ? [...containers, more(podIPs, n)] : containers,
  };
}

function more(podIPs: readonly string[], n: number): DirectoryContainer {
  return { name: 'side', ports: [{ port: 8080, protocol: 'tcp' }], podIPs: podIPs.map((ip) => pieceIP(ip, n * 16 + 9)) };
}

function pieceIP(podIP: string, last: number): string {
  return podIP.includes(':') ? `fd00::1:${last.toString(16)}` : `10.0.1.${last}`;
}

function uniquePorts(own: readonly PolicyDeclaredPort[]): readonly PolicyDeclaredPort[] {
  return [...new Map(own.map((each) => [`${each.port} ${each.protocol}`, each])).values()];
}

const service = fc.record({
  number: fc.integer({ min: 1, max: 3 }),
  port: fc.constantFrom(...ports),
  protocol,
  endpoints: fc.array(fc.record({ pod: fc.nat(6), six: fc.boolean(), port: fc.constantFrom(...ports) }), { maxLength: 3 }),
});

export const smallWorld: fc.Arbitrary<SmallWorld> = fc
  .record({
    pods: fc.array(podShape, { minLength: 2, maxLength: 6 }),
    policies: fc.array(fc.record({ namespace: fc.constantFrom('a', 'a', 'a', 'b'), spec }), { minLength: 1, maxLength: 4 }),
    namespaces: fc.tuple(labels, labels),
    services: fc.array(service, { maxLength: 3 }),
    flows: fc.array(fc.tuple(fc.nat(3), fc.nat(3), fc.constantFrom(...ports), fc.constantFrom('tcp' as const, 'udp' as const)), {
      maxLength: 4,
    }),
    declaredFlows: fc.boolean(),
  })
  .map(({ pods: shapes, policies, namespaces: [a, b], services, flows, declaredFlows }) => {
    const [own, ...others] = shapes.map((shape, i) =>
      podOf(i === 0 ? { ...shape, namespace: 'a', mode: 'split' } : shape, i + 1),
    );
    if (own === undefined) throw new Error('a world has a Pod');
    const containers = distinctPorts(own.containers);
    const { namespace, name, uid, labels: ownLabels } = own;
    const subject = { namespace, name, uid, labels: ownLabels, containers };
    return {
      directory: {
        pods: [{ ...own, containers }, ...others],
        namespaces: new Map([
          ['a', a],
          ['b', b],
        ]),
        services: services.map(({ number, port, protocol: proto, endpoints }, i) => ({
          namespace: 'a',
          name: `service-${i}`,
          clusterIPs: [`10.96.0.${number}`, `fd96::${number}`],
          ports: [
            {
              port,
              protocol: proto,
              endpoints: endpoints.map(({ pod, six, port: target }) => ({
                address: six ? `fd00::${pod + 1}` : `10.0.0.${pod + 1}`,
                port: target,
              })),
            },
          ],
        })),
      },
      policies: policies.map(
        (each, i): ContainerNetworkPolicy => ({
          apiVersion: 'podsplit.io/v1alpha1',
          kind: 'ContainerNetworkPolicy',
          metadata: { name: `policy-${i}`, namespace: each.namespace },
          spec: each.spec,
        }),
      ),
      subject: { ...subject, via: [], flows: declaredFlows ? flowsToDeclared(subject) : listedFlows(subject, flows) },
    };
  });

/** As the webhook wants it: a port belongs to one container of the Pod. */
function distinctPorts(containers: readonly DirectoryContainer[]): readonly DirectoryContainer[] {
  const taken = new Set<string>();
  return containers.map(({ ports: own, ...rest }) => ({
    ...rest,
    ports: own.filter(({ port, protocol: proto }) => {
      const fresh = !taken.has(`${port} ${proto}`);
      taken.add(`${port} ${proto}`);
      return fresh;
    }),
  }));
}

type Unflowed = Omit<PolicySubject, 'flows' | 'via'>;

function flowsToDeclared({ containers }: Unflowed): readonly Flow[] {
  return containers.flatMap(({ name: from }) =>
    containers.flatMap(({ name: to, ports: own }) =>
      own.flatMap(({ port, protocol: proto }) =>
        from === to || proto === 'sctp' ? [] : [{ from, to, port, protocol: proto }],
      ),
    ),
  );
}

/** As `podsplit.io/flows` may be: no loopback port leads to two places, or away from who declares it. */
function listedFlows(
  { containers }: Unflowed,
  flows: readonly (readonly [number, number, number, 'tcp' | 'udp'])[],
): readonly Flow[] {
  const listed = flows.flatMap(([i, j, port, proto]): Flow[] => {
    const [from, to] = [containers[i % containers.length], containers[j % containers.length]];
    if (from === undefined || to === undefined || from.name === to.name || from.ports.some((own) => own.port === port && own.protocol === proto)) return [];
    return [{ from: from.name, to: to.name, port, protocol: proto }];
  });
  return [...new Map(listed.map((flow) => [`${flow.from} ${flow.port} ${flow.protocol}`, flow])).values()];
}

export const protocols = ['tcp', 'udp', 'sctp', 'icmp'] as const;
export { ports as knownPorts };

/** Every address of that world, with some that are nobody's. */
export function addressesOf({ directory }: NaiveWorld): readonly string[] {
  return [
    ...new Set([
      ...directory.pods.flatMap((pod) => [...pod.podIPs, ...pod.containers.flatMap(({ podIPs }) => podIPs)]),
      ...directory.services.flatMap(({ clusterIPs }) => clusterIPs),
      '10.0.0.0',
      '10.0.0.7',
      '10.0.0.15',
      '10.96.0.9',
      '192.0.2.1',
      '203.0.113.5',
      'fd00::',
      'fd00::7',
      '2001:db8::5',
    ]),
  ];
}
