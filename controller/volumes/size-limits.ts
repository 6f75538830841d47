import type { PodIdentity } from '../agent/cni-request.ts';
import { timestamp } from '../api/timestamp.ts';
import type { Clock } from '../kube/clock.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { KubeClient } from '../kube/client.ts';
import { isApiError } from '../kube/errors.ts';
import { resources, type Pod } from '../kube/resources.ts';
import type { Logger } from '../observability/log.ts';
import { hasEnded } from './collect.ts';
import { excessOf, type MeasuredVolume } from './excess.ts';
import type { VolumeRecord } from './volume-record.ts';
import type { VolumeStore } from './volume-store.ts';

export interface SizeLimitsOptions {
  readonly store: Pick<VolumeStore, 'volumes' | 'used'>;
  readonly client: Pick<KubeClient, 'get' | 'patch'>;
  readonly events: Pick<EventRecorder, 'event'>;
  readonly clock: Pick<Clock, 'now' | 'monotonic'>;
  readonly log: Logger;
}

/** Of one round. One that takes much longer would pass for stuck. */
const roundMs = 5 * 60_000;

/**
 * What the kubelet does with a Pod whose emptyDirs on disk have outgrown their sizeLimit, or its containers' limits on
 * ephemeral storage: it measures now and then, and fails the Pod (pkg/kubelet/eviction). A phase that is final ends the Pod on
 * its node; the controller ends the siblings of a primary that has ended.
 */
export class SizeLimits {
  private readonly options: SizeLimitsOptions;
  /** UID of the first Pod that a round had no time for. */
  private next: string | undefined;

  constructor(options: SizeLimitsOptions) {
    this.options = options;
  }

  async enforce(): Promise<void> {
    const { store, clock } = this.options;
    const end = clock.monotonic() + roundMs;
    const limited = (await store.volumes()).filter(
      ({ sizeLimit, storageLimit }) => sizeLimit !== undefined || storageLimit !== undefined,
    );
    const pods = [...Map.groupBy(limited, ({ pod }) => pod.uid)];
    const first = Math.max(
      0,
      pods.findIndex(([uid]) => uid === this.next),
    );
    this.next = undefined;
    for (const [uid, volumes] of [...pods.slice(first), ...pods.slice(0, first)]) {
      if (clock.monotonic() >= end) {
        this.next = uid;
        return;
      }
      await this.enforceOn(volumes);
    }
  }

  /** Volumes of one Pod. */
  private async enforceOn(volumes: readonly VolumeRecord[]): Promise<void> {
    try {
      const measured: MeasuredVolume[] = [];
      for (const volume of volumes) measured.push(...(await this.measured(volume)));
      const message = excessOf(measured);
      const [one] = measured;
      if (one !== undefined && message !== undefined) await evict(one.volume.pod, message, this.options);
    } catch (error) {
      // The other Pods' limits hold all the same.
      this.options.log.error({ err: error, pod: volumes[0]?.pod }, 'a limit could not be enforced');
    }
  }

  private async measured(volume: VolumeRecord): Promise<readonly MeasuredVolume[]> {
    const { store, log } = this.options;
    const used = await store.used(volume);
    if (used?.kind === 'too slow') {
      log.warn({ pod: volume.pod, volume: volume.name }, 'a volume could not be measured in time');
    }
    return used === undefined ? [] : [{ volume, used }];
  }
}

async function evict(
  pod: PodIdentity,
  message: string,
  { client, events, clock, log }: SizeLimitsOptions,
): Promise<void> {
  try {
    const live: Pod = await client.get(resources.pods, pod);
    if (live.metadata.uid !== pod.uid || hasEnded(live)) return;
    await client.patch(resources.pods, pod, { type: 'strategic', body: failed(live, message, clock.now()) }, toStatus);
  } catch (error) {
    // Another has changed it, and the next round looks again; or it is gone.
    if (isApiError(error, 'Conflict', 'NotFound')) return;
    throw error;
  }
  log.warn({ pod, why: message.trim() }, 'a Pod is evicted: its volumes exceed a limit');
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
