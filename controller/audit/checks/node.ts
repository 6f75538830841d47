import type { RefusalCode } from '../../api/refusal.ts';
import { indexed } from '../../split/checks/subject.ts';
import { type Atom, type Effect, type Severity, stays } from '../finding.ts';
import { type Outcome, refuses } from '../modes.ts';
import type { Member, Subject } from '../subject.ts';
import { mayBeRoot } from '../capabilities.ts';
import { addedEvidence, refusedCapability, severityOf } from './packets.ts';

export function privileged({ members, running, spec }: Subject): readonly Atom[] {
  const effect: Effect = { effect: 'refused', reason: 'No rule on its node holds a privileged container.' };
  return members
    .filter(({ powers }) => powers.privileged)
    .flatMap((actor): Atom[] => {
      const atom = {
        // In a user namespace its capabilities are over that alone; devices and mounts are the node's still.
        severity: spec.hostUsers === false ? ('high' as const) : ('critical' as const),
        actor: actor.name,
        evidence: [{ path: `${actor.path}.securityContext.privileged`, says: 'true' }],
        isolate: effect,
        split: effect,
      };
      return [
        { ...atom, victim: { kind: 'node' } },
        ...running
          .filter((victim) => victim !== actor)
          .map((victim): Atom => ({ ...atom, victim: { kind: 'container', name: victim.name } })),
      ];
    });
}

const toTheNode = ['SYS_ADMIN', 'SYS_MODULE', 'SYS_RAWIO', 'DAC_READ_SEARCH', 'BPF'];

export function nodeCapabilities(subject: Subject): readonly Atom[] {
  const { members, spec, modes } = subject;
  // Of a user namespace's own: the node's kernel asks for more.
  if (spec.hostUsers === false) return [];
  const wanted = spec.hostPID === true ? [...toTheNode, 'SYS_PTRACE'] : toTheNode;
  return members.flatMap((actor): Atom[] => {
    const held = wanted.find((capability) => actor.powers.holds(capability) !== 'none');
    if (held === undefined || actor.powers.privileged) return [];
    const severity = severityOf(actor.powers.holds(held), 'critical', 'high');
    if (severity === undefined) return [];
    const evidence = addedEvidence(actor, [...wanted, 'ALL']);
    return [
      {
        severity,
        actor: actor.name,
        victim: { kind: 'node', detail: evidence.map(({ says }) => says).join(', ') },
        evidence,
        isolate: capabilityEffect(modes.isolate, 'IdentityCapability', actor),
        split: capabilityEffect(modes.split, 'NetworkCapability', actor),
      },
    ];
  });
}

function capabilityEffect(mode: Outcome, code: RefusalCode, actor: Member): Effect {
  return refuses(mode, [code], `${actor.path}.securityContext.capabilities.add`)
    ? refusedCapability
    : stays('The container keeps its capabilities.');
}

export function hostPaths({ members, spec }: Subject): readonly Atom[] {
  const volumes = new Map(indexed(spec.volumes, 'spec.volumes').map(({ item, path }) => [item.name, { item, path }]));
  return members.flatMap((actor) =>
    indexed(actor.container.volumeMounts, `${actor.path}.volumeMounts`).flatMap(({ item: mount, path }): Atom[] => {
      const volume = volumes.get(mount.name);
      const onNode = volume?.item.hostPath?.path;
      if (volume === undefined || onNode === undefined) return [];
      const writes = mount.readOnly !== true;
      return [
        {
          severity: severityOfPath(onNode, writes, actor),
          actor: actor.name,
          victim: { kind: 'node', detail: `${writes ? 'writes' : 'reads'} ${onNode}` },
          techniques: techniquesOf(onNode, writes),
          evidence: [
            { path: `${volume.path}.hostPath.path`, says: onNode },
            { path, says: writes ? `${actor.name} mounts it, and not read-only` : `${actor.name} mounts it read-only` },
          ],
          isolate: stays('Only the network is isolated.'),
          split: stays('The piece that mounts it has it as before.'),
        },
      ];
    }),
  );
}

/** Whoever talks to one of these runs what he likes on the node; that a mount is read-only does not keep him from it. */
const runtimeSocket = /(^|\/)(docker|containerd|crio|cri-dockerd|podman|kubelet)\.sock$/;
const runtimeFolders = ['/', '/run', '/var/run'].flatMap((folder) =>
  folder === '/' ? [folder] : [folder, `${folder}/containerd`, `${folder}/crio`],
);

/** Whoever writes there decides what the node, or all its Pods, run. */
const controlling = [
  '/',
  '/bin',
  '/boot',
  '/dev',
  '/etc',
  '/home',
  '/lib',
  '/lib64',
  '/opt',
  '/proc',
  '/root',
  '/run',
  '/sbin',
  '/sys',
  '/usr',
  '/var',
  '/var/lib',
  '/var/run',
  '/var/spool/cron',
];
const controllingTrees = [
  '/etc/cron',
  '/etc/kubernetes',
  '/etc/systemd',
  '/opt/cni',
  '/etc/cni',
  '/root',
  '/run/containerd',
  '/var/lib/containerd',
  '/var/lib/containers',
  '/var/lib/docker',
  '/var/lib/etcd',
  '/var/lib/kubelet',
];

/** Whoever reads there has the credentials of the node, or of other Pods. */
const telling = ['/etc', '/home', '/root', '/var', '/var/lib'];
const tellingTrees = ['/etc/kubernetes', '/home', '/root', '/var/lib/etcd', '/var/lib/kubelet'];

function severityOfPath(path: string, writes: boolean, { powers }: Member): Severity {
  // Most of what is there only root reads, writes or connects to.
  const full = ['held', 'assumed'].includes(powers.holds('DAC_OVERRIDE')) || mayBeRoot(powers.user);
  const severity = severityAsRoot(path.length > 1 ? path.replace(/\/+$/, '') : path, writes);
  if (full || severity === 'medium') return severity;
  return severity === 'critical' ? 'high' : 'medium';
}

function severityAsRoot(path: string, writes: boolean): 'critical' | 'high' | 'medium' {
  if (runtimeSocket.test(path) || runtimeFolders.includes(path)) return 'critical';
  if (writes) return isOneOf(path, controlling, controllingTrees) ? 'critical' : 'high';
  return isOneOf(path, telling, tellingTrees) ? 'high' : 'medium';
}

function isOneOf(path: string, exact: readonly string[], trees: readonly string[]): boolean {
  return exact.includes(path) || trees.some((tree) => path === tree || path.startsWith(`${tree}/`));
}

function techniquesOf(path: string, writes: boolean): readonly string[] {
  if (!writes)
    return runtimeSocket.test(path) || runtimeFolders.includes(path) ? ['T1611', 'T1552.001'] : ['T1552.001'];
  return [
    'MS-TA9013',
    'T1611',
    ...(/^\/(var(\/log(\/|$))?\/?$|var\/log\/|$)/.test(path) ? ['MS-TA9021', 'T1070'] : []),
  ];
}

const hostNamespaces = {
  HostNetwork: { field: 'hostNetwork', severity: 'high' },
  HostPID: { field: 'hostPID', severity: 'high' },
  HostIPC: { field: 'hostIPC', severity: 'medium' },
} as const;

export function hostNamespace(rule: keyof typeof hostNamespaces): (subject: Subject) => readonly Atom[] {
  const { field, severity } = hostNamespaces[rule];
  const effect: Effect = {
    effect: 'refused',
    reason: `A Pod in a namespace of the node is not taken: remove ${field}.`,
  };
  return ({ running, spec }) =>
    spec[field] === true
      ? running.map((actor) => ({
          severity,
          actor: actor.name,
          victim: { kind: 'node' },
          evidence: [{ path: `spec.${field}`, says: 'true' }],
          isolate: effect,
          split: effect,
        }))
      : [];
}
