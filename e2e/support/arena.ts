// Where attacks are tried: three containers that share a peer network, another workload's Pod beside them, their node, and
// the world outside. Everybody has an agent that opens sockets for the tests.

import { networkStatusAnnotation, peerInterface } from '../../controller/api/names.ts';
import { imageReference } from '../../hack/images/recipes.ts';
import { spawnKubectl } from '../../hack/demo/command.ts';
import { Agent, agentSource } from '../attack/agent.ts';
import type { Ear, Party, World } from '../attack/frame-attacks.ts';
import { succeeded } from './agents.ts';
import type { TestNamespace } from './namespace.ts';
import { agentOnNode, onNode } from './node.ts';
import { podIPs, type Pod } from './objects.ts';

export const parties = ['web', 'cache', 'statsd'] as const;
export type PartyName = (typeof parties)[number];

/**
 * A container that a cautious user would not run: root, with all that containerd gives by default. CAP_NET_RAW is among it;
 * what lets a container change its network namespace is refused by podsplit, and nobody has it by default.
 */
export function arenaContainer(name: string, ports: readonly object[] = []) {
  return {
    name,
    image: imageReference('samples'),
    command: ['sleep', '3600'],
    ports,
    resources: { requests: { cpu: '5m', memory: '16Mi' } },
    securityContext: { runAsUser: 0 },
  };
}

export function arenaSpec(node: string, containers: readonly object[]) {
  return {
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 0,
    nodeSelector: { 'kubernetes.io/hostname': node },
    containers,
  };
}

/** What both arenas have in common. */
export interface Surroundings {
  readonly namespace: TestNamespace;
  readonly nodeName: string;
  readonly node: Agent;
  readonly outside: Agent;
  readonly other: Agent;
  readonly otherPod: Pod;
  readonly serviceIP: string;
}

export interface Arena extends Surroundings, Readonly<Record<PartyName, Agent>> {
  readonly pods: Readonly<Record<PartyName, Pod>>;
  readonly world: World;
  /** Of a Service of web's port 9000. */
  readonly webServiceIP: string;
  /** Of the node. */
  readonly devices: { readonly bridge: string; readonly net1: string; readonly eth0: string };
  readonly ears: Readonly<Record<Ear, Place>>;
}

interface Place {
  readonly who: PartyName | 'node' | 'other' | 'outside';
  readonly device: string;
  /** All, before anything is filtered; or these, behind the filter. */
  readonly protocols?: readonly number[];
}

export function agentInPod(namespace: TestNamespace, pod: string, container: string): Agent {
  const command = ['python3', '-u', '-c', agentSource, container];
  const talk = spawnKubectl(['-n', namespace.name, 'exec', '-i', pod, '-c', container, '--', ...command]);
  return new Agent(`${pod}/${container}`, talk);
}

export async function surroundings(namespace: TestNamespace, nodeName: string, service: string): Promise<Surroundings> {
  return {
    namespace,
    nodeName,
    node: agentOnNode(nodeName),
    outside: agentOnNode('outside'),
    other: agentInPod(namespace, 'other', 'other'),
    otherPod: await namespace.get<Pod>('pods', 'other'),
    serviceIP: await clusterIP(namespace, service),
  };
}

async function clusterIP(namespace: TestNamespace, service: string): Promise<string> {
  return (await namespace.get<{ spec: { clusterIP: string } }>('services', service)).spec.clusterIP;
}

export async function arena(
  around: Surroundings,
  pods: Readonly<Record<PartyName, Pod>>,
  webService: string,
): Promise<Arena> {
  const { namespace, nodeName } = around;
  const links = JSON.parse(await onNode(nodeName, ['ip', '-json', 'address', 'show'])) as readonly Link[];
  const attacker = await interfacesOf(namespace, pods.statsd);
  const [eth0, net1] = [byIndex(links, attacker.eth0.peer), byIndex(links, attacker.net1.peer)];
  const bridge = links.find(({ ifname }) => ifname === net1.master);
  if (bridge === undefined) throw new Error(`${net1.ifname} is on no bridge`);
  const nodeLink = links.find(({ ifname }) => ifname === 'eth0');
  const macs = Object.fromEntries(
    await Promise.all(
      parties.map(async (name) => [name, (await interfacesOf(namespace, pods[name])).net1.mac] as const),
    ),
  );
  const agents = Object.fromEntries(
    parties.map((name) => [name, agentInPod(namespace, pods[name].metadata.name, name)]),
  ) as unknown as Record<PartyName, Agent>;
  const party = (name: PartyName): Party => ({
    ...peerPair(pods[name]),
    mac: macs[name]!,
    podIPs: pairOf(podIPs(pods[name])),
  });
  const [otherIP, otherIP6] = pairOf(podIPs(around.otherPod));
  return {
    ...around,
    ...agents,
    pods,
    webServiceIP: await clusterIP(namespace, webService),
    devices: { bridge: bridge.ifname, net1: net1.ifname, eth0: eth0.ifname },
    world: {
      web: party('web'),
      cache: party('cache'),
      statsd: { ...party('statsd'), eth0Mac: attacker.eth0.mac },
      other: { ipv4: otherIP, ipv6: otherIP6 },
      outside: globalPair(
        JSON.parse(await onNode('outside', ['ip', '-json', 'address', 'show', 'dev', 'eth0'])) as Link[],
      ),
      node: {
        ...globalPair(nodeLink === undefined ? [] : [nodeLink]),
        bridgeMac: bridge.address,
        bridgeLinkLocal: bridge.addr_info.find(({ scope }) => scope === 'link')?.local ?? '',
      },
      // Each Pod has a link of its own to the node, which routes.
      nextHop: { web: eth0.address, other: eth0.address, node: eth0.address },
      serviceIP: around.serviceIP,
    },
    ears: {
      'web net1': { who: 'web', device: 'net1' },
      'web eth0': { who: 'web', device: 'eth0' },
      'peer bridge': { who: 'node', device: bridge.ifname },
      'peer port': { who: 'node', device: net1.ifname, protocols: [etherTypes.lldp] },
      'pod link': { who: 'node', device: eth0.ifname, protocols: Object.values(etherTypes) },
      'next to eth0': { who: 'node', device: eth0.ifname, protocols: Object.values(etherTypes) },
      'other eth0': { who: 'other', device: 'eth0' },
      'outside eth0': { who: 'outside', device: 'eth0' },
    },
  };
}

/** linux/if_ether.h; the last one is the kernel's own number for frames with a length in place of a type. */
const etherTypes = { ip: 0x0800, arp: 0x0806, vlan: 0x8100, ip6: 0x86dd, lldp: 0x88cc, llc: 0x0004 };

export async function listenInArena({ ears, ...arena }: Arena): Promise<void> {
  for (const { who, device, protocols } of Object.values(ears)) {
    for (const each of protocols?.map((protocol) => ({ protocol })) ?? [{}]) {
      await arena[who].must('sniff', { interface: device, ...each });
    }
  }
}

/** Of iproute2's JSON. */
interface Link {
  readonly ifname: string;
  readonly ifindex: number;
  readonly address: string;
  readonly master?: string;
  readonly addr_info: readonly { readonly local: string; readonly scope: string }[];
}

interface Interface {
  /** Index of the node's end. */
  readonly peer: number;
  readonly mac: string;
}

async function interfacesOf(namespace: TestNamespace, pod: Pod): Promise<Readonly<Record<'eth0' | 'net1', Interface>>> {
  const files = ['eth0', 'net1'].flatMap((name) =>
    ['iflink', 'address'].map((file) => `/sys/class/net/${name}/${file}`),
  );
  const container = pod.spec.containers[0]!.name;
  const read = succeeded(await namespace.exec(pod.metadata.name, container, ['cat', ...files])).trim();
  const [eth0 = '', eth0Mac = '', net1 = '', net1Mac = ''] = read.split('\n');
  return { eth0: { peer: Number(eth0), mac: eth0Mac }, net1: { peer: Number(net1), mac: net1Mac } };
}

function byIndex(links: readonly Link[], index: number): Link {
  const found = links.find(({ ifindex }) => ifindex === index);
  if (found === undefined) throw new Error(`the node has no device ${index}`);
  return found;
}

function peerPair(pod: Pod): { readonly ipv4: string; readonly ipv6: string } {
  const networks = JSON.parse(pod.metadata.annotations?.[networkStatusAnnotation] ?? '[]') as readonly {
    readonly interface?: string;
    readonly ips?: readonly string[];
  }[];
  const [ipv4, ipv6] = pairOf(networks.find((network) => network.interface === peerInterface)?.ips ?? []);
  return { ipv4, ipv6 };
}

function globalPair(links: readonly Link[]): { readonly ipv4: string; readonly ipv6: string } {
  const global = links.flatMap(({ addr_info }) => addr_info.filter(({ scope }) => scope === 'global'));
  const [ipv4, ipv6] = pairOf(global.map(({ local }) => local));
  return { ipv4, ipv6 };
}

function pairOf(addresses: readonly string[]): readonly [string, string] {
  const ipv4 = addresses.find((address) => !address.includes(':'));
  const ipv6 = addresses.find((address) => address.includes(':'));
  if (ipv4 === undefined || ipv6 === undefined) throw new Error(`not of both families: ${addresses.join(', ')}`);
  return [ipv4, ipv6];
}
