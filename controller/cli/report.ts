import { formatFlow } from '../api/flow.ts';
import { userAnnotations } from '../api/names.ts';
import { formatRefusal } from '../api/refusal.ts';
import type { IsolatePlan } from '../isolate/plan.ts';
import { noteworthyOf } from '../isolate/reasons.ts';
import type { Plan } from '../split/plan.ts';
import { noteworthy } from '../split/reasons.ts';
import { sidecarsOf } from '../split/wait-containers.ts';
import { type Hardening, type Result, nameOf } from './split-command.ts';

/** What became of each object of the input, and a line that sums it up. */
export function formatReport(results: readonly Result[], explain: boolean): string {
  return [...results.flatMap((result) => linesOf(result, explain)), summary(results), ''].join('\n');
}

function linesOf(result: Result, explain: boolean): readonly string[] {
  const name = nameOf(result.manifest);
  switch (result.kind) {
    case 'split':
      return [
        `${name}: split into ${result.plan.siblings.length + 1} Pods`,
        ...result.rendered.pieces.map(({ container, pod }, index) => {
          const isSidecar = result.plan.startOrder.includes(container);
          const role = index === 0 ? 'the primary' : isSidecar ? 'a sibling, native sidecar' : 'a sibling';
          return `  ${pod.metadata?.name ?? ''}: ${container}, ${role}`;
        }),
        ...flowLines(result.plan),
        ...reasonLines(result.plan, explain),
        ...(explain ? gapLines(result.hardening) : []),
        ...result.inexact.map((sentence) => `  note: ${sentence}`),
        ...offlineNotes(result.plan).map((note) => `  note: ${note}`),
      ];
    case 'isolate':
      return isolateLines(name, result, explain);
    case 'refused':
      return [`${name}: refused`, ...result.refusals.map((refusal) => `  ${formatRefusal(refusal)}`)];
    case 'left-alone':
      return [`${name}: left alone: ${result.message} (${result.code})`];
    case 'not-annotated':
      return notAnnotated(name, result.ignored);
    case 'no-workload':
      return [`${name}: passed on: not a workload`];
  }
}

/** What podsplit changes on it, and what it does not protect. */
function isolateLines(
  name: string,
  { plan, hardening }: { readonly plan: IsolatePlan; readonly hardening: Hardening },
  explain: boolean,
): readonly string[] {
  const assigned = new Set(plan.assigned.map(({ container }) => container));
  return [
    `${name}: isolated, in one Pod`,
    ...plan.containers.map(
      (container) =>
        `  ${container.name}: UID ${container.uid}${assigned.has(container.name) ? ', assigned at admission' : ''}`,
    ),
    ...flowLines(plan),
    ...(explain ? plan.reasons : noteworthyOf(plan)).map(
      ({ path, message, code }) => `  note: ${path}: ${message} (${code})`,
    ),
    ...(explain ? gapLines(hardening) : []),
    '  note: It is printed as it was read: podsplit holds its Pods until the node agent has loaded their rules.',
  ];
}

function notAnnotated(name: string, ignored: readonly string[]): readonly string[] {
  const { mode } = userAnnotations;
  return [
    `${name}: passed on: not annotated. Annotate it with ${mode}=split, or try it with --mode split.`,
    ...ignored.map((key) => `  note: ${key} has no effect without ${mode}.`),
  ];
}

function flowLines({ flows }: Pick<Plan, 'flows'>): readonly string[] {
  return [`  flows: ${flows.length === 0 ? 'none' : flows.map(formatFlow).join(', ')}`];
}

function reasonLines(plan: Plan, explain: boolean): readonly string[] {
  if (explain) return plan.reasons.map(({ piece, path, message, code }) => `  ${piece}: ${path}: ${message} (${code})`);
  return noteworthy(plan).map(({ path, message, code }) => `  note: ${path}: ${message} (${code})`);
}

/** A report and no more: the guard does it for whoever asks, unless it refuses the Pod for what that states. */
function gapLines({ gaps, conflicts }: Hardening): readonly string[] {
  const lines = gaps.map(({ piece, path, message, code }) => `  ${piece}: ${path}: ${message} (${code})`);
  if (lines.length === 0) return [];
  const guard = `"hardening" in ${userAnnotations.guards}`;
  if (conflicts.length === 0) return [...lines, `  note: ${guard} writes that into them.`];
  return [
    ...lines,
    `  note: ${guard} would refuse the Pod (HardeningConflict) as long as it has ${conflicts.join(', ')}.`,
  ];
}

/** What the controller does and a manifest cannot. */
function offlineNotes(plan: Plan): readonly string[] {
  const readsAddress = plan.siblings.some((piece) =>
    piece.container.env?.some(
      (variable) => variable.valueFrom?.fieldRef?.fieldPath.startsWith('status.podIP') === true,
    ),
  );
  const completes = plan.reasons.some(({ code }) => code === 'PrimaryDecidesCompletion');
  return [
    ...(plan.install === 'node'
      ? ["The Pods start only where podsplit's node agent runs: it loads their rules (install mode node)."]
      : []),
    ...(completes ? ['Without the controller, siblings go on when the primary has completed: delete them.'] : []),
    ...(readsAddress ? ['Without the controller, siblings read an empty status.podIP.'] : []),
    ...(plan.primary.initContainers.length > 0
      ? ['Without the controller, siblings do not wait for the init containers.']
      : []),
    ...(sidecarsOf(plan).length > 0
      ? ['Without the controller, nothing waits for native sidecars to start, and they do not end with the others.']
      : []),
  ];
}

function summary(results: readonly Result[]): string {
  const count = (...kinds: readonly Result['kind'][]): number =>
    results.filter((result) => kinds.includes(result.kind)).length;
  return (
    `${count('split')} split, ${count('refused')} refused, ${count('left-alone')} left alone, ` +
    `${count('isolate') === 0 ? '' : `${count('isolate')} isolated, `}${count('not-annotated', 'no-workload')} passed on`
  );
}
