import pc from 'picocolors';
import type { ContainerNetworkPolicy } from '../api/container-network-policy.ts';
import type { EgressDns } from '../api/egress-via.ts';
import type { Flow } from '../api/flow.ts';
import { userAnnotations } from '../api/names.ts';
import type { Directory } from '../policies/directory.ts';
import { reasons, type Explanation, type Party, type PolicyQuestion } from '../policies/explain-pod.ts';
import type { PolicyProblem } from '../policies/policy-problem.ts';
import { concerns } from '../policies/resolve-flows.ts';
import { policiesFor, resolvePod } from '../policies/resolve-pod.ts';
import type { ResolvedVia } from '../policies/resolve-via.ts';
import type { Allowed } from '../rules/wiring.ts';
import type { PolicedPod } from './policy-subject.ts';
import { formatTable, printable } from './table.ts';

/** What policies make of one Pod: the fields of `-o json` are an interface. */
export interface PolicyReport {
  readonly namespace: string;
  readonly pod: string;
  readonly mode: 'split' | 'isolate';
  readonly containers: readonly ContainerReport[];
  /** Between its containers, policies and annotations together. */
  readonly flows: readonly Flow[];
  readonly problems: readonly PolicyProblem[];
}

interface ContainerReport {
  readonly name: string;
  readonly ingress: DirectionReport;
  readonly egress: DirectionReport;
  /** Its only way out. */
  readonly egressVia?: EgressViaReport;
  /** The container by which clients come in, if it is another. */
  readonly ingressVia?: string;
}

interface EgressViaReport {
  /** Absent: it has none, since what says so contradicts itself, or cannot be. */
  readonly container?: string;
  readonly port?: number;
  readonly dns: EgressDns;
  /** None: the annotation podsplit.io/egress-via says so. */
  readonly policies: readonly string[];
}

interface DirectionReport {
  readonly policies: readonly string[];
  readonly audits: readonly string[];
  /** On the network of Pods; absent: not restricted. */
  readonly allowed?: readonly Allowed[];
}

export interface PolicyReportInput extends PolicedPod {
  readonly policies: readonly ContainerNetworkPolicy[];
  readonly directory: Directory;
}

export function policyReport({ subject, mode, ingressVia, policies, directory }: PolicyReportInput): PolicyReport {
  const { selecting } = policiesFor(subject, policies);
  const { flows, podNetwork, problems, via } = resolvePod(subject, policies, directory);
  const direction = (container: string, which: 'ingress' | 'egress'): DirectionReport => {
    const about = selecting.filter((policy) => concerns(policy, which, container));
    const allowed = podNetwork.get(container)?.[which]?.enforce;
    return {
      policies: about.filter(({ action }) => action === 'Enforce').map(({ name }) => name),
      audits: about.filter(({ action }) => action === 'Audit').map(({ name }) => name),
      ...(allowed === undefined ? {} : { allowed }),
    };
  };
  return {
    namespace: subject.namespace,
    pod: subject.name,
    mode,
    containers: subject.containers.map(({ name }) => {
      const way = via.find(({ from }) => from === name);
      return {
        name,
        ingress: direction(name, 'ingress'),
        egress: direction(name, 'egress'),
        ...(way === undefined ? {} : { egressVia: viaReport(way) }),
        ...(ingressVia === undefined || ingressVia === name ? {} : { ingressVia }),
      };
    }),
    flows,
    problems,
  };
}

function viaReport(via: ResolvedVia): EgressViaReport {
  const { policies } = via;
  if (via.kind === 'none') return { dns: 'none', policies };
  const { to, port, dns } = via;
  return { container: to, ...(port === undefined ? {} : { port }), dns, policies };
}

export function formatPolicyReport(report: PolicyReport, colours: boolean): string {
  const { bold, yellow } = pc.createColors(colours);
  const { namespace, pod, mode, containers, flows, problems } = report;
  const rows = containers.flatMap(({ name, ingress, egress, egressVia, ingressVia }) => [
    [name, 'ingress', ...(ingressVia === undefined ? cellsOf(ingress) : entryCells(ingress, ingressVia))],
    [name, 'egress', ...(egressVia === undefined ? cellsOf(egress) : viaCells(egress, egressVia))],
  ]);
  const between = formatTable(
    ['FROM', 'TO', 'PORT'],
    flows.map((flow) => [flow.from, flow.to, `${flow.port}/${flow.protocol}`]),
  );
  return [
    bold(printable(`Pod ${namespace}/${pod}, mode ${mode}`)),
    '',
    ...indented(formatTable(['CONTAINER', 'DIRECTION', 'POLICIES', 'AUDITED BY', 'ON THE NETWORK OF PODS'], rows)),
    '',
    bold('Between its containers'),
    '',
    ...indented(flows.length === 0 ? ['Nothing may pass.'] : between),
    ...(problems.length === 0 ? [] : ['', bold('Problems'), '']),
    ...indented(
      problems.map(({ policy, code, path, message }) => yellow(printable(`${policy}: ${path}: ${message} (${code})`))),
    ),
    '',
  ].join('\n');
}

function cellsOf({ policies, audits, allowed }: DirectionReport): readonly string[] {
  return [policies.join(', ') || '-', audits.join(', ') || '-', allowedText(allowed)];
}

function viaCells(egress: DirectionReport, { container, policies }: EgressViaReport): readonly string[] {
  const [restricting = '', audits = ''] = cellsOf(egress);
  const by = sayers(policies);
  return [restricting, audits, container === undefined ? `closed: no way out (${by})` : `by ${container} only (${by})`];
}

function sayers(policies: readonly string[]): string {
  return policies.length === 0 ? userAnnotations.egressVia : policies.join(', ');
}

function entryCells(ingress: DirectionReport, proxy: string): readonly string[] {
  const [policies = '', audits = ''] = cellsOf(ingress);
  return [policies, audits, `TCP by ${proxy} only (podsplit.io/ingress-via)`];
}

/** A person reads no more than these. */
const most = 3;

function allowedText(allowed: readonly Allowed[] | undefined): string {
  if (allowed === undefined) return 'not restricted';
  if (allowed.length === 0) return 'closed';
  const more = allowed.length > most ? ` and ${allowed.length - most} more` : '';
  return `${allowed.slice(0, most).map(rangeText).join(', ')}${more}`;
}

function rangeText({ addresses, protocol, ports }: Allowed): string {
  const [first = '', last = ''] = addresses.split('-');
  const whom = first === last ? first : addresses;
  if (protocol === undefined) return whom;
  const which =
    ports === undefined ? '' : ports.first === ports.last ? ` ${ports.first}` : ` ${ports.first}-${ports.last}`;
  return `${whom} ${protocol}${which}`;
}

/** The answer to one question: the fields of `-o json` are an interface. */
export interface Answer extends Explanation, PolicyQuestion {
  readonly namespace: string;
  readonly pod: string;
}

export function formatAnswer(answer: Answer, colours: boolean): string {
  const { bold, green, red } = pc.createColors(colours);
  const { allowed, audited, from, to, port, protocol, ends, via, entersBy } = answer;
  const rows = ends.map(({ container, direction, verdict, policies, rules }) => [
    container,
    direction,
    verdict,
    policies.join(', ') || '-',
    rules.map(({ policy, path }) => `${policy} ${path}`).join(', ') || '-',
  ]);
  return [
    `${allowed ? green('allowed') : red('denied')}: ${printable(`${partyText(from)} -> ${partyText(to)}:${port}/${protocol}`)}`,
    reasonText(answer),
    ...(audited ? ['Policies that audit would refuse it.'] : []),
    ...(via === undefined ? [] : [viaText(via)]),
    ...(entersBy === undefined ? [] : [entryText(entersBy, to)]),
    ...(rows.length === 0 ? [] : ['', bold('Ends'), '']),
    ...(rows.length === 0
      ? []
      : indented(formatTable(['CONTAINER', 'DIRECTION', 'VERDICT', 'POLICIES', 'RULES'], rows))),
    '',
  ].join('\n');
}

/** Nothing restricts it, but where it goes is said next. */
function reasonText({ because, via }: Answer): string {
  return because === 'NoPolicy' && via !== undefined
    ? 'No policy selects the container in that direction.'
    : reasons[because];
}

function viaText(via: ResolvedVia): string {
  const by = sayers(via.policies);
  if (via.kind === 'none') return `${printable(via.message)} (${via.code}, ${by}).`;
  const target = via.port === undefined ? via.to : `${via.to}:${via.port}`;
  return `It goes by ${target} and by nothing else (${by}), which has to take it there.`;
}

function entryText(proxy: string, to: Party): string {
  return `Clients come in by ${proxy} (${userAnnotations.ingressVia}): its policies are asked, and it has to take the call to ${partyText(to)} by a flow.`;
}

function partyText(party: Party): string {
  switch (party.kind) {
    case 'container':
      return party.name;
    case 'address':
      return party.address.includes(':') ? `[${party.address}]` : party.address;
    case 'pod':
      return [party.namespace, party.name, ...(party.container === undefined ? [] : [party.container])].join('/');
  }
}

function indented(lines: readonly string[]): readonly string[] {
  return lines.map((line) => `  ${line}`);
}
