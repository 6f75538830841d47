import type { Flow } from '../api/flow.ts';
import type { Allowances, Allowed, PolicyProtocol, PortRange } from '../rules/wiring.ts';
import { maxAllowed } from '../rules/wiring-json.ts';
import { covers, everyAddress, type AddressRange } from './address-range.ts';
import { allowedList, type Opening } from './allowed-list.ts';
import type { Directory, DirectoryService, PolicyDeclaredPort, PolicySubject } from './directory.ts';
import type { Notes } from './notes.ts';
import type { ParsedPolicy, ParsedPort, ParsedRule, PodPeer } from './parse-policy.ts';
import { addressRange, callersOf, means, meetingsOf, type Meeting } from './policy-peers.ts';
import { concerns, isCarried, lookForName } from './resolve-flows.ts';

export interface NetworkContext {
  readonly subject: PolicySubject;
  /** Those that select the subject, of either action. */
  readonly policies: readonly ParsedPolicy[];
  readonly directory: Directory;
  readonly notes: Notes;
  /** What passes between the subject's containers: it decides what is said, not what is opened. */
  readonly flows: readonly Flow[];
}

type Container = PolicySubject['containers'][number];

/**
 * What one container may take from, or send to, the Pods' network. Undefined where no policy says so. Where one enforces,
 * one that audits can only add to what passes, and has nothing to record.
 */
export function resolveDirection(
  context: NetworkContext,
  direction: 'ingress' | 'egress',
  container: Container,
): Allowances | undefined {
  const about = context.policies.filter((policy) => concerns(policy, direction, container.name));
  const enforcing = about.filter(({ action }) => action === 'Enforce');
  if (enforcing.length > 0) return { enforce: listOf(context, direction, container, enforcing) ?? [] };
  if (about.length === 0) return undefined;
  const audit = listOf(context, direction, container, about);
  return audit && { audit };
}

function listOf(
  context: NetworkContext,
  direction: 'ingress' | 'egress',
  container: Container,
  policies: readonly ParsedPolicy[],
): readonly Allowed[] | undefined {
  const openings =
    direction === 'ingress'
      ? policies.flatMap((policy) => fromOf(context, policy, container))
      : withServices(context, policies);
  const list = allowedList(openings, maxAllowed);
  if (list !== undefined) return list;
  for (const policy of policies) {
    const closed = policy.action === 'Enforce' ? 'the container is closed' : 'nothing is recorded';
    const message = `${container.name}: all policies together allow more than ${maxAllowed} ranges: ${closed}`;
    context.notes.add(policy, 'TooManyAllowed', `spec.${direction}`, message);
  }
  return undefined;
}

type Services = readonly Pick<Opening, 'protocol' | 'ports'>[];

function across(ranges: readonly AddressRange[], services: Services): readonly Opening[] {
  return ranges.flatMap((range) => services.map((service) => ({ ...range, ...service })));
}

function rangesOf(addresses: readonly string[]): readonly AddressRange[] {
  return addresses.flatMap((address) => addressRange(address) ?? []);
}

function fromOf(context: NetworkContext, policy: ParsedPolicy, container: Container): readonly Opening[] {
  return (policy.ingress ?? []).flatMap((rule) => {
    const services = servicesAt(context, policy, rule, container.ports);
    const ranges =
      rule.peers === 'everything'
        ? everyAddress
        : rule.peers.flatMap((peer) => {
            if (peer.kind === 'addresses') return peer.ranges;
            // Who calls from within the Pod does so by a flow.
            return othersOf(context, policy, rule, peer).flatMap((meeting) => rangesOf(callersOf(meeting)));
          });
    return across(ranges, services);
  });
}

/** What a rule opens at a receiver that declares these ports. */
function servicesAt(
  { notes }: NetworkContext,
  policy: ParsedPolicy,
  { ports }: ParsedRule,
  declared: readonly PolicyDeclaredPort[],
): Services {
  if (ports === 'every') return [{}];
  return ports.flatMap((port) => {
    lookForName(notes, policy, port, declared);
    return port.kind === 'number' ? [{ protocol: port.protocol, ports: port.ports }] : named(port, declared);
  });
}

function named(port: ParsedPort, declared: readonly PolicyDeclaredPort[]): Services {
  return declared.filter((each) => means(port, each)).map(serviceOf);
}

function serviceOf({ port, protocol }: PolicyDeclaredPort): { protocol: PolicyProtocol; ports: PortRange } {
  return { protocol, ports: { first: port, last: port } };
}

/** All Pods that a peer of ingress meets, but the subject; and what is to be said of containers that it names. */
function othersOf(context: NetworkContext, policy: ParsedPolicy, rule: ParsedRule, peer: PodPeer): readonly Meeting[] {
  return meetings(context, 'ingress', policy, rule, peer).filter(({ pod }) => pod.uid !== context.subject.uid);
}

function meetings(
  context: NetworkContext,
  direction: 'ingress' | 'egress',
  policy: ParsedPolicy,
  rule: ParsedRule,
  peer: PodPeer,
): readonly Meeting[] {
  const { directory, notes, subject, flows } = context;
  const met = meetingsOf(peer, policy, directory);
  for (const name of peer.containers ?? []) {
    if (met.length === 0) break;
    const found = met.some(({ pod }) => pod.containers.some((each) => each.name === name));
    const message = `none of the Pods that it selects has a container ${JSON.stringify(name)}`;
    notes.look(policy, 'UnknownContainer', `${peer.path}.containers`, message, found);
  }
  const mixed = met.flatMap(({ pod, part }) => (part === 'not-apart' ? [pod] : []));
  if (mixed.length === 0) return met;
  // Within the Pod the rule does what it says, by a flow.
  const within = isCarried({ subject, flows }, direction, policy, rule, peer);
  const first = mixed.find(({ uid }) => !within || uid !== subject.uid);
  if (first !== undefined) {
    const message =
      `containers of ${first.namespace}/${first.name} have one address together (mode ${first.mode}): ` +
      `as a peer it does not match${within ? '; between containers of one Pod the rule holds' : ''}`;
    notes.add(policy, 'ContainersNotApart', `${peer.path}.containers`, message);
  }
  return met;
}

/** An opening, and whether it is the subject's own address: only Services lead there from outside. */
interface EgressOpening extends Opening {
  readonly own: boolean;
}

function toOf(context: NetworkContext, policy: ParsedPolicy): readonly EgressOpening[] {
  const { directory, notes, subject } = context;
  const atPod = (rule: ParsedRule, meeting: Meeting): readonly EgressOpening[] => {
    const own = meeting.pod.uid === subject.uid;
    const services = servicesOfPod(context, policy, rule, meeting);
    return across(rangesOf(meeting.pod.podIPs), services).map((opening) => ({ ...opening, own }));
  };
  return (policy.egress ?? []).flatMap((rule) => {
    const names = rule.ports === 'every' ? [] : rule.ports.filter(({ kind }) => kind === 'name');
    const plain = { ...rule, ports: rule.ports === 'every' ? 'every' : numbersOf(rule.ports) } as const;
    const atAddresses = (ranges: readonly AddressRange[]): readonly EgressOpening[] =>
      across(ranges, servicesAt(context, policy, plain, [])).map((opening) => ({ ...opening, own: false }));
    if (rule.peers === 'everything') {
      const byName = names.length === 0 ? [] : directory.pods;
      return [
        ...atAddresses(everyAddress),
        ...byName.flatMap((pod) => atPod({ ...rule, ports: names }, { pod, part: 'whole' })),
      ];
    }
    return rule.peers.flatMap((peer) => {
      if (peer.kind === 'pods')
        return meetings(context, 'egress', policy, rule, peer).flatMap((meeting) => atPod(rule, meeting));
      for (const { path } of names) {
        notes.add(policy, 'PortNameOfAddresses', path, `opens nothing at the addresses of ${peer.path}`);
      }
      return atAddresses(peer.ranges);
    });
  });
}

function numbersOf(ports: readonly ParsedPort[]): readonly ParsedPort[] {
  return ports.filter(({ kind }) => kind === 'number');
}

/** A split Pod is called at one address, whichever container serves the port: those that are named are told by their ports. */
function servicesOfPod(context: NetworkContext, policy: ParsedPolicy, rule: ParsedRule, meeting: Meeting): Services {
  const { pod, part } = meeting;
  if (part === 'not-apart') return [];
  const declared = (part === 'whole' ? pod.containers : part).flatMap(({ ports }) => ports);
  if (part === 'whole') return servicesAt(context, policy, rule, declared);
  const { ports } = rule;
  if (ports === 'every') return declared.map(serviceOf);
  for (const port of ports) lookForName(context.notes, policy, port, declared);
  return declared.filter((each) => ports.some((port) => means(port, each))).map(serviceOf);
}

/**
 * A piece sees the address of a Service, the node translates it later: it is opened where all that is behind it is. The own
 * Pod counts as any other that a rule selects; it is not opened itself.
 */
function withServices(context: NetworkContext, policies: readonly ParsedPolicy[]): readonly Opening[] {
  const openings = policies.flatMap((policy) => toOf(context, policy));
  const reached = new Reach(openings);
  const services = context.directory.services.flatMap((service) =>
    service.ports.flatMap((port) => {
      const found = openedBy(service, port, reached);
      if (found.partly.length > 0) {
        const message =
          `${service.namespace}/${service.name}:${port.port}/${port.protocol}: some of its endpoints are allowed, ` +
          'not all: its address is not';
        for (const policy of policies) context.notes.add(policy, 'ServicePartlyAllowed', 'spec.egress', message);
      }
      return found.open;
    }),
  );
  return [...openings.filter(({ own }) => !own), ...services];
}

function openedBy(
  { clusterIPs }: DirectoryService,
  { port, protocol, endpoints }: DirectoryService['ports'][number],
  reached: Reach,
): { readonly open: readonly Opening[]; readonly partly: readonly Opening[] } {
  const [open, partly]: [Opening[], Opening[]] = [[], []];
  for (const range of rangesOf(clusterIPs)) {
    const opening = { ...range, protocol, ports: { first: port, last: port } };
    if (reached.allows(opening)) continue;
    const behind = endpoints.flatMap((endpoint) => {
      const at = addressRange(endpoint.address);
      if (at?.family !== range.family) return [];
      return [reached.allows({ ...at, protocol, ports: { first: endpoint.port, last: endpoint.port } })];
    });
    if (behind.length > 0 && behind.every((allowed) => allowed)) open.push(opening);
    else if (behind.includes(true)) partly.push(opening);
  }
  return { open, partly };
}

/** Asked for thousands of endpoints: single addresses are found by themselves. */
class Reach {
  readonly #single = new Map<bigint, Opening[]>();
  readonly #wide: Opening[] = [];

  constructor(openings: readonly Opening[]) {
    for (const opening of openings) {
      if (opening.first !== opening.last) this.#wide.push(opening);
      else this.#single.set(opening.first, [...(this.#single.get(opening.first) ?? []), opening]);
    }
  }

  /** One address, protocol and port. */
  allows(asked: Opening): boolean {
    const candidates = [...(this.#single.get(asked.first) ?? []), ...this.#wide];
    return candidates.some(
      (opening) =>
        covers(opening, asked) &&
        (opening.protocol === undefined || (opening.protocol === asked.protocol && portsCover(opening, asked))),
    );
  }
}

function portsCover({ ports: outer }: Opening, { ports: inner }: Opening): boolean {
  if (outer === undefined) return true;
  return inner !== undefined && outer.first <= inner.first && inner.last <= outer.last;
}
