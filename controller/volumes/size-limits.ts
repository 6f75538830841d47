import { timestamp } from '../api/timestamp.ts';
import type { Clock } from '../kube/clock.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { KubeClient } from '../kube/client.ts';
import { isApiError } from '../kube/errors.ts';
import { resources, type Pod } from '../kube/resources.ts';
import type { Logger } from '../observability/log.ts';
import { hasEnded } from './collect.ts';
import type { Measure } from './measure-tree.ts';
import type { StorageLimit, VolumeRecord } from './volume-record.ts';
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
 * What the kubelet does with an emptyDir on disk that has outgrown its sizeLimit: it measures now and then, and fails the
 * Pod (pkg/kubelet/eviction, emptyDirLimitEviction). A phase that is final ends the Pod on its node; the controller ends the
 * siblings of a primary that has ended.
 *
 * A tree that is too large to be measured is over any limit: else it would be the way around it.
 */
export class SizeLimits {
  private readonly options: SizeLimitsOptions;
  /** Of the volumes that a round had no time for, the first. */
  private next: string | undefined;

  constructor(options: SizeLimitsOptions) {
    this.options = options;
  }

  async enforce(): Promise<void> {
    const { store, clock } = this.options;
    const end = clock.monotonic() + roundMs;
    const volumes = (await store.volumes()).filter(isLimited);
    const first = Math.max(
      0,
      volumes.findIndex((volume) => keyOf(volume) === this.next),
    );
    this.next = undefined;
    for (const volume of [...volumes.slice(first), ...volumes.slice(0, first)]) {
      if (clock.monotonic() >= end) {
        this.next = keyOf(volume);
        return;
      }
      await this.enforceOn(volume);
    }
  }

  private async enforceOn(volume: LimitedVolume): Promise<void> {
    const { store, log } = this.options;
    const { pod, name } = volume;
    try {
      const used = await store.used(volume);
      if (used?.kind === 'too slow') log.warn({ pod, volume: name }, 'a volume could not be measured in time');
      if (used?.kind === 'too large' || (used?.kind === 'bytes' && used.bytes > volume.sizeLimit.bytes)) {
        await evict(volume, used, this.options);
      }
    } catch (error) {
      // The other volumes' limits hold all the same.
      log.error({ err: error, pod, volume: name }, 'a limit could not be enforced');
    }
  }
}

interface LimitedVolume extends VolumeRecord {
  readonly sizeLimit: StorageLimit;
}

function isLimited(volume: VolumeRecord): volume is LimitedVolume {
  return volume.sizeLimit !== undefined;
}

function keyOf({ pod, name }: LimitedVolume): string {
  return `${pod.uid}/${name}`;
}

async function evict(
  volume: LimitedVolume,
  used: Measure,
  { client, events, clock, log }: SizeLimitsOptions,
): Promise<void> {
  const { pod } = volume;
  const message = messageOf(volume, used);
  try {
    const live: Pod = await client.get(resources.pods, pod);
    if (live.metadata.uid !== pod.uid || hasEnded(live)) return;
    await client.patch(resources.pods, pod, { type: 'strategic', body: failed(live, message, clock.now()) }, toStatus);
  } catch (error) {
    // Another has changed it, and the next round looks again; or it is gone.
    if (isApiError(error, 'Conflict', 'NotFound')) return;
    throw error;
  }
  log.warn(
    { pod, volume: volume.name, used, limit: volume.sizeLimit.bytes },
    'a Pod is evicted: its volume exceeds its limit',
  );
  events.event({ apiVersion: 'v1', kind: 'Pod', ...pod }, 'Warning', 'Evicted', message);
}

function messageOf({ name, sizeLimit }: LimitedVolume, used: Measure): string {
  return used.kind === 'bytes'
    ? // The kubelet's own words.
      `Usage of EmptyDir volume "${name}" exceeds the limit "${sizeLimit.text}". `
    : `EmptyDir volume "${name}" holds too many files to be measured against the limit "${sizeLimit.text}". `;
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
