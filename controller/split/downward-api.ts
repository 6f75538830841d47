import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IDownwardAPIVolumeFile } from 'kubernetes-models/v1/DownwardAPIVolumeFile';
import type { IEnvVar } from 'kubernetes-models/v1/EnvVar';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import { originalAnnotationKey, originalLabelKey } from '../api/keys.ts';
import { networkStatusAnnotation, networksAnnotation, ownAnnotations, ownLabels } from '../api/names.ts';
import type { Plan } from './plan.ts';
import { annotationsOf, labelsOf, mergeAll, pickEntries } from './pod.ts';

/**
 * The Pod that a sibling's container believes to run in: the primary, without what podsplit put on it. Name and UID are
 * unknown where a manifest is written before the API server has seen it.
 */
export interface VisiblePod {
  readonly name: string | undefined;
  readonly uid: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

const hiddenAnnotations: readonly string[] = [
  ...Object.values(ownAnnotations),
  networksAnnotation,
  networkStatusAnnotation,
];
const hiddenLabels: readonly string[] = Object.values(ownLabels).filter((key) => key !== ownLabels.managedBy);

export function visiblePod(primary: IPod, plan: Plan): VisiblePod {
  const moved = mergeAll(plan.siblings.map((piece) => piece.annotations));
  return {
    name: primary.metadata?.name,
    uid: primary.metadata?.uid,
    labels: visibleLabels(primary),
    annotations: { ...pickEntries(annotationsOf(primary), (key) => !hiddenAnnotations.includes(key)), ...moved },
  };
}

export function visibleLabels(primary: IPod): Readonly<Record<string, string>> {
  return pickEntries(labelsOf(primary), (key) => !hiddenLabels.includes(key));
}

/** The annotation that a sibling's `status.podIP` is read from, and that the controller keeps current. */
export function podIPAnnotations(podIPs: readonly string[]): Readonly<Record<string, string>> {
  const [first] = podIPs;
  if (first === undefined) return {};
  // The kubelet's own format of `status.podIPs`.
  return { [ownAnnotations.podIP]: first, [ownAnnotations.podIPs]: podIPs.join(',') };
}

/** The container with each variable that names the Pod naming the primary, as far as that is known. */
export function rewriteEnvironment(container: IContainer, visible: VisiblePod): IContainer {
  if (container.env === undefined) return container;
  return { ...container, env: container.env.map((variable) => rewriteVariable(variable, visible)) };
}

function rewriteVariable(variable: IEnvVar, visible: VisiblePod): IEnvVar {
  const fieldRef = variable.valueFrom?.fieldRef;
  if (fieldRef === undefined) return variable;
  const { valueFrom, ...named } = variable;
  const fromAnnotation = (key: string): IEnvVar => ({
    ...named,
    valueFrom: { ...valueFrom, fieldRef: { ...fieldRef, fieldPath: `metadata.annotations['${key}']` } },
  });
  // The primary's address is not known before it runs: the sibling is not released before it carries the annotation.
  if (fieldRef.fieldPath === 'status.podIP') return fromAnnotation(ownAnnotations.podIP);
  if (fieldRef.fieldPath === 'status.podIPs') return fromAnnotation(ownAnnotations.podIPs);
  const value = literalOf(fieldRef.fieldPath, visible);
  return value === undefined ? variable : { ...named, value: escapeExpansion(value) };
}

function literalOf(fieldPath: string, visible: VisiblePod): string | undefined {
  if (fieldPath === 'metadata.name') return visible.name;
  if (fieldPath === 'metadata.uid') return visible.uid;
  const subscript = parseSubscript(fieldPath);
  if (subscript === undefined) return undefined;
  const map = subscript.map === 'labels' ? visible.labels : visible.annotations;
  return Object.hasOwn(map, subscript.key) ? map[subscript.key] : '';
}

/** A `value` is expanded, `$(VAR)` and `$$`, but what a fieldRef yields is not. */
function escapeExpansion(value: string): string {
  return value.replaceAll('$', '$$$$');
}

interface Subscript {
  readonly map: 'labels' | 'annotations';
  readonly key: string;
}

/** `metadata.labels['key']` */
function parseSubscript(fieldPath: string): Subscript | undefined {
  const match = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(fieldPath);
  const [, map, key] = match ?? [];
  if (key === undefined) return undefined;
  return { map: map === 'labels' ? 'labels' : 'annotations', key };
}

/** The volume with each file that names the Pod naming the primary, by way of the annotations of `volumeAnnotations`. */
export function rewriteVolume(volume: IVolume, visible: VisiblePod): IVolume {
  const { downwardAPI, projected } = volume;
  const rewrite = (item: IDownwardAPIVolumeFile): IDownwardAPIVolumeFile => rewriteItem(item, visible);
  return {
    ...volume,
    ...(downwardAPI?.items === undefined
      ? {}
      : { downwardAPI: { ...downwardAPI, items: downwardAPI.items.map(rewrite) } }),
    ...(projected?.sources === undefined
      ? {}
      : {
          projected: {
            ...projected,
            sources: projected.sources.map((source) =>
              source.downwardAPI?.items === undefined
                ? source
                : { ...source, downwardAPI: { ...source.downwardAPI, items: source.downwardAPI.items.map(rewrite) } },
            ),
          },
        }),
  };
}

/** A file has no literal value: what the primary is called must be an annotation of the sibling. */
function rewriteItem(item: IDownwardAPIVolumeFile, visible: VisiblePod): IDownwardAPIVolumeFile {
  const source = item.fieldRef === undefined ? undefined : sourceOf(item.fieldRef.fieldPath, visible);
  if (source === undefined || item.fieldRef === undefined) return item;
  return { ...item, fieldRef: { ...item.fieldRef, fieldPath: source.fieldPath } };
}

interface Source {
  readonly fieldPath: string;
  /** What the sibling must carry for it. */
  readonly annotation?: readonly [key: string, value: string];
}

function sourceOf(fieldPath: string, visible: VisiblePod): Source | undefined {
  const annotated = (key: string, value: string | undefined): Source | undefined =>
    value === undefined ? undefined : { fieldPath: `metadata.annotations['${key}']`, annotation: [key, value] };
  switch (fieldPath) {
    case 'metadata.name':
      return annotated(ownAnnotations.podName, visible.name);
    case 'metadata.uid':
      return annotated(ownAnnotations.podUID, visible.uid);
    case 'metadata.labels':
      return annotated(ownAnnotations.podLabels, formatMap(visible.labels));
    case 'metadata.annotations':
      return annotated(ownAnnotations.podAnnotations, formatMap(visible.annotations));
  }
  const subscript = parseSubscript(fieldPath);
  if (subscript === undefined) return undefined;
  if (subscript.map === 'labels') return { fieldPath: `metadata.labels['${originalLabelKey(subscript.key)}']` };
  return annotated(originalAnnotationKey(subscript.key), literalOf(fieldPath, visible));
}

/** The annotations that the files of these volumes, rewritten, are read from. */
export function volumeAnnotations(volumes: readonly IVolume[], visible: VisiblePod): Readonly<Record<string, string>> {
  const paths = volumes.flatMap(itemsOf).flatMap((item) => item.fieldRef?.fieldPath ?? []);
  const annotations = paths.map((path) => sourceOf(path, visible)?.annotation).filter((entry) => entry !== undefined);
  return Object.fromEntries(annotations);
}

/** All files that a volume makes by the downward API. */
export function itemsOf(volume: IVolume): readonly IDownwardAPIVolumeFile[] {
  return [
    ...(volume.downwardAPI?.items ?? []),
    ...(volume.projected?.sources ?? []).flatMap((source) => source.downwardAPI?.items ?? []),
  ];
}

/** As the kubelet prints a map: `key="value"`, sorted, one a line, no newline at the end (pkg/fieldpath FormatMap). */
export function formatMap(map: Readonly<Record<string, string>>): string {
  return Object.entries(map)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${quoteAsGo(value)}`)
    .join('\n');
}

const named = new Map([
  ['"', '\\"'],
  ['\\', '\\\\'],
  ['\u0007', '\\a'],
  ['\b', '\\b'],
  ['\f', '\\f'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
  ['\v', '\\v'],
]);

/** Go's `%q`: strconv.Quote. */
function quoteAsGo(text: string): string {
  const quoted = Array.from(text, (character) => {
    const escape = named.get(character);
    if (escape !== undefined) return escape;
    if (/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u.test(character)) return character;
    const code = character.codePointAt(0) ?? 0;
    if (code < 0x20 || code === 0x7f) return `\\x${hex(code, 2)}`;
    return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
  });
  return `"${quoted.join('')}"`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0');
}
