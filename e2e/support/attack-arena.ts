// Where the attacks of e2e/attacks are made: one Pod, three times, as it is, isolated and split; another workload's Pod, and the
// world outside. What the Pod has in common with too many is that its containers are root and see each other's processes,
// where the mode lets them.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { networksAnnotation, ownLabels } from '../../controller/api/names.ts';
import { imageReference } from '../../hack/images/recipes.ts';
import { spawnKubectl } from '../../hack/demo/command.ts';
import { Agent } from '../attack/agent.ts';
import { barePod, splitMode, succeeded } from './agents.ts';
import type { Mode } from './attack-catalogue.ts';
import { eventually, patience } from './eventually.ts';
import { isolatedPod, isolateMode } from './isolated.ts';
import { listAll, TestNamespace } from './namespace.ts';
import { addressesOutside, enterScript, inNetns, onNode } from './node.ts';
import { podIPs, type KubeObject, type Pod, type PodSplit } from './objects.ts';
import { peerAddresses, podSplitOf, readySplitPods } from './pieces.ts';
import { nad, nadKind } from './tampering.ts';

export const containers = ['app', 'attacker', 'helper'] as const;
type ContainerName = (typeof containers)[number];

/** The Pod in one mode, with what an attacker there may know. */
export interface Scene {
  readonly mode: Mode;
  readonly namespace: TestNamespace;
  readonly pods: Readonly<Record<ContainerName | 'other' | 'neighbour', Pod>>;
  /** Of scripts; see attack-catalogue.ts. */
  readonly values: Readonly<Record<string, string>>;
  /** shell.py in each. */
  readonly shells: Readonly<Record<ContainerName | 'other' | 'neighbour', Agent>>;
  readonly seenOutside: string;
}

export interface Arena {
  readonly scenes: Readonly<Record<Mode, Scene>>;
  readonly close: () => Promise<void>;
}

const programs = 'attack-programs';
const source = (name: string): string => readFileSync(join(import.meta.dirname, name), 'utf8');
const account = 'sidecar';
const metadataAddress = '169.254.169.254/32';
const users: Readonly<Record<ContainerName, number>> = { app: 1001, helper: 1002, attacker: 1003 };
export const flows = [
  'app->helper:7101',
  'app->helper:7105',
  'app->helper:7106/udp',
  'helper->app:7004/udp',
  'attacker->app:7000',
  'attacker->app:7004/udp',
];

const ports: Readonly<Record<ContainerName, readonly object[]>> = {
  app: [{ containerPort: 7000 }, { containerPort: 7004, protocol: 'UDP' }],
  helper: [{ containerPort: 7101 }, { containerPort: 7105 }, { containerPort: 7106, protocol: 'UDP' }],
  attacker: [],
};

/** On a plain bridge, for what is done on a shared link: the plain Pod, and the other one as its neighbour. */
const shared = {
  attacker: ['10.99.8.2/24', 'fd99:8::2/64'],
  other: ['10.99.8.3/24', 'fd99:8::3/64'],
  claimed: { ipv4: '10.99.8.4', ipv6: 'fd99:8::4', mac: '02:00:5e:00:53:04' },
} as const;

export async function openArena(modes: readonly Mode[]): Promise<Arena> {
  const bridge = `e2e${randomBytes(4).toString('hex')}`;
  const secret = `s3cr3t${randomBytes(6).toString('hex')}`;
  const namespace = await TestNamespace.create('catalogue');
  const node = (await listAll<Pod>(['nodes']))[0]!.metadata.name;
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
    await namespace.apply(
      ...surroundings(node, bridge, secret),
      ...modes.flatMap((mode) => [service(mode), policy(mode)]),
    );
    await namespace.kubectl(['wait', '--for=condition=Ready', patience, 'pod/other']);
    const other = await namespace.get<Pod>('pod', 'other');
    await namespace.apply(...modes.map((mode) => victimPod(mode, node, secret, podIPs(other)[0]!)));
    const found = modes.map(async (mode) => {
      const pods = { ...(await podsOf(namespace, mode)), other };
      const made = await scene(mode, { namespace, pods, secret, bridge, seenOutside });
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
  const pod = mode === 'plain' ? await namespace.get<Pod>('pod', 'plain') : await isolatedPod(namespace, mode);
  return { app: pod, helper: pod, attacker: pod };
}

interface Stage {
  readonly namespace: TestNamespace;
  readonly pods: Readonly<Record<ContainerName | 'other', Pod>>;
  readonly secret: string;
  readonly bridge: string;
  readonly seenOutside: string;
}

async function scene(mode: Mode, stage: Stage): Promise<Scene> {
  const { namespace, pods, secret, seenOutside } = stage;
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
    SECRET: secret,
    IMAGE: imageReference('samples'),
    POD_IP: podIP,
    POD_IP6: podIP6,
    ...(await appAddresses(app)),
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
  return {
    mode,
    namespace,
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

/** Where flows reach the app, and the address of its interface that nobody gave it. */
async function appAddresses(app: Pod): Promise<Readonly<Record<string, string>>> {
  const peer = peerAddresses(app).filter(
    (address) => !address.startsWith('10.99.8.') && !address.startsWith('fd99:8:'),
  );
  const [ipv4, ipv6] = pairOf(peer.length === 0 ? podIPs(app) : peer);
  const listed = await inNetns(app, ['ip', '-json', '-6', 'address', 'show', 'dev', 'eth0', 'scope', 'link']);
  const [link] = JSON.parse(listed) as readonly {
    // Of each address that is left out, ip prints an empty object.
    readonly addr_info: readonly { readonly local?: string }[];
  }[];
  const linkLocal = link?.addr_info.find(({ local }) => local !== undefined)?.local;
  if (linkLocal === undefined) throw new Error(`${app.metadata.name} has no link-local address on eth0`);
  return { PEER_IP: ipv4, PEER_IP6: ipv6, LINK_LOCAL: linkLocal };
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
  const network = await namespace.get<KubeObject & { readonly spec: { readonly config: string } }>(nadKind, name);
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
  return (await namespace.get<{ spec: { clusterIP: string } }>('service', name)).spec.clusterIP;
}

function pairOf(addresses: readonly string[]): readonly [string, string] {
  const ipv4 = addresses.find((address) => !address.includes(':'));
  const ipv6 = addresses.find((address) => address.includes(':'));
  return [ipv4 ?? '', ipv6 ?? ''];
}

/** What the three have in common. */
function surroundings(node: string, bridge: string, secret: string): readonly object[] {
  const config = { cniVersion: '1.0.0', name: 'bare', type: 'bridge', bridge, capabilities: { ips: true } };
  const other = { ...container('other', secret, 0), args: ['/programs/victim.py', 'other'] };
  return [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: programs },
      data: { 'victim.py': source('victim.py'), 'attacker.py': source('attacker.py') },
    },
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'credentials' }, stringData: { password: secret } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: account } },
    ...rights,
    nad('bare', { ...config, ipam: { type: 'static' } }),
    service('other', 7300),
    barePod('other', { ...podSpec(node), containers: [other] }, onBridge(shared.other)),
  ];
}

/** As the app's account has them: too many. */
const api = 'rbac.authorization.k8s.io';
const rights = [
  {
    apiVersion: `${api}/v1`,
    kind: 'Role',
    metadata: { name: 'networks' },
    rules: [
      { apiGroups: ['k8s.cni.cncf.io'], resources: ['network-attachment-definitions'], verbs: ['*'] },
      { apiGroups: [''], resources: ['pods/ephemeralcontainers'], verbs: ['*'] },
    ],
  },
  ...[
    { kind: 'Role', name: 'networks' },
    { kind: 'ClusterRole', name: 'admin' },
  ].map((role) => ({
    apiVersion: `${api}/v1`,
    kind: 'RoleBinding',
    metadata: { name: role.name },
    roleRef: { apiGroup: api, ...role },
    subjects: [{ kind: 'ServiceAccount', name: account }],
  })),
];

/** The attacker's rights, wherever he took the token. */
export function asAttacker(namespace: TestNamespace): readonly string[] {
  return [
    `--as=system:serviceaccount:${namespace.name}:${account}`,
    ...['system:serviceaccounts', 'system:authenticated'].map((group) => `--as-group=${group}`),
  ];
}

function service(name: string, port = 7002) {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { selector: { app: name }, ports: [{ port }] },
  };
}

/** The attacker's container may call the app by its flows, and nobody else. The plain Pod has it too, where it means nothing. */
function policy(mode: Mode) {
  return {
    apiVersion: 'podsplit.io/v1alpha1',
    kind: 'ContainerNetworkPolicy',
    metadata: { name: mode },
    spec: {
      podSelector: { matchLabels: { app: mode } },
      containers: ['attacker'],
      policyTypes: ['Egress'],
      egress: [
        {
          to: [{ podSelector: { matchLabels: { app: mode } }, containers: ['app'] }],
          ports: [{ port: 7000 }, { port: 7004, protocol: 'UDP' }],
        },
      ],
    },
  };
}

function onBridge(ips: readonly string[]): Readonly<Record<string, string>> {
  return { [networksAnnotation]: JSON.stringify([{ name: 'bare', ips }]) };
}

function podSpec(node: string) {
  return {
    terminationGracePeriodSeconds: 0,
    nodeSelector: { 'kubernetes.io/hostname': node },
    serviceAccountName: account,
    volumes: [
      { name: 'programs', configMap: { name: programs } },
      ...[...containers, 'other'].map((name) => ({ name: `scratch-${name}`, emptyDir: {} })),
      { name: 'shared', emptyDir: { medium: 'Memory', sizeLimit: '8Mi' } },
      { name: 'private', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
      { name: 'credentials', secret: { secretName: 'credentials' } },
      { name: 'app-token', projected: { sources: [{ serviceAccountToken: { path: 'token', audience: 'app' } }] } },
    ],
  };
}

const unprivileged = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };

/** The default guards, whatever the namespace says. Of the containers the app alone is to have the account's token. */
const asked = {
  'podsplit.io/flows': flows.join(', '),
  'podsplit.io/token': 'app',
  'podsplit.io/guards': 'token,resources',
};

const annotations: Readonly<Record<Mode, Readonly<Record<string, string>>>> = {
  plain: onBridge(shared.attacker),
  isolate: { ...isolateMode, ...asked },
  split: { ...splitMode, ...asked, 'podsplit.io/install': 'node' },
};

/** Root, with what a runtime gives by default, unless the mode asks for other users. */
function victimPod(mode: Mode, node: string, secret: string, otherIP: string) {
  const user = (name: ContainerName): number => (mode === 'isolate' ? users[name] : 0);
  const race = ['/programs/attacker.py', 'race', '$(POD_IPS)', mode === 'split' ? 'net1' : 'none'];
  const started = containers.map((name) => ({
    ...container(name, secret, user(name), {
      ...(mode === 'isolate' ? { securityContext: unprivileged } : {}),
      limited: mode !== 'plain',
    }),
    args: name === 'attacker' ? race : ['/programs/victim.py', name],
    ports: ports[name],
  }));
  const withMounts = started.map((each) => ({
    ...each,
    env: [
      ...each.env,
      { name: 'OTHER4', value: otherIP },
      { name: 'POD_IPS', valueFrom: { fieldRef: { fieldPath: 'status.podIPs' } } },
    ],
    volumeMounts: [...each.volumeMounts, ...(mounts[each.name] ?? [])],
  }));
  return barePod(
    mode,
    { ...podSpec(node), ...(mode === 'plain' ? { shareProcessNamespace: true } : {}), containers: withMounts },
    annotations[mode],
  );
}

const sharedMount = { name: 'shared', mountPath: '/shared' };
const mounts: Readonly<Record<string, readonly object[]>> = {
  app: [
    sharedMount,
    { name: 'private', mountPath: '/private' },
    { name: 'credentials', mountPath: '/credentials' },
    { name: 'app-token', mountPath: '/app-token' },
  ],
  attacker: [sharedMount],
};

interface Manners {
  readonly securityContext?: object;
  /** As the guard of resources asks. */
  readonly limited?: boolean;
}

function container(name: string, secret: string, runAsUser: number, manners: Manners = {}) {
  const { securityContext = {}, limited = false } = manners;
  return {
    name,
    image: imageReference('samples'),
    command: ['python3'],
    // The attacker does not get it told.
    env: [
      { name: 'SEEN', value: '/scratch/seen' },
      ...(name === 'attacker' ? [] : [{ name: 'SECRET', value: secret }]),
    ],
    resources: {
      requests: { cpu: '5m', memory: '16Mi' },
      ...(limited ? { limits: { cpu: '1', memory: '512Mi' } } : {}),
    },
    securityContext: { runAsUser, ...securityContext },
    volumeMounts: [
      { name: 'programs', mountPath: '/programs' },
      { name: `scratch-${name}`, mountPath: '/scratch' },
    ],
  };
}

/** Until the app has written its first line: it has all that attacks aim at. */
export async function settled(scene: Scene): Promise<void> {
  await eventually(`the app of ${scene.mode} runs`, async () => {
    const script = ['sh', '-c', 'test -S /shared/app.sock && test -e /dev/shm/app-session'];
    succeeded(await scene.namespace.exec(scene.pods.app.metadata.name, 'app', script));
  });
}
