import type { Flow } from '../api/flow.ts';
import { familyOf, type Family } from './addresses.ts';
import { everyAddress } from './pod-network-elements.ts';
import { openCalls, openPairs, type OpenCall } from './isolate-observe.ts';
import { byProxy, resolversOf, type NumberedVia } from './isolate-via.ts';
import type { IsolatedContainer, IsolateWiring } from './isolate-wiring.ts';
import type { Allowances, Allowed, Local } from './wiring.ts';

/** Who is not a container, in the byte of a mark that says who called. Containers count from 1. */
export const outsider = 0xff;
/** In records only: a process whose UID is no container's. */
export const stranger = 0xfe;

/** A connection's mark: who called in the low byte, who answered in the next one; 0 as long as nobody has. */
export function markOf(caller: number, answerer: number): number {
  return caller | (answerer << 8);
}

export interface NumberedContainer extends IsolatedContainer {
  readonly number: number;
}

export interface AllowedElements {
  readonly some: readonly string[];
  readonly all: readonly string[];
}

/** What the rules of an isolated Pod say, without how: elements of sets and maps. Marks are decimal, as nft lists them. */
export interface IsolateModel {
  readonly containers: readonly NumberedContainer[];
  /** Is what they use recorded? Part of the skeleton. */
  readonly isObserved: boolean;
  /** `mark`: caller and answerer between whom nothing is enforced. */
  readonly open: readonly string[];
  /** `mark`: a container that calls itself. */
  readonly self: readonly string[];
  /** `mark . protocol . port`: caller and answerer of a flow. */
  readonly flows: readonly string[];
  /** `mark . ports`: UDP ports that a container may send to, before anybody answers. */
  readonly calls: readonly string[];
  /** `mark . port`: TCP ports that are other containers', and in no flow of the caller. */
  readonly taken: readonly string[];
  /** `port : mark`: whose UDP port the outside calls. */
  readonly served: readonly string[];
  /** `mark . port`: what the kubelet probes. */
  readonly probed: readonly string[];
  /** Of the flows those that policies with action Audit would refuse: TCP as `flows`, UDP as `calls`. */
  readonly auditFlows: readonly string[];
  readonly auditCalls: readonly string[];
  readonly via: readonly NumberedVia[];
  readonly ipv4: IsolateFamily;
  readonly ipv6: IsolateFamily;
}

export interface IsolateFamily {
  readonly nodes: readonly string[];
  /** `some`: `mark . address . protocol . port`; `all`: `mark . address`, for whatever protocol. */
  readonly egress: AllowedElements;
  readonly ingress: AllowedElements;
  /** The same, where policies with action Audit have the say. */
  readonly auditEgress: AllowedElements;
  readonly auditIngress: AllowedElements;
  /** Who may ping the Pod: no container answers, so it is enough that one would take everything. */
  readonly pinged: readonly string[];
}

export function isolateModel(wiring: IsolateWiring, local: Local): IsolateModel {
  const containers = wiring.containers.map((container, i) => ({ ...container, number: i + 1 }));
  const numbered = (flow: Flow) => ({
    caller: numberOf(containers, flow.from),
    answerer: numberOf(containers, flow.to),
    ...flow,
  });
  const flows = wiring.flows.map(numbered);
  const audited = (wiring.auditedFlows ?? []).map(numbered);
  const reached = new Set(flows.map(({ caller, protocol, port }) => `${caller} ${protocol} ${port}`));
  const declared = (protocol: 'tcp' | 'udp') =>
    containers.flatMap(({ number, ports }) =>
      ports.filter((port) => port.protocol === protocol).map(({ port }) => ({ number, port })),
    );
  const own = new Set(declared('tcp').map(({ number, port }) => `${number} ${port}`));
  const via = (wiring.via ?? []).map((each) => ({
    ...each,
    caller: numberOf(containers, each.from),
    uid: containers.find(({ name }) => name === each.from)?.uid ?? 0,
    // Nobody: it has no way out.
    answerer: each.to === undefined ? 0 : numberOf(containers, each.to),
  }));
  const open = openPairs(containers, wiring.observe);
  const isOpen = (caller: number, answerer: number): boolean =>
    open.some(({ from, to }) => from.number === caller && to.number === answerer);
  return {
    containers,
    isObserved: wiring.observe !== undefined,
    open: open.map(({ from, to }) => String(markOf(from.number, to.number))),
    self: containers.map(({ number }) => String(markOf(number, number))),
    flows: unique(flows.map(flowElement)),
    calls: callElements([
      ...callsOf(flows),
      ...declared('udp').map(({ number, port }) => ({ caller: number, ports: { first: port, last: port } })),
      ...openCalls(containers, open),
    ]),
    taken: unique(
      containers.flatMap(({ number }) =>
        declared('tcp')
          .filter(({ port }) => !own.has(`${number} ${port}`) && !reached.has(`${number} tcp ${port}`))
          .filter((taken) => !isOpen(number, taken.number))
          .map(({ port }) => `${number} . ${port}`),
      ),
    ),
    served: declared('udp').map(({ number, port }) => `${port} : ${markOf(outsider, number)}`),
    probed: unique(
      containers.flatMap(({ number, probes }) => probes.map((port) => `${markOf(outsider, number)} . ${port}`)),
    ),
    auditFlows: unique(audited.filter(({ protocol }) => protocol === 'tcp').map(flowElement)),
    auditCalls: callElements(callsOf(audited)),
    via,
    ipv4: familyModel('ipv4', containers, via, local),
    ipv6: familyModel('ipv6', containers, via, local),
  };
}

interface NumberedFlow extends Flow {
  readonly caller: number;
  readonly answerer: number;
}

function flowElement({ caller, answerer, protocol, port }: NumberedFlow): string {
  return `${markOf(caller, answerer)} . ${protocol} . ${port}`;
}

function callsOf(flows: readonly NumberedFlow[]): readonly OpenCall[] {
  return flows
    .filter(({ protocol }) => protocol === 'udp')
    .map(({ caller, port }) => ({ caller, ports: { first: port, last: port } }));
}

/** Disjoint: who calls every port needs no other. */
function callElements(calls: readonly OpenCall[]): readonly string[] {
  const everywhere = new Set(calls.filter(({ ports }) => ports.first !== ports.last).map(({ caller }) => caller));
  return unique(
    calls
      .filter(({ caller, ports }) => ports.first !== ports.last || !everywhere.has(caller))
      .map(({ caller, ports }) => `${caller} . ${ports.first}-${ports.last}`),
  );
}

function familyModel(
  family: Family,
  containers: readonly NumberedContainer[],
  vias: readonly NumberedVia[],
  local: Local,
): IsolateFamily {
  const marked = (mark: number, list: readonly Allowed[] | undefined): readonly Marked[] =>
    allowed(list, family).map((one) => ({ mark, ...one }));
  const ingressOf = (action: keyof Allowances) =>
    containers.flatMap(({ number, podNetwork }) => marked(markOf(outsider, number), podNetwork?.ingress?.[action]));
  const egressOf = (action: keyof Allowances) =>
    containers.flatMap(({ number, podNetwork }) => {
      const list = podNetwork?.egress?.[action];
      const via = vias.find(({ caller }) => caller === number);
      if (via === undefined) return marked(markOf(number, 0), list);
      const itself = action === 'enforce' ? resolversOf(via, list, family) : list;
      return [...marked(markOf(number, 0), itself), ...marked(markOf(number, byProxy), list)];
    });
  const ingress = ingressOf('enforce');
  return {
    nodes: unique(local.nodeIPs.filter((address) => familyOf(address) === family)),
    egress: elementsOf(egressOf('enforce')),
    ingress: elementsOf(ingress),
    auditEgress: elementsOf(egressOf('audit')),
    auditIngress: elementsOf(ingressOf('audit')),
    pinged: unique(ingress.filter(({ protocol }) => protocol === undefined).map(({ addresses }) => addresses)),
  };
}

/** Not restricted is "every address", so that a policy that comes or goes is a change of elements. */
function allowed(list: readonly Allowed[] | undefined, family: Family): readonly Allowed[] {
  if (list === undefined) return [{ addresses: everyAddress[family] }];
  return list.filter(({ addresses }) => familyOf(addresses) === family);
}

interface Marked extends Allowed {
  readonly mark: number;
}

function elementsOf(marked: readonly Marked[]): AllowedElements {
  return { some: marked.flatMap(withProtocol), all: marked.flatMap(withoutProtocol) };
}

/** Each range in full: nft 1.0 adds a single value, and does not find it again to delete it. */
function withProtocol({ mark, addresses, protocol, ports }: Marked): readonly string[] {
  if (protocol === undefined) return [];
  const { first, last } = ports ?? { first: 0, last: 65535 };
  return [`${mark} . ${addresses} . ${protocol} . ${first}-${last}`];
}

function withoutProtocol({ mark, addresses, protocol }: Marked): readonly string[] {
  return protocol === undefined ? [`${mark} . ${addresses}`] : [];
}

/** `parseIsolateWiring` has looked that each is there. */
function numberOf(containers: readonly NumberedContainer[], name: string): number {
  const found = containers.find((container) => container.name === name);
  if (found === undefined) throw new RangeError(`no container is named ${name}`);
  return found.number;
}

function unique(values: readonly string[]): readonly string[] {
  return [...new Set(values)];
}
