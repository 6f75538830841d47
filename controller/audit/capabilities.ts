import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec';

/** Of a process of the container, as far as the manifest says. `unknown`: what the image says, which most often is root. */
export type User =
  { readonly kind: 'root' } | { readonly kind: 'other'; readonly uid?: number } | { readonly kind: 'unknown' };

/**
 * `held`: by its processes as they start. `assumed`: if its image runs as root, which nothing rules out. `obtainable`: by a
 * program of its image that is setuid or bears file capabilities. `allowPrivilegeEscalation: false` does not rule that out:
 * the runtime starts the container's first program with what is not dropped, and capabilities(7) lets a file keep what its
 * caller has, no_new_privs or not. Images that serve port 80 without root rest on it.
 */
export type Holding = 'held' | 'assumed' | 'obtainable' | 'none';

export interface Powers {
  readonly user: User;
  readonly privileged: boolean;
  holds(capability: string): Holding;
}

/** What containerd grants where nothing is said (pkg/oci, defaultUnixCaps). CRI-O leaves out NET_RAW and SYS_CHROOT. */
const granted = [
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'NET_RAW',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
] as const;

export function powersOf(container: IContainer, spec: IPodSpec): Powers {
  const own = container.securityContext ?? {};
  const privileged = own.privileged === true;
  const user = userOf(
    own.runAsUser ?? spec.securityContext?.runAsUser,
    own.runAsNonRoot ?? spec.securityContext?.runAsNonRoot,
  );
  const bounds = boundsOf(own.capabilities, privileged);
  return {
    user,
    privileged,
    holds: (capability) => {
      if (!bounds(capability)) return 'none';
      if (user.kind === 'root') return 'held';
      return user.kind === 'unknown' ? 'assumed' : 'obtainable';
    },
  };
}

function userOf(uid: number | undefined, nonRoot: boolean | undefined): User {
  if (uid === 0) return { kind: 'root' };
  if (uid !== undefined) return { kind: 'other', uid };
  return nonRoot === true ? { kind: 'other' } : { kind: 'unknown' };
}

/** Kubernetes hands the lists on, and the runtime applies them: ALL first, then one by one, the dropped ones last. */
function boundsOf(
  capabilities: { readonly add?: readonly string[]; readonly drop?: readonly string[] } | undefined,
  privileged: boolean,
): (capability: string) => boolean {
  if (privileged) return () => true;
  const add = new Set((capabilities?.add ?? []).map(plainName));
  const drop = new Set((capabilities?.drop ?? []).map(plainName));
  const start: readonly string[] = drop.has('ALL') ? [] : granted;
  const all = add.has('ALL') && !drop.has('ALL');
  return (capability) => (all || start.includes(capability) || add.has(capability)) && !drop.has(capability);
}

/** Some runtimes take the kernel's long form and lower case as well. */
export function plainName(capability: string): string {
  return capability.toUpperCase().replace(/^CAP_/, '');
}

/** Who says nothing is taken for root; two that are not root and say no more, for the same. */
export function mayBeSameUser(one: User, other: User): boolean {
  if (one.kind !== 'other' || other.kind !== 'other') return one.kind !== 'other' && other.kind !== 'other';
  return one.uid === other.uid;
}

/** Root, or taken for it. */
export function mayBeRoot({ kind }: User): boolean {
  return kind !== 'other';
}
