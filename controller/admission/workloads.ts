import { isDeepStrictEqual } from 'node:util';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { at, isRecord, record, type JsonObject } from '../api/json.ts';
import { group, userAnnotations } from '../api/names.ts';
import type { Refusal } from '../api/refusal.ts';
import { admit, type AdmitOptions } from '../isolate/admit.ts';
import type { JsonPatchOperation } from '../split/cut.ts';
import { withClaimVolumes } from '../split/claim-templates.ts';
import { withNamespaceDefaults, type Labels } from '../split/namespace-defaults.ts';
import { notesOf } from './notes.ts';
import { refused } from './refused.ts';
import type { AdmissionRequest, Allowed, Answer, Denied } from './review.ts';
import { unchanged } from './review.ts';

type Annotations = Readonly<Record<string, string>>;

/** Where each kind keeps its Pod template. */
const templatePaths: Readonly<Record<string, readonly string[]>> = {
  Deployment: ['spec', 'template'],
  StatefulSet: ['spec', 'template'],
  DaemonSet: ['spec', 'template'],
  ReplicaSet: ['spec', 'template'],
  Job: ['spec', 'template'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'template'],
};

/** A workload under review and what it was before; `before` of a new one is an empty object. */
interface Workload {
  readonly kind: string;
  readonly namespace: string;
  readonly templatePath: readonly string[];
  readonly now: JsonObject;
  readonly before: JsonObject;
}

/**
 * `POST /mutate/workloads`: copies podsplit's annotations from a workload to its Pod template, so that annotating it is
 * enough, and judges the template at once, so that the refusal reaches whoever annotates and not an Event.
 *
 * @param labels of its namespace
 */
export function reviewWorkload(request: AdmissionRequest, options: AdmitOptions, labels: Labels = {}): Answer {
  const templatePath = templatePaths[request.kind];
  if (templatePath === undefined || request.subResource !== '') return unchanged('NotAWorkload');
  if (request.operation !== 'CREATE' && request.operation !== 'UPDATE') return unchanged('NotAChange');
  const { kind, namespace } = request;
  const workload: Workload = {
    kind,
    namespace,
    templatePath,
    now: record(request.object),
    before: record(request.oldObject),
  };

  // What a controller made follows that controller: an edited ReplicaSet makes its Deployment create another, forever.
  if (isControlled(workload.now)) return unchanged('Controlled');
  // Scaling, status and the Deployment controller's own updates pass, whatever has become of the rules since.
  if (request.operation === 'UPDATE' && !concernsUs(workload)) return unchanged('NothingOfOurs');

  const copy = copyAnnotations(workload);
  if (copy.patch.length > 0 && runs(workload)) return runningJob(workload);
  return judge(workload, copy, { options, labels });
}

function concernsUs({ now, before, templatePath }: Workload): boolean {
  return (
    !isDeepStrictEqual(ourAnnotations(now), ourAnnotations(before)) ||
    !isDeepStrictEqual(at(now, templatePath), at(before, templatePath))
  );
}

interface Copy {
  readonly patch: readonly JsonPatchOperation[];
  /** The template's annotations after it. */
  readonly annotations: Annotations;
  readonly overwritten: readonly string[];
}

/** The workload's annotations win; one that it had and has no more goes from the template, unless changed there. */
function copyAnnotations({ now, before, templatePath }: Workload): Copy {
  const template = record(at(now, templatePath));
  const present = annotationsOf(template);
  const wanted = ourAnnotations(now);
  const gone = Object.entries(ourAnnotations(before)).filter(
    ([key, value]) => !Object.hasOwn(wanted, key) && present[key] === value,
  );
  const changed = Object.entries(wanted).filter(([key, value]) => present[key] !== value);
  const removed = new Set(gone.map(([key]) => key));
  return {
    patch: annotationPatch(templatePath, template, changed, [...removed]),
    annotations: Object.fromEntries([...Object.entries(present).filter(([key]) => !removed.has(key)), ...changed]),
    overwritten: changed
      .map(([key]) => key)
      .filter((key) => Object.hasOwn(present, key) && !isOldCopy(before, key, present[key])),
  };
}

/** The template has what the workload said before: nobody wrote it there by hand. */
function isOldCopy(before: JsonObject, key: string, value: string | undefined): boolean {
  return ourAnnotations(before)[key] === value;
}

function annotationPatch(
  templatePath: readonly string[],
  template: JsonObject,
  changed: readonly (readonly [string, string])[],
  removed: readonly string[],
): JsonPatchOperation[] {
  if (changed.length === 0 && removed.length === 0) return [];
  const pointer = (...path: readonly string[]): string =>
    [...templatePath, ...path].map((part) => `/${escapePointer(part)}`).join('');
  const metadata = template['metadata'];
  if (!isRecord(metadata)) {
    return [{ op: 'add', path: pointer('metadata'), value: { annotations: Object.fromEntries(changed) } }];
  }
  if (!isRecord(metadata['annotations'])) {
    return [{ op: 'add', path: pointer('metadata', 'annotations'), value: Object.fromEntries(changed) }];
  }
  return [
    ...removed.map((key): JsonPatchOperation => ({ op: 'remove', path: pointer('metadata', 'annotations', key) })),
    ...changed.map(([key, value]): JsonPatchOperation => ({
      op: 'add',
      path: pointer('metadata', 'annotations', key),
      value,
    })),
  ];
}

interface Asked {
  readonly options: AdmitOptions;
  readonly labels: Labels;
}

function judge(workload: Workload, copy: Copy, { options, labels }: Asked): Answer {
  const given = withNamespaceDefaults(podOf(workload, copy.annotations), labels);
  if (given.kind === 'refused') return refused(given.refusals);
  const { pod } = given;
  const warnings = [...copy.overwritten.map(overwrittenNote), ...idleNotes(record(pod.metadata?.annotations))];
  const { judgement: decision } = admit(pod, options);
  switch (decision.kind) {
    case 'refused':
      return refused(decision.refusals.map((refusal) => inWorkload(workload, refusal)));
    case 'split':
    case 'isolate':
    case 'left-alone':
      return allowed(copy, [...warnings, ...notesOf(decision)]);
  }
}

function allowed({ patch }: Copy, warnings: readonly string[]): Allowed {
  return { kind: 'allowed', decision: patch.length > 0 ? 'copied' : 'unchanged', codes: [], patch, warnings };
}

/** The Pod that the workload's controller would make of the template. */
function podOf({ kind, now, templatePath, namespace }: Workload, annotations: Annotations): IPod {
  const template = record(at(now, templatePath));
  const metadata = { ...record(template['metadata']), namespace, annotations };
  // `split` checks the shape of all that it reads.
  return {
    ...finished(kind, template, at(now, ['spec', 'volumeClaimTemplates'])),
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
  };
}

function finished(kind: string, template: JsonObject, claimTemplates: unknown): JsonObject {
  if (kind !== 'StatefulSet') return template;
  return { ...template, spec: withClaimVolumes(record(template['spec']), claimTemplates, 'POD') };
}

/** The field as it is called in the object that the user wrote. */
function inWorkload({ now, templatePath }: Workload, refusal: Refusal): Refusal {
  const own = Object.keys(ourAnnotations(now)).some((key) => refusal.path.startsWith(`metadata.annotations[${key}]`));
  return own ? refusal : { ...refusal, path: [...templatePath, refusal.path].join('.') };
}

/** A Job's template is immutable once it runs; the API server, who asks the old object, only says "field is immutable". */
function runs({ kind, before }: Workload): boolean {
  return kind === 'Job' && Object.keys(before).length > 0 && at(before, ['spec', 'suspend']) !== true;
}

function runningJob({ now, before }: Workload): Denied {
  const keys = new Set([...Object.keys(ourAnnotations(now)), ...Object.keys(ourAnnotations(before))]);
  const key = [...keys].find((candidate) => ourAnnotations(now)[candidate] !== ourAnnotations(before)[candidate]);
  return {
    kind: 'denied',
    decision: 'refused',
    codes: ['RunningJob'],
    status: 422,
    message:
      `podsplit: metadata.annotations[${key ?? userAnnotations.mode}]: The Job runs, and the Pod template of a running Job ` +
      'cannot be changed. Annotate it while it is suspended, or delete it and create it with the annotation. (RunningJob)',
  };
}

function overwrittenNote(key: string): string {
  return `podsplit: the Pod template's ${key} was replaced by the workload's. (TemplateAnnotationReplaced)`;
}

const known: readonly string[] = Object.values(userAnnotations);

/** Without a mode nothing happens: a user who wrote something else meant something by it. */
function idleNotes(annotations: JsonObject): readonly string[] {
  const { mode } = userAnnotations;
  if (Object.hasOwn(annotations, mode)) return [];
  return Object.keys(annotations)
    .filter(isOurs)
    .map((key) => {
      const what = known.includes(key) ? 'has no effect' : 'is not known';
      return `podsplit: ${key} ${what}, and nothing is split or isolated without ${mode}. (NoMode)`;
    });
}

function isControlled(object: JsonObject): boolean {
  const owners = at(object, ['metadata', 'ownerReferences']);
  return Array.isArray(owners) && owners.some((owner) => isRecord(owner) && owner['controller'] === true);
}

function isOurs(key: string): boolean {
  return key.startsWith(`${group}/`);
}

/** Unknown ones too: they are refused where the Pod is judged, not lost here. */
function ourAnnotations(object: JsonObject): Annotations {
  return Object.fromEntries(Object.entries(annotationsOf(object)).filter(([key]) => isOurs(key)));
}

function annotationsOf(object: JsonObject): Annotations {
  const annotations = record(at(object, ['metadata', 'annotations']));
  return Object.fromEntries(
    Object.entries(annotations).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

/** RFC 6901, section 3. */
function escapePointer(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}
