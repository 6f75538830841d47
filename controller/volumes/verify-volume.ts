import { AgentError } from '../agent/agent-error.ts';
import type { PodIdentity } from '../agent/cni-request.ts';
import { verifyOrigin } from '../agent/verify-piece.ts';
import type { KubeClient } from '../kube/client.ts';
import type { LivePod } from '../reconcile/piece-pod.ts';
import { planOf } from '../reconcile/plan-of.ts';
import type { Plan, SplitOptions } from '../split/plan.ts';
import { emptyDirOf, storageLimitOf, type EmptyDir, type StorageLimit } from '../split/shared-volumes.ts';
import { isUid } from './requests.ts';
import { asVolumeError, VolumeError } from './volume-error.ts';

/** An emptyDir of a split Pod, and all that the driver has to know of it. */
export interface SharedVolume {
  readonly name: string;
  /** The primary, whose volume it is: its UID names the directory. */
  readonly pod: PodIdentity;
  readonly emptyDir: EmptyDir;
  readonly fsGroup: number | undefined;
  /** Of the whole Pod. */
  readonly storageLimit: StorageLimit | undefined;
}

/** None of it matters to which volumes a Pod has that was split. */
const options: SplitOptions = { image: '', maxContainers: 255, install: { byNetwork: new Map(), otherwise: 'node' } };

/**
 * The volume that this Pod may mount under this name. The caller names a Pod and a volume in it; whose directory that is, is
 * read live from what the controller made: the Pod is a piece, its primary is the one that owns it, and the plan of that
 * primary says that this container mounts an emptyDir of this name that is shared.
 *
 * @throws VolumeError
 */
export async function verifyVolume(
  identity: PodIdentity,
  name: string,
  node: string,
  client: KubeClient,
): Promise<SharedVolume> {
  const { pod, primary } = await verifyOrigin(identity, node, client).catch((error: unknown) => {
    throw error instanceof AgentError ? asVolumeError(error) : error;
  });
  return sharedVolumeOf(pod, primary, name);
}

/** @throws VolumeError where the plan of the primary gives this piece no shared volume of the name */
export function sharedVolumeOf(pod: LivePod, primary: LivePod, name: string): SharedVolume {
  const plan = planOf(primary, options);
  const emptyDir = plan === undefined ? undefined : plannedFor(pod, plan, name);
  if (plan === undefined || emptyDir === undefined || !isUid(primary.uid)) {
    const { namespace, name: primaryName } = primary;
    throw new VolumeError(
      'NotShared',
      `container ${pod.container} of Pod ${namespace}/${primaryName} mounts no emptyDir ${JSON.stringify(name)} that other pieces share`,
    );
  }
  return {
    name,
    pod: { namespace: primary.namespace, name: primary.name, uid: primary.uid },
    emptyDir,
    fsGroup: primary.raw.spec?.securityContext?.fsGroup,
    storageLimit: storageLimitOf(plan),
  };
}

function plannedFor(pod: LivePod, plan: Plan, name: string): EmptyDir | undefined {
  if (!plan.sharedVolumes.includes(name)) return undefined;
  const piece = [plan.primary, ...plan.siblings].find((one) => one.name === pod.container);
  const volume = piece?.volumes.find((one) => one.name === name);
  return volume === undefined ? undefined : emptyDirOf(volume, plan);
}
