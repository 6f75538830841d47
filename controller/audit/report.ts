import type { SplitOptions } from '../split/plan.ts';
import { auditPod, type Candidate, type PodAudit } from './audit-pod.ts';
import { severities, type Severity } from './finding.ts';
import { ruleIds, rules, type Channel, type RuleId } from './rules.ts';
import { techniqueOf, techniques, type Technique } from './techniques.ts';
import type { Workload } from './workload.ts';

export const reportVersion = 'audit.podsplit.io/v1alpha1';

/** What `kubectl podsplit audit -o json` prints; docs/audit.schema.json describes it. */
export interface AuditReport {
  readonly apiVersion: typeof reportVersion;
  readonly kind: 'AuditReport';
  readonly made: Made;
  readonly summary: Summary;
  /** The gravest first. */
  readonly workloads: readonly WorkloadAudit[];
  /** Objects that are no Pods an API server would take. */
  readonly unreadable: readonly Unreadable[];
  /** Those that findings name. */
  readonly rules: readonly RuleEntry[];
  readonly techniques: readonly Technique[];
}

export interface Made {
  /** RFC 3339. */
  readonly at: string;
  /** Of podsplit. */
  readonly by: string;
  /** Files, or the cluster and its part. */
  readonly from: string;
  /** What could not be read, and so was not looked at. */
  readonly without: readonly string[];
}

export interface Summary {
  readonly workloads: number;
  readonly pods: number;
  /** Pods that were left out. */
  readonly single: number;
  readonly windows: number;
  /** Findings that are open or lessened as the Pods run, replicas counted once. */
  readonly open: Readonly<Record<Severity, number>>;
  /** Findings that are closed by the mode that the workload is in. */
  readonly closed: number;
}

export interface WorkloadAudit extends Workload, PodAudit {
  /** Unique in the report, and the same in the next one unless replicas come to differ. */
  readonly id: string;
  readonly pods: number;
  /** A Pod of it, for kubectl; of a manifest the name that its first would have. */
  readonly example: string;
}

export interface Unreadable extends Workload {
  readonly reasons: readonly string[];
}

export interface RuleEntry {
  readonly id: RuleId;
  readonly title: string;
  readonly channel: Channel;
  readonly about: string;
}

export interface Audit {
  readonly report: AuditReport;
  /** By the id of a row: the origin of the first Pod of it. */
  readonly origins: ReadonlyMap<string, number>;
}

/** Work is proportional to the Pods, and to the findings of each. */
export function audit(
  candidates: readonly Candidate[],
  made: Made,
  optionsFor: (namespace: string) => SplitOptions,
): Audit {
  const rows = new Map<string, { readonly first: Candidate; readonly audit: PodAudit; pods: number }>();
  const unreadable: Unreadable[] = [];
  const skipped = { single: 0, piece: 0, windows: 0 };
  for (const candidate of candidates) {
    const { workload, origin, facts } = candidate;
    const audited = auditPod(candidate, optionsFor(workload.namespace));
    if (audited.kind === 'skipped') skipped[audited.why]++;
    else if (audited.kind === 'unreadable') {
      unreadable.push({ ...workload, reasons: audited.refusals.map(({ path, message }) => `${path}: ${message}`) });
    } else {
      const key = JSON.stringify([workload, facts.admitted ? undefined : origin, audited.audit]);
      const known = rows.get(key);
      if (known === undefined) rows.set(key, { first: candidate, audit: audited.audit, pods: 1 });
      else known.pods++;
    }
  }
  const named = new Namer();
  const found = [...rows.values()].map(({ first, audit: said, pods }) => ({
    row: { id: named.idOf(first.workload), ...first.workload, pods, example: exampleOf(first), ...said },
    counts: openCounts(said),
    origin: first.origin,
  }));
  const workloads = found.toSorted(byGravity).map(({ row }) => row);
  const report: AuditReport = {
    apiVersion: reportVersion,
    kind: 'AuditReport',
    made,
    summary: {
      workloads: workloads.length,
      pods: workloads.reduce((sum, { pods }) => sum + pods, 0),
      single: skipped.single,
      windows: skipped.windows,
      open: openBySeverity(workloads),
      closed: workloads.flatMap(({ findings }) => findings).filter(({ now }) => now === 'closed').length,
    },
    workloads,
    unreadable,
    ...namedBy(workloads),
  };
  return { report, origins: new Map(found.map(({ row, origin }) => [row.id, origin])) };
}

function exampleOf({ pod }: Candidate): string {
  const { metadata } = pod;
  return typeof metadata === 'object' && metadata !== null && 'name' in metadata ? String(metadata.name) : '';
}

/** Replicas that differ, as while a Deployment rolls out, are rows of their own. */
class Namer {
  private readonly seen = new Map<string, number>();

  idOf({ namespace, kind, name }: Workload): string {
    const id = `${namespace === '' ? '' : `${namespace}/`}${kind.toLowerCase()}/${name}`;
    const count = (this.seen.get(id) ?? 0) + 1;
    this.seen.set(id, count);
    return count === 1 ? id : `${id}#${count}`;
  }
}

function openBySeverity(workloads: readonly PodAudit[]): Readonly<Record<Severity, number>> {
  const counts = { critical: 0, high: 0, medium: 0, low: 0 };
  for (const { findings } of workloads) {
    for (const { severity, now } of findings) if (now !== 'closed') counts[severity]++;
  }
  return counts;
}

export function openCounts(audit: PodAudit): Readonly<Record<Severity, number>> {
  return openBySeverity([audit]);
}

interface Ranked {
  readonly row: WorkloadAudit;
  readonly counts: Readonly<Record<Severity, number>>;
}

function byGravity(one: Ranked, other: Ranked): number {
  const severity = severities.find((each) => one.counts[each] !== other.counts[each]);
  if (severity !== undefined) return other.counts[severity] - one.counts[severity];
  return one.row.id < other.row.id ? -1 : 1;
}

function namedBy(workloads: readonly PodAudit[]): Pick<AuditReport, 'rules' | 'techniques'> {
  const found = workloads.flatMap(({ findings }) => findings);
  const usedRules = new Set(found.map(({ rule }) => rule));
  const usedTechniques = new Set(found.flatMap((finding) => finding.techniques).map(techniqueOf));
  return {
    rules: ruleIds
      .filter((id) => usedRules.has(id))
      .map((id) => ({ id, title: rules[id].title, channel: rules[id].channel, about: rules[id].about })),
    techniques: techniques.filter((technique) => usedTechniques.has(technique)),
  };
}
