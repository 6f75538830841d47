import pc from 'picocolors';
import type { ContainerAudit, ModeAudit, SplitAudit } from '../audit/audit-pod.ts';
import { type Finding, severities, type Severity } from '../audit/finding.ts';
import { type AuditReport, openCounts, type WorkloadAudit } from '../audit/report.ts';
import { listOf, listVictims } from '../audit/rules.ts';
import { formatRefusal, type RefusalCode } from '../api/refusal.ts';
import { noteworthy } from '../split/reasons.ts';
import { noteworthyOf } from '../isolate/reasons.ts';
import { counted, formatTable, printable } from './table.ts';

export interface AuditStyle {
  /** With all findings of each workload. */
  readonly wide: boolean;
  readonly colours: boolean;
}

/** A line for each workload, the gravest first; more of each where `wide`. */
export function formatAudit(report: AuditReport, style: AuditStyle): string {
  const sections = [
    overview(report, style),
    ...(style.wide ? report.workloads.flatMap((row) => sectionsOf(row, style)) : []),
    [
      ...(style.wide ? [] : ['-o wide says which container could do what to which, -o html is a report to hand on.']),
      'docs/audit.md explains each rule.',
    ],
  ];
  return sections.map((lines) => lines.map((line) => `${line}\n`).join('')).join('\n');
}

function overview({ workloads, summary }: AuditReport, { colours }: AuditStyle): readonly string[] {
  const namespaces = workloads.some(({ namespace }) => namespace !== '');
  const counts = workloads.map(openCounts);
  const table = formatTable(
    [
      ...(namespaces ? ['NAMESPACE'] : []),
      'WORKLOAD',
      'PODS',
      'CONTAINERS',
      'MODE',
      ...severities.map((severity) => severity.toUpperCase()),
      'ISOLATE',
      'SPLIT',
    ],
    workloads.map((row, index) => [
      ...(namespaces ? [row.namespace] : []),
      titleOf(row),
      String(row.pods),
      String(row.containers.filter(({ kind }) => kind !== 'init').length),
      row.mode === 'none' ? '-' : row.mode,
      ...severities.map((severity) => String(counts[index]?.[severity] ?? 0)),
      verdictOf(row.isolate, row),
      verdictOf(row.split, row),
    ]),
  );
  const paint = colourOf(colours);
  return [
    ...table.map((line, index) => {
      const worst = severities.find((severity) => (counts[index - 1]?.[severity] ?? 0) > 0);
      return index === 0 || worst === undefined ? line : paint(worst, line);
    }),
    '',
    summaryLine(summary),
  ];
}

/** `deployment/web`; the number of a variant stays. */
function titleOf({ id, namespace }: WorkloadAudit): string {
  return namespace === '' ? id : id.slice(namespace.length + 1);
}

function verdictOf(mode: ModeAudit, { unbounded }: WorkloadAudit): string {
  const missing: readonly RefusalCode[] = unbounded.length === 0 ? [] : ['MissingResources'];
  if (mode.verdict === 'refused') {
    return `refused: ${[...new Set([...mode.refusals.map(({ code }) => code), ...missing])].join(', ')}`;
  }
  return [effectsOf(mode), ...missing.map((code) => `once it states resources (${code})`)].join(' ');
}

function effectsOf({ effects }: ModeAudit): string {
  return `closes ${effects.closed}, lessens ${effects.lessened}, leaves ${effects.stays}`;
}

function summaryLine({ workloads, pods, single, windows, open, closed }: AuditReport['summary']): string {
  const found = severities.filter((severity) => open[severity] > 0).map((severity) => `${open[severity]} ${severity}`);
  const left = [
    ...(single > 0 ? [`${counted(single, 'Pod')} with one container`] : []),
    ...(windows > 0 ? [counted(windows, 'Windows Pod')] : []),
  ];
  return [
    `${counted(workloads, 'workload')}, ${counted(pods, 'Pod')}: ${found.length === 0 ? 'nothing open' : listOf(found)}`,
    ...(closed > 0 ? [`${closed} closed by the mode in force`] : []),
    ...(left.length > 0 ? [`left out: ${listOf(left)}`] : []),
  ].join('; ');
}

function sectionsOf(row: WorkloadAudit, style: AuditStyle): readonly (readonly string[])[] {
  const { bold } = pc.createColors(style.colours);
  const mode = { none: 'whole', isolate: 'isolated', split: 'split' }[row.mode];
  return [
    [
      bold(
        printable(
          `${row.kind} ${row.namespace === '' ? '' : `${row.namespace}/`}${row.name}: ${counted(row.pods, 'Pod')}, ${mode}`,
        ),
      ),
      ...formatTable(['CONTAINER', 'KIND', 'USER', 'PORTS', 'IMAGE'], row.containers.map(containerCells)).map(indented),
      ...modeLines(
        'isolate',
        'the containers stay one Pod, told apart by their users',
        row.isolate,
        noteworthyIn(row.isolate, 'isolate'),
      ),
      ...modeLines('split', splitWords(row.split), row.split, noteworthyIn(row.split, 'split')),
      ...row.notes.map((note) => indented(printable(`note: ${note}`))),
    ],
    findingLines(row, style),
  ];
}

function containerCells({ name, kind, user, ports, image }: ContainerAudit): readonly string[] {
  return [
    name,
    { container: 'container', sidecar: 'native sidecar', init: 'init' }[kind],
    user,
    ports.join(', ') || '-',
    image,
  ];
}

function splitWords({ primary, siblings }: SplitAudit): string {
  return `${primary} is the primary, and ${listOf(siblings)} ${siblings.length === 1 ? 'a sibling' : 'siblings'}`;
}

type Noted = { readonly path: string; readonly message: string; readonly code: string };

function modeLines(name: string, how: string, mode: ModeAudit, noted: readonly Noted[]): readonly string[] {
  if (mode.verdict === 'refused') {
    const { closed, lessened, stays } = mode.effects;
    return [
      `  ${name}: refused; with what follows corrected it would close ${closed}, lessen ${lessened}, leave ${stays}`,
      ...mode.refusals.map((refusal) => printable(`    ${formatRefusal(refusal)}`)),
    ];
  }
  return [
    printable(`  ${name}: ${how}; it ${effectsOf(mode)}`),
    ...noted.map(({ path, message, code }) => printable(`    note: ${path}: ${message} (${code})`)),
  ];
}

function noteworthyIn({ changes, flows }: ModeAudit, mode: 'isolate' | 'split'): readonly Noted[] {
  // Both ask whether there are flows, and nothing else of them.
  const decision = {
    reasons: changes,
    flows: flows.map(() => ({ from: '', to: '', port: 0, protocol: 'tcp' as const })),
  };
  return mode === 'split' ? noteworthy(decision) : noteworthyOf(decision);
}

function findingLines({ findings, mode }: WorkloadAudit, { colours }: AuditStyle): readonly string[] {
  const paint = colourOf(colours);
  const inForce = mode !== 'none';
  const table = formatTable(
    ['SEVERITY', 'RULE', 'WHO', 'WHOM', ...(inForce ? ['NOW'] : []), 'ISOLATE', 'SPLIT', 'FIELD'],
    findings.map((finding) => [
      finding.severity,
      finding.rule,
      finding.actor,
      listVictims(finding.victims),
      ...(inForce ? [finding.now] : []),
      finding.isolate.effect,
      finding.split.effect,
      fieldOf(finding),
    ]),
  );
  return table.map((line, index) => {
    const finding = findings[index - 1];
    return indented(finding === undefined || finding.now === 'closed' ? line : paint(finding.severity, line));
  });
}

function fieldOf({ evidence }: Finding): string {
  const [first, ...more] = evidence;
  return `${first?.path ?? ''}${more.length === 0 ? '' : ` and ${more.length} more`}`;
}

function colourOf(colours: boolean): (severity: Severity, text: string) => string {
  const { red, yellow } = pc.createColors(colours);
  return (severity, text) =>
    severity === 'critical' || severity === 'high' ? red(text) : severity === 'medium' ? yellow(text) : text;
}

function indented(line: string): string {
  return `  ${line}`;
}
