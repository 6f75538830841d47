import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { defaultGuards, guardsIn } from '../api/guards.ts';
import type { JsonObject } from '../api/json.ts';
import { ownLabels, userAnnotations } from '../api/names.ts';
import type { Refusal } from '../api/refusal.ts';
import { withoutOwnMarks } from '../isolate/subject.ts';
import { asAdmitted } from '../split/admitted.ts';
import { windows } from '../split/checks/pod-fields.ts';
import type { Labels } from '../split/namespace-defaults.ts';
import { unboundedContainers } from '../split/missing-resources.ts';
import type { SplitOptions } from '../split/plan.ts';
import {
  annotationsOf,
  declaredPortsOf,
  labelsOf,
  runningContainers,
  specOf,
  unlessEmpty,
  without,
} from '../split/pod.ts';
import { restore } from '../split/removed.ts';
import { shapeOf } from '../split/shape.ts';
import type { Evidence, Finding, EffectKind } from './finding.ts';
import { findingsOf, type ModeInForce } from './findings.ts';
import { formatFlows, modesOf, type Modes, type Outcome } from './modes.ts';
import { type Facts, type Member, subjectOf } from './subject.ts';
import { listOf } from './rules.ts';
import type { Workload } from './workload.ts';

/** A Pod of the cluster, or the one that a manifest's controller would make. */
export interface Candidate {
  readonly workload: Workload;
  readonly pod: JsonObject;
  readonly facts: Facts;
  /** The field of the object that the user wrote, for a field of the Pod. */
  readonly pathOf: (path: string) => string;
  /** Which objects they came from: replicas of one workload are one row, objects of two files are not. */
  readonly origin: number;
}

/** What the audit says of one Pod; of replicas, which say the same, once. */
export interface PodAudit {
  readonly mode: ModeInForce;
  readonly containers: readonly ContainerAudit[];
  readonly findings: readonly Finding[];
  readonly isolate: ModeAudit;
  readonly split: SplitAudit;
  /** Containers for which the guard `resources` refuses the Pod in either mode, unless its SplitNetwork has defaults. */
  readonly unbounded: readonly string[];
  /** What else a reader has to know of the Pod. */
  readonly notes: readonly string[];
}

export interface ContainerAudit {
  readonly name: string;
  readonly kind: Member['kind'];
  readonly image: string;
  /** `root`, a UID, `not root`, or `of its image`. */
  readonly user: string;
  /** `8080/tcp`. */
  readonly ports: readonly string[];
}

export interface ModeAudit {
  readonly verdict: 'possible' | 'refused';
  /** All that the mode refuses the Pod for. */
  readonly refusals: readonly Refusal[];
  /** What it would leave open between containers, as podsplit.io/flows writes it. */
  readonly flows: readonly string[];
  /** What would be different, in the order of the decision; empty where it is refused. */
  readonly changes: readonly Change[];
  /** How many findings it does what about. */
  readonly effects: Readonly<Record<EffectKind, number>>;
}

export interface SplitAudit extends ModeAudit {
  readonly primary: string;
  readonly siblings: readonly string[];
}

export interface Change {
  readonly code: string;
  readonly piece: string;
  readonly path: string;
  readonly message: string;
}

/** `skipped`: there is nothing to say about. `unreadable`: it is no Pod that an API server would take. */
export type Audited =
  | { readonly kind: 'audited'; readonly audit: PodAudit }
  | { readonly kind: 'skipped'; readonly why: 'single' | 'piece' | 'windows' }
  | { readonly kind: 'unreadable'; readonly refusals: readonly Refusal[] };

/** Never throws, whatever the Pod looks like. */
export function auditPod({ pod: given, facts, pathOf }: Candidate, options: SplitOptions): Audited {
  const shape = shapeOf(given);
  if (shape.kind === 'invalid') return { kind: 'unreadable', refusals: shape.refusals };
  const role = labelsOf(shape.pod)[ownLabels.role];
  if (role === 'sibling') return { kind: 'skipped', why: 'piece' };
  const whole = wholeOf(shape.pod, role, facts.admitted);
  if (whole.kind === 'refused') return { kind: 'unreadable', refusals: whole.refusals };
  const pod = facts.admitted ? withTokenVolumeNamed(whole.pod) : whole.pod;
  if (runningContainers(specOf(pod)).length < 2) return { kind: 'skipped', why: 'single' };
  if (windows({ pod, options }).length > 0) return { kind: 'skipped', why: 'windows' };

  const labels = facts.namespaceLabels ?? {};
  const modes = modesOf(pod, options, labels);
  const judged: Judged = { modes, admitted: facts.admitted, labels };
  const mode = modeInForce(pod, role, judged);
  const subject = subjectOf(pod, facts, modes);
  const findings = findingsOf(subject, mode).map((finding) => withPaths(finding, pathOf));
  const unbounded = mode === 'none' || !facts.admitted ? unboundedUnderGuard(pod, labels) : [];
  return {
    kind: 'audited',
    audit: {
      mode,
      containers: subject.members.map(containerAudit),
      findings,
      isolate: modeAudit(modes.isolate, findings, { mode: 'isolate', pathOf }),
      split: {
        ...modeAudit(modes.split, findings, { mode: 'split', pathOf }),
        primary: modes.split.primary,
        siblings: modes.split.siblings,
      },
      unbounded,
      notes: [...notesOf(pod, mode, judged), ...boundsNotes(unbounded)],
    },
  };
}

/** As its workload's template would have it: without what podsplit and the scheduler did to it. */
function wholeOf(pod: IPod, role: string | undefined, admitted: boolean): ReturnType<typeof restore> {
  if (role === 'isolated') return { kind: 'whole', pod: withoutOwnMarks(asAdmitted(pod)) };
  if (role === 'primary') return restore(asAdmitted(pod));
  if (!admitted) return restore(pod);
  const spec = specOf(pod);
  return restore({ ...pod, spec: { ...without(spec, 'nodeName'), containers: spec.containers } });
}

const injected = /^kube-api-access-[a-z0-9]{5}$/;

/** Each replica's token volume has a name of its own, by which alike Pods would be told apart. */
function withTokenVolumeNamed(pod: IPod): IPod {
  const spec = specOf(pod);
  if (!(spec.volumes ?? []).some(({ name }) => injected.test(name))) return pod;
  const renamed = <T extends { readonly name: string }>(items: readonly T[]): T[] =>
    items.map((item) => (injected.test(item.name) ? { ...item, name: 'kube-api-access-xxxxx' } : item));
  const mounting = (containers: readonly IContainer[]): IContainer[] =>
    containers.map((container) =>
      container.volumeMounts === undefined
        ? container
        : { ...container, volumeMounts: renamed(container.volumeMounts) },
    );
  return {
    ...pod,
    spec: {
      ...spec,
      volumes: renamed(spec.volumes ?? []),
      containers: mounting(spec.containers),
      ...unlessEmpty('initContainers', mounting(spec.initContainers ?? [])),
    },
  };
}

interface Judged {
  readonly modes: Modes;
  readonly admitted: boolean;
  readonly labels: Labels;
}

/** By its annotation, or by its namespace's label. */
function wantedBy(pod: IPod, labels: Labels): { readonly mode: string; readonly says: string } | undefined {
  const { mode } = userAnnotations;
  const own = annotationsOf(pod)[mode];
  if (own !== undefined) return own === 'none' ? undefined : { mode: own, says: `It is annotated ${mode}=${own}` };
  const label = labels[mode];
  if (label === undefined || label === 'none') return undefined;
  return { mode: label, says: `Its namespace says ${mode}=${label}` };
}

function modeInForce(pod: IPod, role: string | undefined, { modes, admitted, labels }: Judged): ModeInForce {
  if (role === 'primary') return 'split';
  if (role === 'isolated') return 'isolate';
  const wanted = wantedBy(pod, labels)?.mode;
  if (admitted || (wanted !== 'split' && wanted !== 'isolate')) return 'none';
  return modes[wanted].refusals.length === 0 ? wanted : 'none';
}

function notesOf(pod: IPod, mode: ModeInForce, { modes, admitted, labels }: Judged): readonly string[] {
  const wanted = wantedBy(pod, labels);
  const would = wanted?.mode === 'split' || wanted?.mode === 'isolate' ? modes[wanted.mode] : undefined;
  const own = annotationsOf(pod)[userAnnotations.mode];
  const silent = runningContainers(specOf(pod)).filter((container) => declaredPortsOf(container).length === 0);
  const debuggers = (specOf(pod).ephemeralContainers ?? []).map(({ name }) => name);
  return [
    ...(wanted === undefined || mode !== 'none'
      ? []
      : admitted && would?.refusals.length === 0
        ? [
            own === undefined
              ? `${wanted.says}, which it was made before: it runs whole until it is made anew.`
              : `${wanted.says}, and did not meet podsplit's webhook: it runs whole.`,
          ]
        : [`${wanted.says}, and ${own === undefined ? 'it would' : 'would'} be refused.`]),
    ...(own === 'none'
      ? [`It is annotated ${userAnnotations.mode}=none: no label of its namespace counts for it.`]
      : []),
    ...(silent.length === 0 || modes.split.flowsBy !== 'declared'
      ? []
      : [
          `In either mode nobody calls ${listOf(silent.map(({ name }) => name))} unless podsplit.io/flows says so: no port is declared there.`,
        ]),
    ...(debuggers.length === 0 ? [] : [`Ephemeral containers are not judged: ${debuggers.join(', ')}.`]),
  ];
}

/** No refusal: it says nothing of what a mode closes, is mended in a line, and a SplitNetwork may give it. */
function unboundedUnderGuard(pod: IPod, labels: Labels): readonly string[] {
  const { guards } = userAnnotations;
  const held = guardsIn(annotationsOf(pod)[guards] ?? labels[guards], defaultGuards);
  return held.includes('resources') ? unboundedContainers(pod) : [];
}

function boundsNotes(unbounded: readonly string[]): readonly string[] {
  if (unbounded.length === 0) return [];
  return [
    `The guard resources refuses it in either mode until it states requests and limits for cpu and memory of ${listOf(unbounded)}, or its SplitNetwork gives them.`,
  ];
}

function containerAudit({ name, kind, container, powers, ports }: Member): ContainerAudit {
  const { user } = powers;
  const { uid } = user.kind === 'other' ? user : {};
  const others = { root: 'root', unknown: 'of its image', other: uid === undefined ? 'not root' : String(uid) };
  return {
    name,
    kind,
    image: container.image ?? '',
    user: others[user.kind],
    ports: ports.map(({ port, protocol }) => `${port}/${protocol}`),
  };
}

function modeAudit(
  outcome: Outcome,
  findings: readonly Finding[],
  { mode, pathOf }: { readonly mode: 'isolate' | 'split'; readonly pathOf: (path: string) => string },
): ModeAudit {
  const count = (effect: EffectKind): number => findings.filter((finding) => finding[mode].effect === effect).length;
  return {
    verdict: outcome.refusals.length === 0 ? 'possible' : 'refused',
    refusals: outcome.refusals.map((refusal) => ({ ...refusal, path: pathOf(refusal.path) })),
    flows: formatFlows(outcome),
    changes: outcome.changes.map(({ code, piece, path, message }) => ({ code, piece, path: pathOf(path), message })),
    effects: { closed: count('closed'), lessened: count('lessened'), stays: count('stays'), refused: count('refused') },
  };
}

function withPaths(finding: Finding, pathOf: (path: string) => string): Finding {
  const evidence = finding.evidence.map((each): Evidence => ({ ...each, path: pathOf(each.path) }));
  return { ...finding, evidence };
}
