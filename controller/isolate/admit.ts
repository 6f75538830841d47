import type { IPod } from 'kubernetes-models/v1/Pod';
import { guardsIn, type Guard } from '../api/guards.ts';
import { defaultSplitNetwork, userAnnotations } from '../api/names.ts';
import type { Refusal } from '../api/refusal.ts';
import type { ResourceDefaults } from '../api/resource-defaults.ts';
import { restrictedConflicts } from '../split/checks/restricted.ts';
import { fillResources } from '../split/fill-resources.ts';
import { harden } from '../split/harden.ts';
import type { Changed } from '../split/map-containers.ts';
import { missingResources } from '../split/missing-resources.ts';
import type { SplitOptions } from '../split/plan.ts';
import { annotationsOf, modeOf } from '../split/pod.ts';
import { restore } from '../split/removed.ts';
import { shapeOf } from '../split/shape.ts';
import { refused } from '../split/split.ts';
import { mistakenTokens } from '../split/token.ts';
import { judge, wantsIsolation } from './judge.ts';
import type { Judgement } from './plan.ts';

export interface AdmitOptions extends SplitOptions {
  /** Of Pods that do not say themselves. */
  readonly guards: readonly Guard[];
  /** By name of the SplitNetwork: those whose spec says so. */
  readonly resourceDefaults: ReadonlyMap<string, ResourceDefaults>;
}

export interface Admitted {
  /** The whole Pod as the guards have changed it; as it came where they have not. */
  readonly pod: IPod;
  readonly judgement: Judgement;
}

/**
 * `judge`, for a Pod that is not running yet: what the guards ask is written into it or refused.
 * Only here, and so never of a Pod that was admitted before: the controller, who judges each Pod again, calls `judge`.
 */
export function admit(given: IPod, options: AdmitOptions): Admitted {
  const whole = wholeOf(given);
  if (whole === undefined) return { pod: given, judgement: judge(given, options) };
  const { pod, reasons, refusals } = guard(whole, options);
  const judgement = judge(pod, options);
  switch (judgement.kind) {
    case 'left-alone':
      return { pod: given, judgement };
    case 'refused':
      return { pod: given, judgement: refused([...judgement.refusals, ...refusals]) };
    case 'split':
    case 'isolate':
      if (refusals.length > 0) return { pod: given, judgement: refused(refusals) };
      if (reasons.length === 0) return { pod: given, judgement };
      return { pod, judgement: { ...judgement, reasons: [...judgement.reasons, ...reasons] } };
  }
}

/** Undefined where `judge` has nothing to do with it, or says better what is wrong. */
function wholeOf(given: IPod): IPod | undefined {
  if (modeOf(given) === undefined) return undefined;
  const shape = shapeOf(given);
  if (shape.kind === 'invalid') return undefined;
  if (wantsIsolation(shape.pod)) return shape.pod;
  const restored = restore(shape.pod);
  return restored.kind === 'whole' ? restored.pod : undefined;
}

interface Guarded extends Changed {
  readonly refusals: readonly Refusal[];
}

function guard(whole: IPod, { guards: otherwise, resourceDefaults }: AdmitOptions): Guarded {
  const annotations = annotationsOf(whole);
  const guards = guardsIn(annotations[userAnnotations.guards], otherwise);
  const network = annotations[userAnnotations.network] ?? defaultSplitNetwork;
  const defaults = resourceDefaults.get(network);
  const filled = guards.includes('resources') && defaults ? fillResources(whole, defaults, network) : unchanged(whole);
  const hardened = guards.includes('hardening') ? harden(filled.pod) : unchanged(filled.pod);
  return {
    pod: hardened.pod,
    reasons: [...filled.reasons, ...hardened.reasons],
    refusals: [
      ...(guards.includes('token') ? mistakenTokens(whole) : []),
      ...(guards.includes('resources') ? missingResources(hardened.pod, guards) : []),
      ...(guards.includes('hardening') ? restrictedConflicts(hardened.pod) : []),
    ],
  };
}

function unchanged(pod: IPod): Changed {
  return { pod, reasons: [] };
}
