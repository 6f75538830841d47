import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import { waitName } from '../api/identity.ts';
import { ownAnnotations, startedFile, startedMountPath, startedVolumeName } from '../api/names.ts';
import { resourcesBeside } from './init-container.ts';
import type { Plan, SplitOptions } from './plan.ts';

/** The native sidecars of a Pod: pieces that start where they stand among its init containers, and end after all others. */
export function sidecarsOf({ siblings, startOrder }: Pick<Plan, 'siblings' | 'startOrder'>): Plan['siblings'] {
  return siblings.filter(({ name }) => startOrder.includes(name));
}

/**
 * The primary's init containers: the Pod's own, and in the place of each native sidecar one that ends when that has started
 * in its piece. So the kubelet keeps the Pod's order, of init containers and containers alike.
 */
export function startingContainers(plan: Plan, options: SplitOptions): readonly IContainer[] {
  const { primary, startOrder } = plan;
  const own = new Map(primary.initContainers.map((container) => [container.name, container]));
  return startOrder.map((name) => own.get(name) ?? waitContainer(name, plan, options));
}

/** Needs a file and its Pod IP: no network, no privilege and no user of its own; the restricted Pod Security Standard takes it. */
function waitContainer(sidecar: string, { primary }: Plan, options: SplitOptions): IContainer {
  return {
    name: waitName(sidecar),
    image: options.image,
    ...(options.imagePullPolicy === undefined ? {} : { imagePullPolicy: options.imagePullPolicy }),
    command: ['podsplit', 'wait', sidecar],
    env: [{ name: 'POD_IP', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'status.podIP' } } }],
    resources: resourcesBeside([primary.container, ...primary.initContainers]),
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ['ALL'] },
      privileged: false,
      readOnlyRootFilesystem: true,
      runAsGroup: 65532,
      runAsNonRoot: true,
      runAsUser: 65532,
      seccompProfile: { type: 'RuntimeDefault' },
    },
    volumeMounts: [{ name: startedVolumeName, mountPath: startedMountPath, readOnly: true }],
  };
}

/** The annotation that the waits read, as a file that the kubelet keeps current. */
export function startedVolumes(plan: Plan): readonly IVolume[] {
  if (sidecarsOf(plan).length === 0) return [];
  const fieldRef = { apiVersion: 'v1', fieldPath: `metadata.annotations['${ownAnnotations.started}']` };
  return [{ name: startedVolumeName, downwardAPI: { items: [{ path: startedFile, fieldRef }] } }];
}
