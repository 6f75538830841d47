import pc from 'picocolors';
import type { Mode } from '../api/annotations.ts';
import { readFlow, type Flow } from '../api/flow.ts';
import { installOfNad, isIsolateNad } from '../api/identity.ts';
import type { InstallMode } from '../api/install.ts';
import type { Denial, ObservedUse, PodSplit, PodSplitStatus } from '../api/resources.ts';
import type { ParsedPolicy } from '../policies/parse-policy.ts';
import { howToAllow, policedCalls, type PolicedCall } from './flows-advice.ts';
import { formatTable, oneLine, printable } from './table.ts';

/** What passes between the pieces of one Pod, and what was denied: the fields of `-o json` are an interface. */
export interface FlowsReport {
  readonly namespace: string;
  /** The primary. */
  readonly pod: string;
  readonly workload: { readonly kind: string; readonly name: string };
  readonly mode: Mode;
  readonly phase: string;
  readonly install: InstallMode;
  /** The Pods of the pieces. */
  readonly pieces: readonly string[];
  readonly flows: readonly Flow[];
  /** Newest first. In install mode `init` nobody carries it here, so it is left out. */
  readonly denied?: readonly Denial[];
  /** Of what was denied between containers, what policies have the word about. */
  readonly policed?: readonly PolicedCall[];
  /** Nobody may read the policies: they may have the word about some of it. */
  readonly policiesUnread?: true;
  /** A sentence about the containers that have one way out. */
  readonly egressVia?: string;
  /** Nothing is enforced between the pieces, and what they use is recorded. */
  readonly observing?: true;
  /** What they used while they were observed, newest first; on the Pod's own network by address. */
  readonly observed?: readonly ObservedUse[];
}

/**
 * @param enforcing the policies that select the Pod: `unread` where nobody may read them, undefined where nobody has asked
 */
export function flowsReport(
  { metadata, spec, status }: PodSplit,
  enforcing?: readonly ParsedPolicy[] | 'unread',
): FlowsReport {
  const install = installOfNad(spec.networkAttachmentDefinition);
  const denied = [...(status?.denied ?? [])].sort(newestFirst);
  const way = status?.conditions?.find(({ type }) => type === 'EgressVia');
  return {
    namespace: metadata.namespace ?? '',
    pod: spec.pod.name,
    workload: { kind: spec.workload.kind, name: spec.workload.name },
    mode: isIsolateNad(spec.networkAttachmentDefinition) ? 'isolate' : 'split',
    phase: status?.phase ?? 'Pending',
    install,
    pieces: (status?.pieces ?? []).map(({ pod }) => pod),
    flows: spec.flows.map(readFlow).filter((flow) => flow !== undefined),
    ...(install === 'node' || denied.length > 0 ? { denied } : {}),
    ...saidByPolicies(denied, enforcing),
    ...(way === undefined ? {} : { egressVia: way.message }),
    ...(isObserving(status) ? { observing: true } : {}),
    ...(status?.observed === undefined ? {} : { observed: status.observed }),
  };
}

function saidByPolicies(
  denied: readonly Denial[],
  enforcing: readonly ParsedPolicy[] | 'unread' = [],
): Pick<FlowsReport, 'policed' | 'policiesUnread'> {
  if (enforcing === 'unread') return { policiesUnread: true };
  const policed = policedCalls(denied, enforcing);
  return policed.length === 0 ? {} : { policed };
}

function isObserving(status: PodSplitStatus | undefined): boolean {
  return status?.conditions?.some(({ type, reason }) => type === 'Enforcing' && reason === 'Observing') === true;
}

function newestFirst(one: Denial, other: Denial): number {
  const byTime = Date.parse(other.lastSeen) - Date.parse(one.lastSeen);
  return byTime === 0 ? other.packets - one.packets : byTime;
}

export interface FlowsStyle {
  readonly wide: boolean;
  readonly colours: boolean;
  /** Epoch milliseconds: ages count from here. */
  readonly now: number;
}

export function formatFlowsReport(report: FlowsReport, style: FlowsStyle): string {
  const { bold, red } = pc.createColors(style.colours);
  const { namespace, pod, phase, flows } = report;
  const denied = report.denied?.filter(({ audited }) => audited !== true);
  const audited = (report.denied ?? []).filter((denial) => denial.audited === true);
  const allowed = formatTable(
    ['FROM', 'TO', 'PORT'],
    flows.map(({ from, to, port, protocol }) => [from, to, `${port}/${protocol}`]),
  );
  const attempts = attemptLines(denied ?? [], style);
  const sections = [
    [`Pod ${namespace}/${pod}, ${phase}`, ...(report.observing === true ? [red(bold(observingNow))] : [])],
    [
      bold(report.observing === true ? 'Allowed by declared ports' : 'Allowed'),
      ...(flows.length === 0 ? [nothingAllowed(report)] : allowed),
    ],
    ...(report.egressVia === undefined ? [] : [[bold('Way out'), oneLine(report.egressVia)]]),
    ...(report.observed === undefined ? [] : [[bold('Observed'), ...observedLines(report.observed, style)]]),
    [
      bold('Denied'),
      ...(denied === undefined ? notCarried(report) : []),
      ...(denied?.length === 0 ? ['nothing in the last hour'] : []),
      ...(denied === undefined || denied.length === 0
        ? []
        : attempts.map((line, row) => (row === 0 ? line : red(line)))),
    ],
    ...(audited.length === 0
      ? []
      : [[bold('Passed, but policies that audit would refuse it'), ...attemptLines(audited, style)]]),
    ...howToAllow(report),
  ];
  return sections.map((lines) => lines.map((line) => `${line}\n`).join('')).join('\n');
}

function nothingAllowed({ egressVia }: FlowsReport): string {
  return egressVia === undefined ? 'nothing: the pieces do not reach each other' : 'nothing but the way out';
}

const observingNow =
  'NOTHING IS ENFORCED between the containers: podsplit.io/flows is observe, what they use is recorded.';

function observedLines(observed: readonly ObservedUse[], { now }: FlowsStyle): readonly string[] {
  if (observed.length === 0) return ['nothing yet'];
  return formatTable(
    ['FROM', 'TO', 'PORT', 'NETWORK', 'CONNECTIONS', 'LAST SEEN', 'ENFORCED'],
    observed.map(({ from, to, port, protocol, network, connections, lastSeen, wouldDeny }) => [
      from,
      to,
      `${port}/${protocol}`,
      network,
      String(connections),
      formatAge(now - Date.parse(lastSeen)),
      wouldDeny ? 'would be denied' : 'allowed',
    ]),
  );
}

function attemptLines(denials: readonly Denial[], style: FlowsStyle): readonly string[] {
  return formatTable(
    ['FROM', 'TO', 'ADDRESS', 'PORT', 'NETWORK', 'PACKETS', 'LAST SEEN', ...(style.wide ? ['SEEN BY', 'TIME'] : [])],
    denials.map((denial) => denialCells(denial, style)),
  );
}

function denialCells(denial: Denial, { wide, now }: FlowsStyle): readonly string[] {
  const { from, to, address, port, protocol, network, packets, lastSeen, seenBy } = denial;
  const age = formatAge(now - Date.parse(lastSeen));
  return [from, to, address, `${port}/${protocol}`, network, String(packets), age, ...(wide ? [seenBy, lastSeen] : [])];
}

function notCarried({ namespace, pieces }: FlowsReport): readonly string[] {
  const read = 'nft list table inet podsplit';
  return [
    'not carried here: this Pod loads its rules by an init container (install mode init), and what a piece was denied stays',
    'in its own table. To read it, with the image of podsplit as IMAGE:',
    `  kubectl debug PIECE -n ${namespace} -it --image=IMAGE --profile=general --custom=hack/rules-reader.json -- ${read}`,
    ...(pieces.length === 0 ? [] : [`PIECE is one of ${pieces.map(printable).join(', ')}.`]),
    'docs/operations.md, "What was denied", says what the counters mean. In install mode node it stands here.',
  ];
}

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

/** As kubectl prints ages, in at most two units; never negative, since the clocks of two machines differ. */
export function formatAge(milliseconds: number): string {
  if (Number.isNaN(milliseconds)) return '<unknown>';
  const age = Math.max(0, milliseconds);
  const whole = (unit: number): number => Math.floor(age / unit);
  const rest = (unit: number, of: number, name: string): string => {
    const count = Math.floor((age % of) / unit);
    return count === 0 ? '' : `${count}${name}`;
  };
  if (age < 2 * minute) return `${whole(second)}s`;
  if (age < 10 * minute) return `${whole(minute)}m${rest(second, minute, 's')}`;
  if (age < 3 * hour) return `${whole(minute)}m`;
  if (age < 8 * hour) return `${whole(hour)}h${rest(minute, hour, 'm')}`;
  if (age < 2 * day) return `${whole(hour)}h`;
  if (age < 8 * day) return `${whole(day)}d${rest(hour, day, 'h')}`;
  return `${whole(day)}d`;
}
