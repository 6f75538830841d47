import type { ContainerNetworkPolicy } from '../api/container-network-policy.ts';
import type { EgressDns } from '../api/egress-via.ts';
import type { DeclaredPort, Flow } from '../api/flow.ts';
import type { Directory } from '../policies/directory.ts';
import { resolvePod, type ResolvedPod } from '../policies/resolve-pod.ts';
import { CliError } from './cli-error.ts';
import { policedPod, type PolicedPod } from './policy-subject.ts';
import { podReport, type PieceReport, type PodReport, type SplitObjects } from './status-report.ts';

/** One Pod as it is drawn. */
export interface PodTopology {
  readonly namespace: string;
  readonly pod: string;
  readonly workload: string;
  readonly mode: 'split' | 'isolate';
  readonly phase: string;
  readonly node?: string;
  readonly readyPieces: string;
  /** The addresses by which clients know the Pod. */
  readonly podIPs: readonly string[];
  readonly pieces: readonly PieceTopology[];
  readonly links: readonly Link[];
  /** What somebody who looks at it has to know besides: a sentence each. */
  readonly notes: readonly string[];
}

export interface PieceTopology extends Pick<PieceReport, 'container' | 'role' | 'pod' | 'state' | 'ready'> {
  readonly podIPs: readonly string[];
  /** On the peer network. */
  readonly addresses: readonly string[];
  readonly in: Inbound;
  readonly out: Outbound;
}

/** From outside the Pod, at the Pod's own addresses. */
export interface Inbound {
  /** `8080/tcp`; `all TCP, to port 15006`. */
  readonly ports: readonly string[];
  /** A ContainerNetworkPolicy says who may. */
  readonly restricted: boolean;
}

export type Outbound =
  | { readonly kind: 'open' }
  /** Where a ContainerNetworkPolicy says. */
  | { readonly kind: 'restricted' }
  /** By its proxy: a link says which. */
  | { readonly kind: 'via'; readonly dns: EgressDns }
  | { readonly kind: 'none' }
  | { readonly kind: 'unknown' };

/** All that one piece may do to another. */
export interface Link {
  readonly from: string;
  readonly to: string;
  /** `6379/tcp`; none where its way out is all there is. */
  readonly ports: readonly string[];
  /** It is its only way out; with a port all TCP is carried there. */
  readonly way?: { readonly port?: number };
}

/** Of a namespace, what policies say; undefined where nobody may read them. */
export interface Policies {
  readonly policies: readonly ContainerNetworkPolicy[] | undefined;
  readonly directory: Directory;
}

/** @param now epoch milliseconds */
export function podTopology(split: SplitObjects, { policies, directory }: Policies, now: number): PodTopology {
  const report = podReport(split, now);
  const read = policed(split);
  const resolved = read === undefined ? undefined : resolvePod(read.subject, policies ?? [], directory);
  const pieces = piecesOf(report, read);
  const flows = resolved?.flows ?? report.flows;
  return {
    namespace: report.namespace,
    pod: report.pod,
    workload: `${report.workload.kind.toLowerCase()}/${report.workload.name}`,
    mode: report.mode,
    phase: report.completed === true ? 'Completed' : report.phase,
    ...(report.node === undefined ? {} : { node: report.node }),
    readyPieces: report.readyPieces,
    podIPs: pieces.find(({ role }) => role !== 'sibling')?.podIPs ?? [],
    pieces: pieces.map((piece) => ({
      ...piece,
      in: inboundOf(piece.container, read, resolved),
      out: outboundOf(piece.container, resolved),
    })),
    links: linksOf(flows, resolved),
    notes: notesOf(report, { hasPlan: read !== undefined, readPolicies: policies !== undefined, resolved }),
  };
}

/** As admission planned it; undefined where the primary is gone, or another version wrote on it. */
function policed({ primary }: SplitObjects): PolicedPod | undefined {
  if (primary === undefined) return undefined;
  try {
    return policedPod(primary);
  } catch (error) {
    if (error instanceof CliError) return undefined;
    throw error;
  }
}

type Drawn = Omit<PieceTopology, 'in' | 'out'>;

/** Of the PodSplit; before there is one, of what was admitted. */
function piecesOf(report: PodReport, read: PolicedPod | undefined): readonly Drawn[] {
  if (report.pieces.length > 0) return report.pieces;
  return (read?.subject.containers ?? []).map(({ name }, index) => ({
    container: name,
    role: report.mode === 'isolate' ? 'isolated' : index === 0 ? 'primary' : 'sibling',
    pod: index === 0 || report.mode === 'isolate' ? report.pod : '',
    state: index === 0 || report.mode === 'isolate' ? 'Pending' : 'not made yet',
    ready: false,
    podIPs: [],
    addresses: [],
  }));
}

function inboundOf(container: string, read: PolicedPod | undefined, resolved: ResolvedPod | undefined): Inbound {
  const declared: readonly Pick<DeclaredPort, 'port' | 'protocol'>[] = (
    read?.subject.containers.find(({ name }) => name === container)?.ports ?? []
  ).flatMap(({ port, protocol }) => (protocol === 'sctp' ? [] : [{ port, protocol }]));
  const entry = read?.ingressVia;
  const ports = [
    ...(entry === container ? ['all TCP'] : []),
    ...declared.flatMap(({ port, protocol }) =>
      entry !== undefined && protocol === 'tcp' ? [] : [`${port}/${protocol}`],
    ),
  ];
  return {
    ports: [...new Set(ports)],
    restricted: resolved?.podNetwork.get(container)?.ingress?.enforce !== undefined,
  };
}

function outboundOf(container: string, resolved: ResolvedPod | undefined): Outbound {
  if (resolved === undefined) return { kind: 'unknown' };
  const way = resolved.via.find(({ from }) => from === container);
  if (way?.kind === 'none') return { kind: 'none' };
  if (way !== undefined) return { kind: 'via', dns: way.dns };
  return resolved.podNetwork.get(container)?.egress?.enforce === undefined ? { kind: 'open' } : { kind: 'restricted' };
}

function linksOf(flows: readonly Flow[], resolved: ResolvedPod | undefined): readonly Link[] {
  const byPair = Map.groupBy(flows, ({ from, to }) => JSON.stringify([from, to]));
  const ways = (resolved?.via ?? []).flatMap((way) => (way.kind === 'proxy' ? [way] : []));
  const wayOf = (from: string, to: string): Pick<Link, 'way'> => {
    const found = ways.find((way) => way.from === from && way.to === to);
    if (found === undefined) return {};
    return { way: found.port === undefined ? {} : { port: found.port } };
  };
  const links = [...byPair.values()].flatMap((group): readonly Link[] => {
    const [first] = group;
    if (first === undefined) return [];
    const { from, to } = first;
    return [{ from, to, ports: group.map(({ port, protocol }) => `${port}/${protocol}`), ...wayOf(from, to) }];
  });
  const bare = ways.filter(({ from, to }) => !links.some((link) => link.from === from && link.to === to));
  return [...links, ...bare.map(({ from, to }) => ({ from, to, ports: [], ...wayOf(from, to) }))];
}

interface Known {
  readonly hasPlan: boolean;
  readonly readPolicies: boolean;
  readonly resolved: ResolvedPod | undefined;
}

function notesOf(report: PodReport, { hasPlan, readPolicies, resolved }: Known): readonly string[] {
  const { mode, observing, completed, ready, problems } = report;
  return [
    ...(observing === true
      ? ['Nothing is enforced between the containers: podsplit.io/flows is observe. What is drawn is what would be.']
      : []),
    ...(hasPlan
      ? []
      : [
          'What comes from outside and what goes there is not known: the Pod does not say, or another version wrote on it.',
        ]),
    ...(readPolicies
      ? []
      : ['You may not list containernetworkpolicies: they may close or open what is drawn otherwise.']),
    ...(resolved?.problems ?? []).map(
      ({ policy, path, message, code }) => `Policy ${policy}, ${path}: ${message} (${code})`,
    ),
    ...(mode === 'isolate' ? ['One network namespace for all: containers are told apart by their users.'] : []),
    ...(completed === true || ready.status === 'True' ? [] : [`Not ready: ${ready.message} (${ready.reason})`]),
    ...(problems.length > 0 ? [`What to do: kubectl podsplit status ${report.pod} -n ${report.namespace}`] : []),
  ];
}

/** `6379/tcp, 8125/udp; all TCP out by port 15001`. */
export function linkText({ ports, way }: Link): string {
  return [...(ports.length > 0 ? [ports.join(', ')] : []), ...(way === undefined ? [] : [wayText(way.port)])].join(
    '; ',
  );
}

function wayText(port: number | undefined): string {
  return port === undefined ? 'its only way out' : `its only way out: all TCP to ${port}`;
}

export function outboundText(out: Outbound): string {
  switch (out.kind) {
    case 'open':
      return 'anywhere';
    case 'restricted':
      return 'where policies allow';
    case 'via':
      return {
        none: 'by its proxy only, resolves no names',
        cluster: "by its proxy only, and the cluster's DNS",
        proxy: 'by its proxy only, DNS too',
      }[out.dns];
    case 'none':
      return 'nowhere';
    case 'unknown':
      return 'not known';
  }
}

export function inboundText({ ports, restricted }: Inbound): string {
  if (ports.length === 0) return 'nothing';
  return `${ports.join(', ')}${restricted ? ', from where policies allow' : ''}`;
}

/** Running says not all: a probe may fail. */
export function stateOf({ state, ready }: Pick<PieceTopology, 'state' | 'ready'>): string {
  return ready || state !== 'Running' ? state : 'Running, not ready';
}

/** Each sentence that a picture of it would show, for who does not see one. */
export function inWords({ pieces, links }: PodTopology): readonly string[] {
  return [
    ...links.map((link) => `${link.from} may call ${link.to}: ${linkText(link)}.`),
    ...pieces.flatMap(({ container, in: inbound }) =>
      inbound.ports.length === 0 ? [] : [`From outside ${container} is called at ${inboundText(inbound)}.`],
    ),
    ...pieces.map(({ container, out }) => `${container} goes out: ${outboundText(out)}.`),
  ];
}

export function titleOf({ namespace, pod, workload, mode, node, phase, readyPieces }: PodTopology): string {
  return `Pod ${namespace}/${pod}, ${workload}, mode ${mode}, ${phase}${node === undefined ? '' : ` on ${node}`}, ${readyPieces} pieces ready`;
}
