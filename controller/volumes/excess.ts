import type { Measure } from './measure-tree.ts';
import type { VolumeRecord } from './volume-record.ts';

export interface MeasuredVolume {
  readonly volume: VolumeRecord;
  readonly used: Measure;
}

/**
 * Which limit the volumes of one Pod exceed, in the kubelet's own words (pkg/kubelet/eviction, emptyDirMessageFmt and
 * podEphemeralStorageMessageFmt); undefined where they exceed none. A tree that is too large to be measured is over any
 * limit: else it would be the way around it. Of one that could not be measured in time nothing is known.
 */
export function excessOf(measured: readonly MeasuredVolume[]): string | undefined {
  const first = measured.map(ownExcess).find((message) => message !== undefined);
  if (first !== undefined) return first;
  const limit = measured[0]?.volume.storageLimit;
  const together = measured.reduce((sum, { used }) => sum + (used.kind === 'bytes' ? used.bytes : 0), 0);
  return limit !== undefined && together > limit.bytes
    ? `Pod ephemeral local storage usage exceeds the total limit of containers ${limit.text}. `
    : undefined;
}

function ownExcess({ volume: { name, sizeLimit, storageLimit }, used }: MeasuredVolume): string | undefined {
  const limit = sizeLimit ?? storageLimit;
  if (used.kind === 'too large' && limit !== undefined) {
    return `EmptyDir volume "${name}" holds too many files to be measured against the limit "${limit.text}". `;
  }
  return used.kind === 'bytes' && sizeLimit !== undefined && used.bytes > sizeLimit.bytes
    ? `Usage of EmptyDir volume "${name}" exceeds the limit "${sizeLimit.text}". `
    : undefined;
}
