import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { isRestrictedCapability, restrictedConflicts } from './checks/restricted.ts';
import { mapContainers, type Changed } from './map-containers.ts';
import { specOf } from './pod.ts';

type SecurityContext = NonNullable<IContainer['securityContext']>;

/**
 * The guard `hardening`: what the restricted Pod Security Standard asks of a container and the container leaves open, written
 * into it. What it states stays, and `restrictedConflicts` says where that is against the standard. Nothing is ever widened, so
 * that a Pod stays admissible at each level at which it was.
 */
export function harden(pod: IPod): Changed {
  return mapContainers(pod, (container, path) => {
    const added = gapsOf(container, pod);
    if (added.length === 0) return { container };
    return {
      container: {
        ...container,
        securityContext: added.reduce<SecurityContext>(
          (context, { change }) => ({ ...context, ...change }),
          container.securityContext ?? {},
        ),
      },
      reason: {
        code: 'Hardened',
        piece: container.name,
        path: `${path}.securityContext`,
        message: `The guard hardening gives it ${added.map(({ what }) => what).join(', ')}.`,
      },
    };
  });
}

/** What each container leaves open: for people who have not asked for the guard. */
export function hardeningGaps(pod: IPod): Changed['reasons'] {
  return mapContainers(pod, (container, path) => {
    const open = gapsOf(container, pod);
    if (open.length === 0) return { container };
    return {
      container,
      reason: {
        code: 'NotHardened',
        piece: container.name,
        path: `${path}.securityContext`,
        message: `The restricted Pod Security Standard asks for ${open.map(({ what }) => what).join(', ')}.`,
      },
    };
  }).reasons;
}

/** By container: the fields of its security context that the guard would write. None where it would refuse the Pod. */
export function hardenedFields(pod: IPod): (container: IContainer) => readonly string[] {
  // Looked at when somebody asks: most Pods need no such advice.
  let isRefused: boolean | undefined;
  return (container) => {
    isRefused ??= restrictedConflicts(pod).length > 0;
    return isRefused ? [] : gapsOf(container, pod).flatMap(({ change }) => Object.keys(change));
  };
}

interface Gap {
  readonly what: string;
  readonly change: SecurityContext;
}

function gapsOf({ securityContext = {} }: IContainer, pod: IPod): readonly Gap[] {
  const shared = specOf(pod).securityContext ?? {};
  const gaps: Gap[] = [];
  if (securityContext.allowPrivilegeEscalation === undefined && !escalates(securityContext)) {
    gaps.push({ what: 'allowPrivilegeEscalation false', change: { allowPrivilegeEscalation: false } });
  }
  const { add = [], drop = [] } = securityContext.capabilities ?? {};
  if (!drop.includes('ALL') && add.every(isRestrictedCapability)) {
    const capabilities = { ...securityContext.capabilities, drop: [...drop, 'ALL'] };
    gaps.push({ what: 'capabilities.drop ALL', change: { capabilities } });
  }
  if ((securityContext.seccompProfile ?? shared.seccompProfile) === undefined) {
    gaps.push({ what: 'seccompProfile RuntimeDefault', change: { seccompProfile: { type: 'RuntimeDefault' } } });
  }
  const isRoot = (securityContext.runAsUser ?? shared.runAsUser) === 0;
  if ((securityContext.runAsNonRoot ?? shared.runAsNonRoot) === undefined && !isRoot) {
    gaps.push({ what: 'runAsNonRoot true', change: { runAsNonRoot: true } });
  }
  return gaps;
}

/** The API server refuses false beside either of them. */
function escalates({ privileged, capabilities }: SecurityContext): boolean {
  return privileged === true || (capabilities?.add ?? []).some((name) => /^(CAP_)?SYS_ADMIN$/.test(name));
}
