import type { ILabelSelector } from '@kubernetes-models/apimachinery/apis/meta/v1/LabelSelector';

export type Labels = Readonly<Record<string, string>>;
export type LabelSelector = ILabelSelector;
type Requirement = NonNullable<LabelSelector['matchExpressions']>[number];

/** As metav1.LabelSelectorAsSelector: all requirements must hold, an empty selector selects everything. */
export function selects(selector: LabelSelector | undefined, labels: Labels): boolean {
  const equal = Object.entries(selector?.matchLabels ?? {}).every(([key, value]) => valueOf(labels, key) === value);
  return equal && (selector?.matchExpressions ?? []).every((requirement) => holds(requirement, labels));
}

/** The same selector over other keys. */
export function withKeys(selector: LabelSelector | undefined, rename: (key: string) => string): LabelSelector {
  const { matchLabels, matchExpressions } = selector ?? {};
  return {
    ...(matchLabels && {
      matchLabels: Object.fromEntries(Object.entries(matchLabels).map(([key, value]) => [rename(key), value])),
    }),
    ...(matchExpressions && {
      matchExpressions: matchExpressions.map((requirement) => ({ ...requirement, key: rename(requirement.key) })),
    }),
  };
}

/** A label that is missing satisfies NotIn, as `!=` does on the command line. */
function holds({ key, operator, values = [] }: Requirement, labels: Labels): boolean {
  const value = valueOf(labels, key);
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    default:
      // The API server refuses other operators, so this is one that came later: a policy that may select, selects.
      return true;
  }
}

function valueOf(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}
