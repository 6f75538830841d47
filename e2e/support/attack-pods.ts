// The Pods of the attack arena, and what is around them in their namespace. What a victim has in common with too many Pods is
// that its containers are root and see each other's processes, where the mode lets them.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { networksAnnotation } from '../../controller/api/names.ts';
import { imageReference } from '../../hack/images/recipes.ts';
import { barePod, splitMode } from './agents.ts';
import type { Mode, Variant } from './attack-catalogue.ts';
import { isolateMode } from './isolated.ts';
import type { TestNamespace } from './namespace.ts';
import { nad } from './tampering.ts';

export const containers = ['app', 'attacker', 'helper'] as const;
export type ContainerName = (typeof containers)[number];

const programs = 'attack-programs';
export const source = (name: string): string => readFileSync(join(import.meta.dirname, name), 'utf8');
const account = 'sidecar';
const users: Readonly<Record<ContainerName, number>> = { app: 1001, helper: 1002, attacker: 1003 };
const flows = [
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
export const shared = {
  attacker: ['10.99.8.2/24', 'fd99:8::2/64'],
  other: ['10.99.8.3/24', 'fd99:8::3/64'],
  claimed: { ipv4: '10.99.8.4', ipv6: 'fd99:8::4', mac: '02:00:5e:00:53:04' },
} as const;

/** What the three have in common. */
export function surroundings(node: string, bridge: string, secret: string): readonly object[] {
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

export function service(name: string, port = 7002) {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { selector: { app: name }, ports: [{ port }] },
  };
}

/** The attacker's container may call the app by its flows, and nobody else. The plain Pod has it too, where it means nothing. */
export function policy(mode: Mode) {
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

export interface Making {
  readonly node: string;
  readonly secret: string;
  readonly otherIP: string;
}

/** Root, with what a runtime gives by default, unless the mode asks for other users. */
export function victimPod(mode: Mode, { node, secret, otherIP }: Making, variant?: Variant) {
  const user = (name: ContainerName): number => (mode === 'isolate' ? users[name] : 0);
  const capabilities = variant === 'net-raw' ? { drop: ['ALL'], add: ['NET_RAW'] } : { drop: ['ALL'] };
  const race = ['/programs/attacker.py', 'race', '$(POD_IPS)', mode === 'split' ? 'net1' : 'none'];
  const started = containers.map((name) => ({
    ...container(name, secret, user(name), {
      ...(mode === 'isolate' ? { securityContext: { allowPrivilegeEscalation: false, capabilities } } : {}),
      limited: mode !== 'plain' && variant !== 'unlimited',
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
  const shareProcesses = mode === 'plain' || variant === 'shared-processes';
  return barePod(
    variant === undefined ? mode : 'mine',
    { ...podSpec(node), ...(shareProcesses ? { shareProcessNamespace: true } : {}), containers: withMounts },
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
