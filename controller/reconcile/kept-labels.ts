import { isKeptLabel, keptLabels } from '../api/keys.ts';
import { visibleLabels } from '../split/downward-api.ts';
import type { LivePod } from './piece-pod.ts';

/**
 * What a sibling's labels have to become after somebody changed those of its Pod: mirrors of NetworkPolicies go by them.
 * For a merge patch: null takes a label away. Empty where all is as it should be.
 */
export function labelNews(primary: LivePod, sibling: LivePod): Readonly<Record<string, string | null>> {
  const wanted = keptLabels(visibleLabels(primary.raw));
  const stale = Object.keys(sibling.labels).filter((key) => isKeptLabel(key) && !Object.hasOwn(wanted, key));
  const changed = Object.entries(wanted).filter(([key, value]) => sibling.labels[key] !== value);
  return Object.fromEntries([...changed, ...stale.map((key): [string, null] => [key, null])]);
}
