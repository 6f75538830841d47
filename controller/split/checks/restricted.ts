import type { IPod } from 'kubernetes-models/v1/Pod';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import { userAnnotations } from '../../api/names.ts';
import type { Refusal } from '../../api/refusal.ts';
import { appArmorContainer } from '../app-armor.ts';
import { annotationsOf, specOf } from '../pod.ts';
import { calls } from './probes.ts';
import { allContainers, indexed } from './subject.ts';

/**
 * Where a Pod states what the restricted Pod Security Standard does not allow: whoever asks for the guard `hardening` is told
 * so, since forcing it would break the container. What the baseline standard forbids is among it.
 *
 * https://kubernetes.io/docs/concepts/security/pod-security-standards/
 */
export function restrictedConflicts(pod: IPod): readonly Refusal[] {
  return conflictsOf(pod).map(({ path, message }) => ({
    code: 'HardeningConflict',
    path,
    message: `${message}: the restricted Pod Security Standard does not allow it.`,
    action: `Remove it, or leave "hardening" out of ${userAnnotations.guards}.`,
  }));
}

export function isRestrictedCapability(name: string): boolean {
  return name === 'NET_BIND_SERVICE';
}

interface Conflict {
  readonly path: string;
  readonly message: string;
}

function conflictsOf(pod: IPod): readonly Conflict[] {
  const spec = specOf(pod);
  const { securityContext = {} } = spec;
  return [
    ...contextConflicts(securityContext, 'spec.securityContext', 'The Pod'),
    ...indexed(securityContext.sysctls, 'spec.securityContext.sysctls')
      .filter(({ item }) => !safeSysctls.has(item.name))
      .map(({ item, path }) => ({ path, message: `The Pod sets sysctl ${item.name}` })),
    ...appArmorConflicts(pod),
    ...indexed(spec.volumes, 'spec.volumes').flatMap(({ item, path }) => volumeConflicts(item, path)),
    ...allContainers(spec).flatMap(({ container, path }) => {
      const who = `Container ${JSON.stringify(container.name)}`;
      const context = container.securityContext ?? {};
      return [
        ...contextConflicts(context, `${path}.securityContext`, who),
        ...indexed(context.capabilities?.add, `${path}.securityContext.capabilities.add`)
          .filter(({ item }) => !isRestrictedCapability(item))
          .map(({ item, path }) => ({ path, message: `${who} adds ${item}` })),
        ...indexed(container.ports, `${path}.ports`)
          .filter(({ item }) => (item.hostPort ?? 0) > 0)
          .map(({ item, path }) => ({
            path: `${path}.hostPort`,
            message: `${who} takes port ${item.hostPort ?? 0} of its node`,
          })),
        ...calls(container, path)
          .filter(({ host }) => (host ?? '') !== '')
          .map(({ host = '', hostPath }) => ({
            path: hostPath,
            message: `${who} has the kubelet call ${JSON.stringify(host)}`,
          })),
      ];
    }),
  ];
}

/** Deprecated since Kubernetes 1.30, and honoured still where the field says nothing. */
function appArmorConflicts(pod: IPod): readonly Conflict[] {
  return Object.entries(annotationsOf(pod)).flatMap(([key, profile]): Conflict[] => {
    const container = appArmorContainer(key);
    if (container === undefined || profile === '' || profile === 'runtime/default') return [];
    if (profile.startsWith('localhost/')) return [];
    const message = `Container ${JSON.stringify(container)} has no AppArmor profile`;
    return [{ path: `metadata.annotations[${key}]`, message }];
  });
}

/** Fields that a Pod and its containers have in common, and those of containers alone: a Pod has none of these. */
interface Context {
  readonly allowPrivilegeEscalation?: boolean | undefined;
  readonly privileged?: boolean | undefined;
  readonly procMount?: string | undefined;
  readonly runAsNonRoot?: boolean | undefined;
  readonly runAsUser?: number | undefined;
  readonly seccompProfile?: { readonly type: string } | undefined;
  readonly appArmorProfile?: { readonly type: string } | undefined;
  readonly seLinuxOptions?:
    | { readonly type?: string | undefined; readonly user?: string | undefined; readonly role?: string | undefined }
    | undefined;
}

function contextConflicts(context: Context, path: string, who: string): readonly Conflict[] {
  const { seLinuxOptions: { type = '', user = '', role = '' } = {} } = context;
  const found: readonly (readonly [boolean, string, string])[] = [
    [context.allowPrivilegeEscalation === true, 'allowPrivilegeEscalation', 'may gain privileges'],
    [context.privileged === true, 'privileged', 'is privileged'],
    [context.procMount !== undefined && context.procMount !== 'Default', 'procMount', 'sees an unmasked /proc'],
    [context.runAsNonRoot === false, 'runAsNonRoot', 'states that it may run as root'],
    [context.runAsUser === 0, 'runAsUser', 'runs as root'],
    [context.seccompProfile?.type === 'Unconfined', 'seccompProfile', 'has no seccomp profile'],
    [context.appArmorProfile?.type === 'Unconfined', 'appArmorProfile', 'has no AppArmor profile'],
    [!seLinuxTypes.includes(type) || user !== '' || role !== '', 'seLinuxOptions', 'chooses its SELinux label'],
  ];
  return found
    .filter(([conflicts]) => conflicts)
    .map(([, field, what]) => ({ path: `${path}.${field}`, message: `${who} ${what}` }));
}

const seLinuxTypes: readonly string[] = [
  '',
  'container_t',
  'container_init_t',
  'container_kvm_t',
  'container_engine_t',
];

const safeSysctls: ReadonlySet<string> = new Set([
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.ip_local_reserved_ports',
  'net.ipv4.ip_unprivileged_port_start',
  'net.ipv4.ping_group_range',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_rmem',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.tcp_wmem',
]);

const volumeKinds: readonly string[] = [
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
];

/** The standard lists what is allowed: a kind that is newer than it is not. */
function volumeConflicts(volume: IVolume, path: string): readonly Conflict[] {
  return Object.keys(volume)
    .filter((key) => key !== 'name' && !volumeKinds.includes(key))
    .map((kind) => ({ path: `${path}.${kind}`, message: `Volume ${JSON.stringify(volume.name)} is a ${kind}` }));
}
