import type { IPod } from 'kubernetes-models/v1/Pod';
import { isRecord } from '../api/json.ts';
import { userAnnotations } from '../api/names.ts';
import type { SplitOptions } from '../split/plan.ts';
import { split } from '../split/split.ts';
import { isolate } from './isolate.ts';
import type { Judgement } from './plan.ts';

/**
 * The one decision of podsplit, in either mode: webhook, controller and CLI all ask here. Never throws, whatever the Pod
 * looks like.
 */
export function judge(pod: IPod, options: SplitOptions): Judgement {
  return wantsIsolation(pod) ? isolate(pod, options) : split(pod, options);
}

export function wantsIsolation(pod: unknown): boolean {
  const metadata = isRecord(pod) ? pod['metadata'] : undefined;
  const annotations = isRecord(metadata) ? metadata['annotations'] : undefined;
  return isRecord(annotations) && annotations[userAnnotations.mode] === 'isolate';
}
