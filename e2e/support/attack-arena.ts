// Where the attacks of e2e/attacks are made: one Pod, three times, as it is, isolated and split; another workload's Pod, and the
// world outside.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { networksAnnotation, ownLabels } from '../../controller/api/names.ts';
import { imageReference } from '../../hack/images/recipes.ts';
import { spawnKubectl } from '../../hack/demo/command.ts';
import { Agent } from '../attack/agent.ts';
import { listAll } from './api.ts';
import { succeeded } from './agents.ts';
import type { Mode, Variant } from './attack-catalogue.ts';
import {
  containers,
  service,
  shared,
  source,
  surroundings,
  victimPod,
  type ContainerName,
  type Making,
} from './attack-pods.ts';
import { patience } from './eventually.ts';
import { isolatedPod } from './isolated.ts';
import { TestNamespace } from './namespace.ts';
import { addressesOutside, enterScript, inNetns, onNode } from './node.ts';
import { podIPs, type KubeObject, type Pod, type PodSplit } from './objects.ts';
import { peerAddresses, podSplitOf, readySplitPods } from './pieces.ts';
import { nadKind } from './tampering.ts';

/** The Pod in one mode, with what an attacker there may know. */
export interface Scene {
  readonly mode: Mode;
  readonly namespace: TestNamespace;
  readonly pods: Readonly<Record<ContainerName | 'other' | 'neighbour', Pod>>;
  /** Of scripts; see attack-catalogue.ts. */
  readonly values: Readonly<Record<string, string>>;
  /** The Pod once more, as `mine`, with this change. */
  readonly victim: (variant: Variant) => object;
  /** shell.py in each. */
  readonly shells: Readonly<Record<ContainerName | 'other' | 'neighbour', Agent>>;
  readonly seenOutside: string;
}

export interface Arena {
  readonly scenes: Readonly<Record<Mode, Scene>>;
  readonly close: () => Promise<void>;
}

const metadataAddress = '169.254.169.254/32';

export async function openArena(modes: readonly Mode[]): Promise<Arena> {
  const bridge = `e2e${randomBytes(4).toString('hex')}`;
  const secret = `s3cr3t${randomBytes(6).toString('hex')}`;
  const namespace = await TestNamespace.create('catalogue');
  const node = (await listAll<Pod>('nodes'))[0]!.metadata.name;
  const seenOutside = `/tmp/podsplit-${namespace.name}`;
  await onNode('outside', ['ip', 'address', 'replace', metadataAddress, 'dev', 'lo']);
  const environment = ['env', `SEEN=${seenOutside}`];
  const outside = spawn(enterScript, ['outside', ...environment, 'python3', '-c', source('victim.py'), 'outside'], {
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  const opened: Scene[] = [];
  const close = async (): Promise<void> => {
    outside.stdin.end();
    for (const { shells } of opened) for (const shell of Object.values(shells)) shell.end();
    await namespace.delete();
    await onNode('outside', ['ip', 'address', 'delete', metadataAddress, 'dev', 'lo']);
    await onNode('outside', ['rm', '-f', seenOutside]);
    // The bridge plugin makes it, and never takes it away.
    await onNode(node, ['ip', 'link', 'delete', bridge]).catch(() => undefined);
  };
  try {
    await namespace.apply(...surroundings(node, bridge, secret), ...modes.map((mode) => service(mode)));
    await namespace.kubectl(['wait', '--for=condition=Ready', patience, 'pod/other']);
    const other = await namespace.get<Pod>('pods', 'other');
    const making = { node, secret, otherIP: podIPs(other)[0]! };
    await namespace.apply(...modes.map((mode) => victimPod(mode, making)));
    const found = modes.map(async (mode) => {
      const pods = { ...(await podsOf(namespace, mode)), other };
      const made = await scene(mode, { namespace, pods, making, bridge, seenOutside });
      opened.push(made);
      return [mode, made] as const;
    });
    return { scenes: Object.fromEntries(await Promise.all(found)) as Arena['scenes'], close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function podsOf(namespace: TestNamespace, mode: Mode): Promise<Readonly<Record<ContainerName, Pod>>> {
  if (mode === 'split') {
    const [split] = await readySplitPods(namespace, mode, 1, containers);
    return Object.fromEntries(split!.pieces) as Record<ContainerName, Pod>;
  }
  if (mode === 'plain') await namespace.kubectl(['wait', '--for=condition=Ready', patience, 'pod/plain']);
  const pod = mode === 'plain' ? await namespace.get<Pod>('pods', 'plain') : await isolatedPod(namespace, mode);
  return { app: pod, helper: pod, attacker: pod };
}

interface Stage {
  readonly namespace: TestNamespace;
  readonly pods: Readonly<Record<ContainerName | 'other', Pod>>;
  readonly making: Making;
  readonly bridge: string;
  readonly seenOutside: string;
}

async function scene(mode: Mode, stage: Stage): Promise<Scene> {
  const { namespace, pods, making, seenOutside } = stage;
  const { app, attacker, other } = pods;
  const [podIP, podIP6] = pairOf(podIPs(app));
  const [otherIP, otherIP6] = pairOf(podIPs(other));
  const world = await addressesOutside();
  const inAttacker = async (script: string): Promise<string> =>
    succeeded(await namespace.exec(attacker.metadata.name, 'attacker', ['sh', '-c', script])).trim();
  const device = mode === 'isolate' ? 'eth0' : 'net1';
  const neighbour = await neighbourOf(mode, pods);
  const shells = Object.fromEntries(
    ([...containers, 'other'] as const).map((name) => [name, shellIn(namespace, pods[name].metadata.name, name)]),
  ) as Record<ContainerName | 'other', Agent>;
  const values = {
    A: 'python3 /programs/attacker.py',
    APP_COMMAND: 'python3 /programs/victim.py app',
    SEEN: '/scratch/seen',
    SECRET: making.secret,
    IMAGE: imageReference('samples'),
    POD_IP: podIP,
    POD_IP6: podIP6,
    ...(await appAddresses(app, device)),
    ATTACKER_IP: pairOf(podIPs(attacker))[0],
    SERVICE: await clusterIP(namespace, mode),
    NEXT_HOP_MAC: await macOfNext(attacker, await inAttacker('cat /sys/class/net/eth0/iflink')),
    OTHER_IP: otherIP,
    OTHER_IP6: otherIP6,
    OTHER_SERVICE: await clusterIP(namespace, 'other'),
    NODE_IP: pairOf((attacker.status.hostIPs ?? []).map(({ ip }) => ip))[0],
    OUTSIDE_IP: world.ipv4,
    OUTSIDE_IP6: world.ipv6,
    DNS: await inAttacker("sed -n 's/^nameserver //p' /etc/resolv.conf | head -1"),
    DEVICE: device,
    TALK_DEVICE: mode === 'split' ? 'net1' : 'lo',
    OWN_MAC: await inAttacker(`cat /sys/class/net/${device}/address`),
    ...neighbour.values,
    NAMESPACE: namespace.name,
    POD: attacker.metadata.name,
    APP_POD: app.metadata.name,
    NAD_KIND: nadKind,
    ...(await networkOf(mode, stage)),
    ...(mode === 'plain'
      ? { IDENTITY_KEY: 'app', IDENTITY: 'plain', WIRING_KEY: networksAnnotation, WIRING: 'bare' }
      : {
          IDENTITY_KEY: ownLabels.split,
          IDENTITY: attacker.metadata.labels?.[ownLabels.split] ?? '0123456789',
          WIRING_KEY: 'podsplit.io/wiring',
          WIRING: '{}',
        }),
  };
  const missing = Object.keys(values).filter((name) => values[name as keyof typeof values] === '');
  if (missing.length > 0)
    throw new Error(`${mode}: nothing is known of ${missing.join(', ')}: attacks would aim at nothing`);
  return {
    mode,
    namespace,
    victim: (variant) => victimPod(mode, making, variant),
    pods: { ...pods, neighbour: neighbour.pod },
    values,
    shells: { ...shells, neighbour: shells[neighbour.pod === other ? 'other' : 'app'] },
    seenOutside,
  };
}

function shellIn(namespace: TestNamespace, pod: string, name: string): Agent {
  const argv = ['-n', namespace.name, 'exec', '-i', pod, '-c', name, '--', 'python3', '-u', '-c', source('shell.py')];
  return new Agent(`${pod}/${name}`, spawnKubectl(argv));
}

/** Where flows reach the app, and the address of the attacked interface that nobody gave it. */
async function appAddresses(app: Pod, device: string): Promise<Readonly<Record<string, string>>> {
  const peer = peerAddresses(app).filter(
    (address) => !address.startsWith('10.99.8.') && !address.startsWith('fd99:8:'),
  );
  const [ipv4, ipv6] = pairOf(peer.length === 0 ? podIPs(app) : peer);
  const listed = await inNetns(app, ['ip', '-json', '-6', 'address', 'show', 'dev', device, 'scope', 'link']);
  const found = JSON.parse(listed) as readonly {
    // Of each address that is left out, ip prints an empty object.
    readonly addr_info?: readonly { readonly local?: string }[];
  }[];
  const linkLocal = found[0]?.addr_info?.find(({ local }) => local !== undefined)?.local;
  // Where podsplit lets the kernel make none, the one that it would have made.
  return { PEER_IP: ipv4, PEER_IP6: ipv6, LINK_LOCAL: linkLocal ?? linkLocalOf(await macOf(app, device)) };
}

/** RFC 4291, appendix A. */
function linkLocalOf(mac: string): string {
  const [first, ...rest] = mac.split(':').map((octet) => Number.parseInt(octet, 16));
  const octets = [first! ^ 2, ...rest.slice(0, 2), 0xff, 0xfe, ...rest.slice(2)];
  const groups = [0, 2, 4, 6].map((index) => ((octets[index]! << 8) | octets[index + 1]!).toString(16));
  return `fe80::${groups.join(':')}`;
}

/** Who is on a link with the attacker, and in whose name he speaks there. Isolated he has none, and is given the other Pod. */
async function neighbourOf(
  mode: Mode,
  { app, helper, other }: Stage['pods'],
): Promise<{ readonly pod: Pod; readonly values: Readonly<Record<string, string>> }> {
  const named = (address: readonly string[], mac: string, port: number) => ({
    NEIGHBOUR_IP: address[0]!,
    NEIGHBOUR_IP6: address[1]!,
    NEIGHBOUR_MAC: mac,
    NEIGHBOUR_PORT: String(port),
  });
  const claim = (ipv4: string, ipv6: string, mac: string) => ({
    CLAIMED_IP: ipv4,
    CLAIMED_IP6: ipv6,
    CLAIMED_MAC: mac,
  });
  if (mode === 'split') {
    const [ipv4, ipv6] = pairOf(peerAddresses(helper));
    return {
      pod: app,
      values: {
        ...named(pairOf(peerAddresses(app)), await macOf(app, 'net1'), 7004),
        ...claim(ipv4, ipv6, await macOf(helper, 'net1')),
      },
    };
  }
  const { ipv4, ipv6, mac } = shared.claimed;
  const addresses = mode === 'plain' ? shared.other.map((address) => address.split('/')[0]!) : pairOf(podIPs(other));
  const device = mode === 'plain' ? 'net1' : 'eth0';
  return { pod: other, values: { ...named(addresses, await macOf(other, device), 7300), ...claim(ipv4, ipv6, mac) } };
}

/** Isolated there is none: the attacker tries names that podsplit would give one. */
async function networkOf(mode: Mode, { namespace, pods, bridge }: Stage): Promise<Readonly<Record<string, string>>> {
  if (mode === 'plain') return { NAD: 'bare', BRIDGE: bridge };
  if (mode === 'isolate') return { NAD: 'podsplit-none', BRIDGE: 'ps-000000000000' };
  const { spec } = (await podSplitOf(namespace, pods.app)) as PodSplit & {
    readonly spec: { readonly networkAttachmentDefinition: string };
  };
  const name = spec.networkAttachmentDefinition;
  const network = await namespace.get<KubeObject & { readonly spec: { readonly config: string } }>(
    'networkAttachmentDefinitions',
    name,
  );
  return { NAD: name, BRIDGE: /"(ps-[0-9a-f]{12})"/.exec(network.spec.config)![1]! };
}

async function macOf(pod: Pod, device: string): Promise<string> {
  return (await links(() => inNetns(pod, ['ip', '-json', 'link', 'show', 'dev', device])))[0]!.address;
}

/** The node's end of its eth0. */
async function macOfNext(pod: Pod, index: string): Promise<string> {
  const all = await links(() => onNode(pod.spec.nodeName!, ['ip', '-json', 'link', 'show']));
  return all.find(({ ifindex }) => ifindex === Number(index))!.address;
}

interface Link {
  readonly ifindex: number;
  readonly address: string;
}

async function links(list: () => Promise<string>): Promise<readonly Link[]> {
  return JSON.parse(await list()) as readonly Link[];
}

async function clusterIP(namespace: TestNamespace, name: string): Promise<string> {
  return (await namespace.get<{ spec: { clusterIP: string } }>('services', name)).spec.clusterIP;
}

function pairOf(addresses: readonly string[]): readonly [string, string] {
  const ipv4 = addresses.find((address) => !address.includes(':'));
  const ipv6 = addresses.find((address) => address.includes(':'));
  return [ipv4 ?? '', ipv6 ?? ''];
}
