import pc from 'picocolors';
import { formatFlow, type Flow } from '../api/flow.ts';
import { formatAge } from './flows-report.ts';
import { opens, opensAny } from './status-observed.ts';
import { faultsOf, isUnready, isWell, type PieceReport, type PodReport, type Problem } from './status-report.ts';
import { counted, formatTable, oneLine, printable } from './table.ts';

export interface StatusStyle {
  /** Every Pod with all there is to say, not only those where something is wrong. */
  readonly wide: boolean;
  /** The user has named their workload: each with its pieces, but those that go. */
  readonly inFull: boolean;
  readonly colours: boolean;
  /** Pods of several namespaces. */
  readonly namespaces: boolean;
  /** One Pod, which the user has named. */
  readonly named: boolean;
  /** Epoch milliseconds: ages count from here. */
  readonly now: number;
}

/** The Pod that was asked for; of several a line each, and all of those where something is wrong. */
export function formatStatus(reports: readonly PodReport[], style: StatusStyle): string {
  const isFull = ({ ending, problems }: PodReport): boolean =>
    style.named || style.wide || (style.inFull && ending !== true) || problems.length > 0;
  const inFull = reports.filter(isFull);
  const sections = [
    ...(style.named ? [] : [overview(reports, style)]),
    ...inFull.flatMap((report) => sectionsOf(report, style)),
    ...(inFull.some(({ problems }) => problems.length > 0)
      ? [['docs/operations.md#reasons explains each reason.']]
      : []),
  ];
  return sections.map((lines) => lines.map((line) => `${line}\n`).join('')).join('\n');
}

function overview(reports: readonly PodReport[], style: StatusStyle): readonly string[] {
  const { red } = pc.createColors(style.colours);
  const table = formatTable(
    [
      ...(style.namespaces ? ['NAMESPACE'] : []),
      'POD',
      'WORKLOAD',
      'PHASE',
      'PIECES',
      'REASON',
      'RESTARTS',
      'DENIED',
      'NODE',
      'AGE',
    ],
    reports.map((report) => [
      ...(style.namespaces ? [report.namespace] : []),
      report.pod,
      workloadOf(report),
      phaseOf(report),
      report.readyPieces,
      faultsOf(report)[0]?.reason ?? report.ready.reason,
      String(report.pieces.reduce((sum, { restarts = 0 }) => sum + restarts, 0)),
      report.denied === undefined ? '-' : String(report.denied.packets),
      report.node ?? '-',
      ageOf(report.created, style.now),
    ]),
  );
  return [
    ...table.map((line, row) => (row === 0 || isWell(reports[row - 1] as PodReport) ? line : red(line))),
    '',
    summary(reports),
  ];
}

/** Pods that end are not counted: a rollout is no trouble. */
function summary(reports: readonly PodReport[]): string {
  const staying = reports.filter(({ ending }) => ending !== true);
  const ending = reports.length - staying.length;
  if (staying.length === 0) return `${counted(ending, 'Pod')}, ending`;
  const unready = staying.filter(isUnready).length;
  const others = staying.flatMap(faultsOf).filter(({ condition }) => condition !== 'Ready').length;
  const observing = staying.filter((report) => report.observing === true && report.completed !== true).length;
  const isCalm = others === 0 && observing === 0;
  const verdict = [
    unready > 0 ? `${unready} not ready` : isCalm ? 'all well' : staying.length === 1 ? 'ready' : 'all ready',
    ...(others > 0 ? [counted(others, unready > 0 ? 'other problem' : 'problem')] : []),
    ...(observing > 0 ? [`${observing} observing`] : []),
  ];
  return `${counted(staying.length, 'Pod')}: ${verdict.join(', ')}${ending > 0 ? `; ${ending} more ending` : ''}`;
}

function sectionsOf(report: PodReport, style: StatusStyle): readonly (readonly string[])[] {
  const { bold, red } = pc.createColors(style.colours);
  const titled = (title: string, problems: readonly Problem[]): readonly (readonly string[])[] =>
    problems.length === 0 ? [] : [[bold(title), ...problems.flatMap((problem) => problemLines(problem, red))]];
  return [
    [bold(printable(`Pod ${report.namespace}/${report.pod}`)), ...factLines(report, style)],
    ...(report.pieces.length === 0 ? [] : [pieceLines(report.pieces, style)]),
    ...titled('What is wrong', faultsOf(report)),
    ...titled(
      'On purpose',
      report.problems.filter(({ chosen }) => chosen === true),
    ),
  ];
}

function factLines(report: PodReport, { colours, wide, now }: StatusStyle): readonly string[] {
  const { red } = pc.createColors(colours);
  const { ready, node, mode, install } = report;
  const since = ready.since === undefined ? '' : ` for ${ageOf(ready.since, now)}`;
  const facts: readonly (readonly [string, string, boolean?])[] = [
    ['Workload', `${workloadOf(report)}, mode ${mode}${install === undefined ? '' : `, rules loaded by ${install}`}`],
    ['Phase', `${phaseOf(report)}${node === undefined ? '' : ` on ${node}`}, ${ageOf(report.created, now)} old`],
    ['Ready', `${ready.status}${since}, ${report.readyPieces} pieces (${ready.reason})`, isUnready(report)],
    ['Allowed', allowedText(report), isOpen(report)],
    ['Denied', deniedText(report)],
    ...(report.egressVia === undefined ? [] : [['Way out', report.egressVia] as const]),
    ...(report.ingressVia === undefined ? [] : [['Way in', `all TCP by ${report.ingressVia}`] as const]),
    ...(wide
      ? report.conditions
          .filter(({ type, status }) => type !== 'Ready' && type !== 'EgressVia' && status === 'True')
          .map(({ type, reason, message }) => [type, `${message} (${reason})`] as const)
      : []),
  ];
  const width = Math.max(...facts.map(([name]) => printable(name).length));
  return facts.map(([name, value, isWrong = false]) => {
    const line = `${printable(name).padEnd(width)}   ${oneLine(value)}`;
    return isWrong ? red(line) : line;
  });
}

/** Is something left unenforced? */
function isOpen({ observing, unenforced }: PodReport): boolean {
  return observing === true && (unenforced === undefined || opensAny(unenforced));
}

function allowedText(report: PodReport): string {
  const { flows, install, observing, unenforced } = report;
  if (install === undefined) return 'not known yet';
  if (observing !== true) return flowsText(flows);
  if (!isOpen(report)) return `${flowsText(flows)} (observed, and policies enforce it)`;
  if (unenforced === undefined) return 'everything: NOTHING IS ENFORCED between the containers';
  const { from, to } = unenforced;
  const rest = flowsText(flows.filter((flow) => !opens(unenforced, flow)));
  return `everything from ${from.join(', ')} to ${to.join(', ')}: NOTHING IS ENFORCED there; else ${rest}`;
}

function flowsText(flows: readonly Flow[]): string {
  return flows.length === 0 ? 'nothing between the containers' : flows.map(formatFlow).join(', ');
}

function deniedText({ denied, install, pod, namespace }: PodReport): string {
  if (denied === undefined) return install === undefined ? 'not known yet' : 'not carried here in install mode init';
  if (denied.kinds === 0) return 'nothing in the last hour';
  const kinds = denied.kinds === 1 ? 'one kind' : `${denied.kinds} kinds`;
  return `${counted(denied.packets, 'packet')} of ${kinds} in the last hour: kubectl podsplit flows ${pod} -n ${namespace}`;
}

function pieceLines(pieces: readonly PieceReport[], { wide, colours, now }: StatusStyle): readonly string[] {
  const { red } = pc.createColors(colours);
  const table = formatTable(
    [
      'CONTAINER',
      'POD',
      'READY',
      'STATE',
      'RESTARTS',
      'POD IPS',
      'PEER ADDRESSES',
      ...(wide ? ['MAC', 'LAST EXIT'] : []),
    ],
    pieces.map((piece) => [
      piece.container,
      piece.pod,
      piece.ready ? 'yes' : 'no',
      piece.state,
      restartsOf(piece, now),
      listOf(piece.podIPs),
      listOf(piece.addresses),
      ...(wide ? [piece.mac === '' ? '-' : piece.mac, lastExitOf(piece)] : []),
    ]),
  );
  return table.map((line, row) => (row === 0 || pieces[row - 1]?.ready === true ? line : red(line)));
}

/** As kubectl says it: `3 (2m ago)`. */
function restartsOf({ restarts, lastExit }: PieceReport, now: number): string {
  if (restarts === undefined) return '-';
  return restarts === 0 || lastExit?.at === undefined
    ? String(restarts)
    : `${restarts} (${ageOf(lastExit.at, now)} ago)`;
}

function lastExitOf({ lastExit }: PieceReport): string {
  return lastExit === undefined
    ? '-'
    : `${lastExit.reason === '' ? 'exit code' : lastExit.reason} ${lastExit.exitCode}`;
}

function problemLines({ condition, reason, message, next }: Problem, red: (text: string) => string): readonly string[] {
  return [red(oneLine(`${condition} (${reason}): ${message}`)), `  ${oneLine(next)}`];
}

function workloadOf({ workload }: PodReport): string {
  return `${workload.kind.toLowerCase()}/${workload.name}`;
}

function phaseOf({ phase, completed, ending }: PodReport): string {
  return completed === true && ending !== true ? 'Completed' : phase;
}

function ageOf(time: string | undefined, now: number): string {
  return formatAge(now - Date.parse(time ?? ''));
}

function listOf(values: readonly string[]): string {
  return values.length === 0 ? '-' : values.join(',');
}
