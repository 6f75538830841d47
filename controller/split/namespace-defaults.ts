import type { IPod } from 'kubernetes-models/v1/Pod';
import { modeValues } from '../api/annotations.ts';
import { quote } from '../api/annotation-context.ts';
import { formatGuards, readGuards } from '../api/guards.ts';
import { list, record } from '../api/json.ts';
import { userAnnotations } from '../api/names.ts';
import { didYouMean } from '../api/nearest.ts';
import type { Refusal } from '../api/refusal.ts';

export type Labels = Readonly<Record<string, string>>;

export type WithDefaults =
  { readonly kind: 'pod'; readonly pod: IPod } | { readonly kind: 'refused'; readonly refusals: readonly Refusal[] };

/**
 * What a namespace's labels say of a Pod that says nothing itself: admission writes it on the Pod, and nobody asks the
 * namespace after that. So a label that changes changes Pods that are made from then on, and what a Pod is can be read from it.
 *
 * Takes whatever was sent as a Pod; what is no Pod is for `split` to find.
 */
export function withNamespaceDefaults(pod: IPod, labels: Labels): WithDefaults {
  const { mode, guards } = userAnnotations;
  const own = record(record(pod.metadata)['annotations']);
  const added: Record<string, string> = {};
  const said = labels[mode];
  if (own[mode] === undefined && said !== undefined && runSideBySide(pod) > 1) {
    if (!modeValues.some((value) => value === said)) return refused(unknownMode(said));
    if (said !== 'none') added[mode] = said;
  }
  const wanted = own[mode] ?? added[mode];
  const guarded = labels[guards];
  if (wanted !== undefined && wanted !== 'none' && own[guards] === undefined && guarded !== undefined) {
    const read = readGuards(guarded);
    if ('problems' in read) return refused(...read.problems.map((problem) => invalidLabel(guards, problem)));
    added[guards] = formatGuards(read.guards);
  }
  if (Object.keys(added).length === 0) return { kind: 'pod', pod };
  // As it was sent, whatever of it is text: `split` looks at the shape.
  const annotations = { ...own, ...added } as Labels;
  return { kind: 'pod', pod: { ...pod, metadata: { ...pod.metadata, annotations } } };
}

/** A Pod with one container has nothing to be split, and is left as it is. */
function runSideBySide(pod: IPod): number {
  const spec = record(pod.spec);
  const sidecars = list(spec['initContainers']).filter((container) => record(container)['restartPolicy'] === 'Always');
  return list(spec['containers']).length + sidecars.length;
}

function unknownMode(said: string): Refusal {
  return invalidLabel(userAnnotations.mode, {
    message: `Mode ${quote(said)} is not known.${didYouMean(said, modeValues)}`,
    action: `Set the label to ${modeValues.map(quote).join(', ')}, or remove it.`,
  });
}

function invalidLabel(key: string, { message, action }: Pick<Refusal, 'message' | 'action'>): Refusal {
  return { code: 'InvalidNamespaceLabel', path: `namespace.metadata.labels[${key}]`, message, action };
}

function refused(...refusals: readonly Refusal[]): WithDefaults {
  return { kind: 'refused', refusals };
}
