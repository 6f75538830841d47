// Where policies are tried: two split Pods, two whole ones, a Service; each container calls every port of every other one, by
// loopback, Pod IP and Service, over both families. What should pass is said by the naive model and by who listens where.

import type { ContainerNetworkPolicy } from '../../controller/api/container-network-policy.ts';
import type { Flow } from '../../controller/api/flow.ts';
import type { Directory, DirectoryPod, PolicySubject } from '../../controller/policies/directory.ts';
import { directoryOf, type ClusterObjects } from '../../controller/policies/read-directory.ts';
import {
  naiveEgress,
  naiveFlow,
  naiveIngress,
  type NaiveWorld,
} from '../../controller/policies/testdata/naive-model.ts';
import type { Agent } from '../attack/agent.ts';
import { listAll, type Kind } from './api.ts';
import { agentInPod, arenaContainer, arenaSpec } from './arena.ts';
import { eventually } from './eventually.ts';
import { TestNamespace } from './namespace.ts';
import { isReady } from './pieces.ts';
import type { Pod } from './objects.ts';

interface Port {
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  /** Undeclared where it has none. */
  readonly name?: string;
}

interface Member {
  readonly app: string;
  readonly tier: string;
  readonly far?: true;
  /** Of podsplit's; the others are whole Pods. */
  readonly guarded: boolean;
  readonly node: 'node1' | 'node2';
  /** The first is the primary. */
  readonly containers: Readonly<Record<string, readonly Port[]>>;
}

const members: Readonly<Record<string, Member>> = {
  shop: {
    app: 'shop',
    tier: 'x',
    guarded: true,
    node: 'node1',
    containers: {
      web: [
        { port: 8080, protocol: 'tcp', name: 'http' },
        { port: 8053, protocol: 'udp', name: 'lookup' },
        { port: 8181, protocol: 'tcp' },
      ],
      cache: [
        { port: 6379, protocol: 'tcp', name: 'redis' },
        { port: 8125, protocol: 'udp', name: 'stats' },
      ],
      log: [{ port: 9000, protocol: 'tcp', name: 'admin' }],
    },
  },
  store: {
    app: 'store',
    tier: 'y',
    guarded: true,
    node: 'node2',
    containers: {
      api: [{ port: 8080, protocol: 'tcp', name: 'http' }],
      db: [{ port: 6379, protocol: 'tcp', name: 'redis' }],
    },
  },
  plain: {
    app: 'plain',
    tier: 'x',
    guarded: false,
    node: 'node1',
    containers: {
      one: [
        { port: 8080, protocol: 'tcp', name: 'http' },
        { port: 9000, protocol: 'tcp', name: 'admin' },
        { port: 8053, protocol: 'udp', name: 'lookup' },
      ],
    },
  },
  far: {
    app: 'shop',
    tier: 'y',
    far: true,
    guarded: false,
    node: 'node2',
    containers: { one: [{ port: 8080, protocol: 'tcp', name: 'http' }] },
  },
};

const service = { name: 'store', port: 80, targetPort: 8080 };

/** Every port that somebody has, and one that nobody has. */
const allPorts: readonly Port[] = [
  ...new Map(
    Object.values(members)
      .flatMap(({ containers }) => Object.values(containers).flat())
      .map(({ port, protocol }) => [`${port}/${protocol}`, { port, protocol }]),
  ).values(),
];

export interface PolicyArena {
  readonly namespace: TestNamespace;
  readonly far: TestNamespace;
  readonly directory: Directory;
  /** By `pod/container`. */
  readonly agents: ReadonlyMap<string, Agent>;
}

export async function policyArena(mode: 'split' | 'isolate'): Promise<PolicyArena> {
  const [namespace, far] = await Promise.all([
    TestNamespace.create('policies'),
    TestNamespace.create('policies-far', { team: 'far' }),
  ]);
  const home = (member: Member): TestNamespace => (member.far === true ? far : namespace);
  for (const [name, member] of Object.entries(members)) await home(member).apply(podOf(name, member, mode));
  await namespace.apply({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: service.name },
    spec: {
      selector: { app: 'store' },
      ipFamilyPolicy: 'PreferDualStack',
      ports: [{ port: service.port, targetPort: service.targetPort }],
    },
  });
  const agents = new Map<string, Agent>();
  for (const [name, member] of Object.entries(members)) {
    for (const [container, ports] of Object.entries(member.containers)) {
      const pod = await readyPod(home(member), name, container);
      const agent = agentInPod(home(member), pod, container);
      agents.set(`${name}/${container}`, agent);
      for (const { port, protocol } of ports) await agent.listen(protocol, '::', port, true);
    }
  }
  return { namespace, far, agents, directory: await readDirectory([namespace.name, far.name]) };
}

function podOf(name: string, { app, tier, guarded, node, containers }: Member, mode: 'split' | 'isolate'): object {
  const declared = (ports: readonly Port[]): readonly object[] =>
    ports
      .filter((port) => port.name !== undefined)
      .map((port) => ({ containerPort: port.port, name: port.name, protocol: port.protocol.toUpperCase() }));
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: { app, tier }, annotations: guarded ? { 'podsplit.io/mode': mode } : {} },
    spec: arenaSpec(
      node,
      Object.entries(containers).map(([container, ports], i) => ({
        ...arenaContainer(container, declared(ports)),
        ...(guarded && mode === 'isolate' ? { securityContext: asUser(20_001 + i) } : {}),
      })),
    ),
  };
}

function asUser(runAsUser: number): object {
  return { runAsUser, allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
}

/** The name of the Pod that runs the container. */
function readyPod(namespace: TestNamespace, name: string, container: string): Promise<string> {
  return eventually(`${name}/${container} is ready`, async () => {
    const pods = await namespace.list<Pod>('pods');
    const found = pods.find(
      ({ metadata, spec }) =>
        (metadata.name === name || metadata.ownerReferences?.some((one) => one.name === name) === true) &&
        spec.containers.some((one) => one.name === container),
    );
    if (found === undefined || !isReady(found)) throw new Error(pods.map((pod) => pod.metadata.name).join(', '));
    return found.metadata.name;
  });
}

async function readDirectory(namespaces: readonly string[]): Promise<Directory> {
  const everywhere = async <T>(kind: Kind): Promise<readonly T[]> => listAll<T>(kind);
  const isOurs = ({ metadata }: { readonly metadata?: { readonly namespace?: string } }): boolean =>
    namespaces.includes(metadata?.namespace ?? '');
  // Other suites' Pods come and go: no selector of ours finds them, but those of nothing at all.
  return eventually('the Service has its endpoints', async () => {
    const [pods, labels, services, endpointSlices] = await Promise.all([
      everywhere<ClusterObjects['pods'][number]>('pods'),
      everywhere<ClusterObjects['namespaces'][number]>('namespaces'),
      everywhere<ClusterObjects['services'][number]>('services'),
      everywhere<ClusterObjects['endpointSlices'][number]>('endpointSlices'),
    ]);
    const directory = directoryOf({
      pods: pods.filter(isOurs),
      namespaces: labels.filter(({ metadata }) => namespaces.includes(metadata?.name ?? '')),
      services: services.filter(isOurs),
      endpointSlices: endpointSlices.filter(isOurs),
    });
    const families = directory.services.flatMap(({ ports }) => ports.flatMap(({ endpoints }) => endpoints));
    if (families.length !== 2) throw new Error(`${families.length} endpoints`);
    return directory;
  });
}

/** One call, whether it should be answered, and by whom. */
interface Probe {
  readonly from: string;
  readonly host: string;
  readonly port: number;
  readonly proto: 'tcp' | 'udp';
  readonly expected: string | undefined;
}

/** How long a call that should be denied is waited for; what passes is answered in a few milliseconds. */
const patienceSeconds = 0.8;
/** The same of one that should pass: with time for a SYN to be sent again on a machine that is busy. */
const passSeconds = 2.5;

/** What differs from the model, one line each. */
export async function differencesFrom(
  arena: PolicyArena,
  policies: readonly ContainerNetworkPolicy[],
): Promise<readonly string[]> {
  const probes = probesOf(arena, policies);
  const found = await Promise.all(
    probes.map(async ({ from, expected, ...target }) => {
      const agent = arena.agents.get(from);
      if (agent === undefined) throw new Error(`there is no agent ${from}`);
      const answer = await agent.call({ ...target, timeout: expected === undefined ? patienceSeconds : passSeconds });
      const actual = 'server' in answer ? answer.server : undefined;
      if (actual === expected) return [];
      return [
        `${from} -> ${target.host}:${target.port}/${target.proto}: ${actual ?? 'nobody'}, not ${expected ?? 'nobody'}`,
      ];
    }),
  );
  return found.flat();
}

function probesOf(
  { namespace, directory }: PolicyArena,
  policies: readonly ContainerNetworkPolicy[],
): readonly Probe[] {
  const placed = policies.map((policy) => ({ ...policy, metadata: { ...policy.metadata, namespace: namespace.name } }));
  const world: NaiveWorld = { policies: placed, directory };
  return directory.pods.flatMap((pod) =>
    pod.containers.flatMap(({ name }) => [
      ...(pod.mode === 'plain' ? [] : loopbackProbes(world, pod, name)),
      ...directory.pods.filter((other) => other !== pod).flatMap((other) => podProbes(world, pod, name, other)),
      ...serviceProbes(world, pod, name),
    ]),
  );
}

function loopbackProbes(world: NaiveWorld, pod: DirectoryPod, from: string): readonly Probe[] {
  const subject = subjectOf(pod);
  return allPorts
    .filter((port) => !listens(pod.name, from, port))
    .flatMap((port) => {
      const server = pod.containers.find(
        ({ name }) =>
          name !== from && listens(pod.name, name, port) && naiveFlow(world, subject, { from, to: name, ...port }),
      );
      return ['127.0.0.1', '::1'].map((host) => probe(`${pod.name}/${from}`, host, port, server?.name));
    });
}

function podProbes(world: NaiveWorld, pod: DirectoryPod, from: string, other: DirectoryPod): readonly Probe[] {
  return other.podIPs.flatMap((host) =>
    allPorts.map((port) => {
      const server = serverOf(other, port);
      const passes =
        server !== undefined &&
        sends(world, pod, from, { host, ...port }) &&
        takes(world, other, server, { from: sourceOf(pod, from, host), ...port });
      return probe(`${pod.name}/${from}`, host, port, passes ? server : undefined);
    }),
  );
}

function serviceProbes(world: NaiveWorld, pod: DirectoryPod, from: string): readonly Probe[] {
  const store = world.directory.pods.find(({ name }) => name === 'store');
  if (store === undefined || pod === store) return [];
  const [called, served] = [service.port, service.targetPort].map((port) => ({ port, protocol: 'tcp' as const }));
  return world.directory.services.flatMap(({ clusterIPs }) =>
    clusterIPs.map((host) => {
      const passes =
        sends(world, pod, from, { host, ...called! }) &&
        takes(world, store, 'api', { from: sourceOf(pod, from, host), ...served! });
      return probe(`${pod.name}/${from}`, host, called!, passes ? 'api' : undefined);
    }),
  );
}

function probe(from: string, host: string, { port, protocol: proto }: Service, expected: string | undefined): Probe {
  return { from, host, port, proto, expected };
}

/**
 * Who listens at the Pod's address. In mode split the primary with all its ports, a sibling with those that it declares; in
 * mode isolate a container with its UDP ports only where it declares them.
 */
function serverOf({ name, mode }: DirectoryPod, { port, protocol }: Service): string | undefined {
  const entries = Object.entries(members[name]?.containers ?? {});
  return entries.find(([, ports], index) =>
    ports.some(
      (each) =>
        each.port === port &&
        each.protocol === protocol &&
        (each.name !== undefined ||
          mode === 'plain' ||
          (mode === 'split' && index === 0) ||
          (mode === 'isolate' && protocol === 'tcp')),
    ),
  )?.[0];
}

type Service = Pick<Port, 'port' | 'protocol'>;

interface Call extends Service {
  readonly host: string;
}

/** Nobody enforces policies for whole Pods. */
function sends(world: NaiveWorld, pod: DirectoryPod, from: string, { host, port, protocol }: Call): boolean {
  return pod.mode === 'plain' || naiveEgress(world, subjectOf(pod), from, { to: host, protocol, port });
}

function takes(
  world: NaiveWorld,
  pod: DirectoryPod,
  server: string,
  packet: Service & { readonly from: string },
): boolean {
  return pod.mode === 'plain' || naiveIngress(world, subjectOf(pod), server, packet);
}

function sourceOf(pod: DirectoryPod, container: string, host: string): string {
  const own = pod.containers.find(({ name }) => name === container)?.podIPs ?? [];
  return own.find((address) => address.includes(':') === host.includes(':')) ?? '';
}

function listens(pod: string, container: string, { port, protocol }: Service): boolean {
  return members[pod]?.containers[container]?.some((each) => each.port === port && each.protocol === protocol) ?? false;
}

function subjectOf(pod: DirectoryPod): PolicySubject {
  const declared: readonly Flow[] = pod.containers.flatMap(({ name: from }) =>
    pod.containers
      .filter(({ name }) => name !== from)
      .flatMap(({ name: to, ports }) =>
        ports.flatMap(({ port, protocol }) => (protocol === 'sctp' ? [] : [{ from, to, port, protocol }])),
      ),
  );
  return { ...pod, flows: declared, via: [] };
}
