import type { RuleId } from './rules.ts';

export const severities = ['critical', 'high', 'medium', 'low'] as const;
export type Severity = (typeof severities)[number];

/** `refused`: the mode does not take the Pod while this is so. */
export const effects = ['closed', 'lessened', 'stays', 'refused'] as const;
export type EffectKind = (typeof effects)[number];

/** What one of podsplit's modes does about a finding. */
export interface Effect {
  readonly effect: EffectKind;
  readonly reason: string;
}

/** Another container of the Pod, or what is outside it. */
export type Victim =
  | {
      readonly kind: 'container';
      readonly name: string;
      /** Which ports, files or powers, where that differs between victims. */
      readonly detail?: string;
    }
  | { readonly kind: Beyond; readonly detail?: string };

/** `pods`: other Pods of the cluster. `outside`: whatever the Pod's network leads to. `api`: the API server. */
export type Beyond = 'node' | 'pods' | 'api' | 'outside';

export interface Evidence {
  /** Field of the object that the user wrote. */
  readonly path: string;
  /** What is there, or that nothing is. */
  readonly says: string;
}

/** One container could do one thing to others, if it were taken over. */
export interface Finding {
  readonly rule: RuleId;
  readonly severity: Severity;
  readonly actor: string;
  /** At least one. */
  readonly victims: readonly Victim[];
  /** Ids of techniques.ts. */
  readonly techniques: readonly string[];
  readonly message: string;
  readonly evidence: readonly Evidence[];
  readonly isolate: Effect;
  readonly split: Effect;
  /** As the Pod runs, in whatever mode it is. */
  readonly now: 'open' | 'lessened' | 'closed';
}

/** What a check says: a finding towards one victim. Those that say the same of several become one finding. */
export interface Atom extends Omit<Finding, 'rule' | 'victims' | 'message' | 'now' | 'techniques'> {
  readonly victim: Victim;
  /** Left out: those of the rule. */
  readonly techniques?: readonly string[];
}

export function closed(reason: string): Effect {
  return { effect: 'closed', reason };
}

export function lessened(reason: string): Effect {
  return { effect: 'lessened', reason };
}

export function stays(reason: string): Effect {
  return { effect: 'stays', reason };
}
