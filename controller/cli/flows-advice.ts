import { formatFlow, formatFlowPort, type Flow } from '../api/flow.ts';
import { userAnnotations } from '../api/names.ts';
import type { Denial } from '../api/resources.ts';
import type { ParsedPolicy } from '../policies/parse-policy.ts';
import { concerns } from '../policies/resolve-flows.ts';
import type { FlowsReport } from './flows-report.ts';
import { printable } from './table.ts';

/** A call between two containers of the Pod that was denied, and policies have the word about it. */
export interface PolicedCall extends Flow {
  /** Names of those that select an end. */
  readonly policies: readonly string[];
}

/** Between two containers: those that somebody could allow. A process of no container's user is nobody's. */
export function callsBetween(denied: readonly Denial[]): readonly Flow[] {
  const isContainer = (end: string): boolean => !/[:.]/.test(end) && end !== 'unknown-user';
  const between = denied.filter(({ from, to, audited }) => audited !== true && isContainer(from) && isContainer(to));
  return [...new Map(between.map((call) => [formatFlow(call), call])).values()];
}

/** @param enforcing those that select the Pod */
export function policedCalls(denied: readonly Denial[], enforcing: readonly ParsedPolicy[]): readonly PolicedCall[] {
  return callsBetween(denied).flatMap(({ from, to, port, protocol }) => {
    const about = enforcing.filter((each) => concerns(each, 'egress', from) || concerns(each, 'ingress', to));
    const policies = about.map(({ name }) => name).sort();
    return policies.length === 0 ? [] : [{ from, to, port, protocol, policies }];
  });
}

/** What somebody would do who wants to allow it: the annotation has no say where a policy selects an end. */
export function howToAllow(report: FlowsReport): readonly (readonly string[])[] {
  const calls = callsBetween(report.denied ?? []);
  const [unknown, ...more] = callsToNobody(report);
  const { policed = [] } = report;
  return [
    ...(unknown === undefined ? [] : [declareIt(report, [unknown, ...more])]),
    ...(policed.length === 0 ? [] : [askPolicies(report, policed)]),
    ...(policed.length === calls.length ? [] : [addToFlows(report, policed.length > 0 || unknown !== undefined)]),
  ];
}

/** What a piece called at its own loopback, and no other is known to serve. While it is observed, whoever listens is found. */
function callsToNobody({ mode, observing, denied = [] }: FlowsReport): readonly Denial[] {
  if (mode === 'isolate' || observing === true) return [];
  const ended = denied.filter(({ network, to, address }) => network === 'loopback' && to === address);
  return [...new Map(ended.map((call) => [`${call.from} ${formatFlowPort(call)}`, call])).values()];
}

/** Whether another container listens there, or nobody as in one Pod, only those know who know the programs. */
function declareIt({ workload }: FlowsReport, [one, ...others]: readonly [Denial, ...Denial[]]): readonly string[] {
  const more = others.length >= most ? [`  and ${others.length + 1 - most} more`] : [];
  return [
    'At its own loopback, or Pod IP, each of these found nobody who listens, and no flow carries it to another container:',
    ...[one, ...others].slice(0, most).map((call) => `  ${printable(call.from)} at ${call.port}/${call.protocol}`),
    ...more,
    'If one listens there, declare the port at that container, as',
    `  ports: [{ containerPort: ${one.port}${one.protocol === 'udp' ? ', protocol: UDP' : ''} }]`,
    `in ${workload.kind.toLowerCase()}/${printable(workload.name)}. Where ${userAnnotations.flows} or a ContainerNetworkPolicy says what is open, that has to allow it too.`,
  ];
}

/** A person reads no more than these. */
const most = 4;

function askPolicies({ namespace, pod }: FlowsReport, policed: readonly PolicedCall[]): readonly string[] {
  const more = policed.length > most ? [`  and ${policed.length - most} more`] : [];
  return [
    `ContainerNetworkPolicies decide about these, and ${userAnnotations.flows} does not. What refuses one is told by:`,
    ...policed.slice(0, most).map((call) => {
      const ends = `--from ${printable(call.from)} --to ${printable(call.to)}:${formatFlowPort(call)}`;
      const question = `kubectl podsplit policy ${printable(pod)} -n ${printable(namespace)} ${ends}`;
      return `  ${question}   # ${call.policies.map(printable).join(', ')}`;
    }),
    ...more,
  ];
}

/** The annotation lists all flows there shall be, so the ones of today have to stand in it too. */
function addToFlows({ workload, flows, policiesUnread }: FlowsReport, hasOthers: boolean): readonly string[] {
  const today = flows.map(formatFlow).join(',');
  return [
    `To allow ${hasOthers ? 'one of the others' : 'one'}, add it to all that stay, as FROM->TO:PORT or FROM->TO:PORT/udp, in ${userAnnotations.flows} of`,
    `${workload.kind.toLowerCase()}/${printable(workload.name)}. Today's are: ${today === '' ? 'none' : printable(today)}`,
    ...(policiesUnread === true
      ? ['If a ContainerNetworkPolicy selects one of its ends, that decides instead; you may not list them here.']
      : []),
  ];
}
