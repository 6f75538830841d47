import { timestamp } from '../api/timestamp.ts';
import type { Clock } from '../kube/clock.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { KubeClient } from '../kube/client.ts';
import { isApiError } from '../kube/errors.ts';
import { resources, type Pod } from '../kube/resources.ts';
import type { Logger } from '../observability/log.ts';
import type { LimitedVolume, VolumeStore } from './volume-store.ts';

export interface SizeLimitsOptions {
  readonly store: Pick<VolumeStore, 'limited' | 'used'>;
  readonly client: Pick<KubeClient, 'get' | 'patch'>;
  readonly events: Pick<EventRecorder, 'event'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Logger;
}

/**
 * What the kubelet does with an emptyDir on disk that has outgrown its sizeLimit: it measures now and then, and fails the
 * Pod (pkg/kubelet/eviction, emptyDirLimitEviction). A phase that is final ends the Pod on its node; the controller ends the
 * siblings of a primary that has ended.
 */
export async function enforceSizeLimits(options: SizeLimitsOptions): Promise<void> {
  for (const volume of await options.store.limited()) {
    try {
      const used = await options.store.used(volume);
      if (used !== undefined && used > volume.bytes) await evict(volume, used, options);
    } catch (error) {
      // The other volumes' limits hold all the same.
      options.log.error({ err: error, pod: volume.pod, volume: volume.name }, 'a limit could not be enforced');
    }
  }
}

async function evict(
  volume: LimitedVolume,
  used: number,
  { client, events, clock, log }: SizeLimitsOptions,
): Promise<void> {
  const { pod } = volume;
  // The kubelet's own words.
  const message = `Usage of EmptyDir volume "${volume.name}" exceeds the limit "${volume.sizeLimit}". `;
  try {
    const live: Pod = await client.get(resources.pods, pod);
    if (live.metadata.uid !== pod.uid || hasEnded(live)) return;
    await client.patch(resources.pods, pod, { type: 'strategic', body: failed(live, message, clock.now()) }, toStatus);
  } catch (error) {
    // Another has changed it, and the next round looks again; or it is gone.
    if (isApiError(error, 'Conflict', 'NotFound')) return;
    throw error;
  }
  log.warn({ pod, volume: volume.name, used, limit: volume.bytes }, 'a Pod is evicted: its volume exceeds its limit');
  events.event({ apiVersion: 'v1', kind: 'Pod', ...pod }, 'Warning', 'Evicted', message);
}

const toStatus = { subresource: 'status', fieldManager: 'podsplit-volumes' } as const;

/**
 * With the version it was read in: a Pod that has changed since is looked at again. The kubelet takes the phase over, and
 * writes reason and message anew, as nothing; the condition stays, and a Job's podFailurePolicy may name it (KEP-3329).
 */
function failed({ metadata: { uid, resourceVersion } }: Pod, message: string, now: number): object {
  const lastTransitionTime = timestamp(now);
  const condition = {
    type: 'DisruptionTarget',
    status: 'True',
    reason: 'SizeLimitExceeded',
    message,
    lastTransitionTime,
  };
  return {
    metadata: { uid, resourceVersion },
    status: { phase: 'Failed', reason: 'Evicted', message, conditions: [condition] },
  };
}

function hasEnded({ metadata, status }: Pod): boolean {
  return metadata.deletionTimestamp !== undefined || status?.phase === 'Succeeded' || status?.phase === 'Failed';
}
