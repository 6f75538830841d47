import { formatFlow, type Flow, type Protocol } from '../api/flow.ts';
import type { Directory, PolicyDeclaredPort, PolicySubject } from './directory.ts';
import type { Notes } from './notes.ts';
import type { ParsedPolicy, ParsedPort, ParsedRule, PodPeer } from './parse-policy.ts';
import { isPeer, means } from './policy-peers.ts';

type Container = PolicySubject['containers'][number];

/** One end of a pair of containers, where policies select it: what their rules grant there. */
export type End = readonly Grant[];

export interface Grant {
  readonly policy: ParsedPolicy;
  readonly rule: ParsedRule;
  /** The rule says by name whose ports it means: a single port is opened then whether it is declared or not. */
  readonly named: boolean;
}

export interface FlowContext {
  readonly subject: PolicySubject;
  /** Those that select the subject and count. */
  readonly policies: readonly ParsedPolicy[];
  readonly directory: Directory;
  readonly notes: Notes;
}

/** What passes between the containers of one Pod: docs/decisions/0017-policies-between-containers.md, points 2 and 6. */
export function resolveFlows(context: FlowContext): readonly Flow[] {
  const { subject, policies } = context;
  if (policies.length === 0) return subject.flows;
  const pairs = subject.containers.flatMap((from) =>
    subject.containers.filter((to) => to.name !== from.name).flatMap((to) => flowsBetween(context, from, to)),
  );
  return withoutConflicts(context, pairs);
}

interface Granted {
  readonly flow: Flow;
  readonly grants: readonly Grant[];
}

function flowsBetween(context: FlowContext, from: Container, to: Container): readonly Granted[] {
  const annotated = context.subject.flows.filter((flow) => flow.from === from.name && flow.to === to.name);
  const ends = endsOf(context, from.name, to.name);
  if (ends.length === 0) return annotated.map((flow) => ({ flow, grants: [] }));
  const grants = ends.flat();
  noteSctp(context, grants);
  noteNames(context, grants, to);
  return candidates(annotated, to, grants)
    .filter(({ port, protocol }) => ends.every((end) => permits(end, port, protocol, to)))
    .map(({ port, protocol }) => ({ flow: { from: from.name, to: to.name, port, protocol }, grants }));
}

/** The ends that policies select; each has to agree. */
export function endsOf(context: FlowContext, from: string, to: string): readonly End[] {
  return [endOf(context, 'egress', from, to), endOf(context, 'ingress', to, from)].filter((end) => end !== undefined);
}

/** Undefined where no policy selects the container in that direction. */
export function endOf(
  { subject, policies, directory }: FlowContext,
  direction: 'ingress' | 'egress',
  own: string,
  peer: string,
): End | undefined {
  const about = policies.filter((policy) => concerns(policy, direction, own));
  if (about.length === 0) return undefined;
  return about.flatMap((policy) =>
    (policy[direction] ?? []).flatMap((rule): readonly Grant[] => {
      if (rule.peers === 'everything') {
        return [{ policy, rule, named: direction === 'ingress' && policy.containers !== undefined }];
      }
      // Addresses are those of the Pods' network: between the containers of one Pod there are none.
      const peers = rule.peers.filter(
        (each) =>
          each.kind === 'pods' &&
          (each.containers === undefined || each.containers.has(peer)) &&
          isPeer(each, policy.namespace, subject, directory),
      );
      if (peers.length === 0) return [];
      const named =
        direction === 'ingress'
          ? policy.containers !== undefined
          : peers.some((each) => each.kind === 'pods' && each.containers !== undefined);
      return [{ policy, rule, named }];
    }),
  );
}

export function concerns(policy: ParsedPolicy, direction: 'ingress' | 'egress', container: string): boolean {
  return policy[direction] !== undefined && (policy.containers === undefined || policy.containers.has(container));
}

export function permits(end: End, port: number, protocol: Protocol, to: Container): boolean {
  return end.some(({ rule: { ports } }) => {
    if (ports === 'every') return true;
    return ports.some((each) => {
      if (each.protocol !== protocol) return false;
      if (each.kind === 'number') return each.ports.first <= port && port <= each.ports.last;
      return to.ports.some((declared) => declared.port === port && means(each, declared));
    });
  });
}

/** Is one of these flows what a rule means by a peer that names containers of the subject itself? */
export function isCarried(
  { subject, flows }: Pick<FlowContext, 'subject'> & { readonly flows: readonly Flow[] },
  direction: 'ingress' | 'egress',
  policy: ParsedPolicy,
  rule: ParsedRule,
  peer: PodPeer,
): boolean {
  return flows.some(({ from, to, port, protocol }) => {
    const [own, other] = direction === 'ingress' ? [to, from] : [from, to];
    const target = subject.containers.find(({ name }) => name === to);
    return (
      target !== undefined &&
      concerns(policy, direction, own) &&
      (peer.containers?.has(other) ?? true) &&
      permits([{ policy, rule, named: true }], port, protocol, target)
    );
  });
}

type Service = Pick<Flow, 'port' | 'protocol'>;

/** Somebody has to say who listens: the target's own ports, the annotation, or a single port of a rule that names it. */
function candidates(annotated: readonly Flow[], to: Container, grants: readonly Grant[]): readonly Service[] {
  const services: Service[] = [
    ...to.ports.flatMap(({ port, protocol }) => (protocol === 'sctp' ? [] : [{ port, protocol }])),
    ...annotated.map(({ port, protocol }) => ({ port, protocol })),
    ...grants.flatMap(({ named, rule }) => (named && rule.ports !== 'every' ? rule.ports.flatMap(single) : [])),
  ];
  const unique = new Map(services.map((service) => [`${service.protocol} ${service.port}`, service]));
  return [...unique.values()].sort((a, b) =>
    a.protocol === b.protocol ? a.port - b.port : a.protocol < b.protocol ? -1 : 1,
  );
}

function single(port: ParsedPort): readonly Service[] {
  if (port.kind === 'name' || port.protocol === 'sctp' || port.ports.first !== port.ports.last) return [];
  return [{ port: port.ports.first, protocol: port.protocol }];
}

/** The redirect carries a loopback port to one place. */
function withoutConflicts({ subject, notes }: FlowContext, granted: readonly Granted[]): readonly Flow[] {
  const taken = new Map<string, Granted[]>();
  for (const each of granted) {
    const key = `${each.flow.from} ${each.flow.port}/${each.flow.protocol}`;
    taken.set(key, [...(taken.get(key) ?? []), each]);
  }
  return [...taken.values()].flatMap((those) => {
    const [one] = those;
    if (one === undefined) return [];
    const { from, port, protocol } = one.flow;
    const source = subject.containers.find(({ name }) => name === from);
    const own = source?.ports.some((declared) => declared.port === port && declared.protocol === protocol) ?? false;
    if (those.length === 1 && !own) return [one.flow];
    const others = own ? [`${from} declares ${port}/${protocol} itself`] : [];
    const message = `neither is opened: ${[...others, ...those.map(({ flow }) => formatFlow(flow))].join(', ')}`;
    for (const { policy, rule } of those.flatMap(({ grants }) => grants)) {
      if (grantsPort(rule, port, protocol)) notes.add(policy, 'PortTaken', rule.path, message);
    }
    return [];
  });
}

function grantsPort({ ports }: ParsedRule, port: number, protocol: Protocol): boolean {
  return (
    ports !== 'every' &&
    ports.some(
      (each) =>
        each.kind === 'number' && each.protocol === protocol && each.ports.first <= port && port <= each.ports.last,
    )
  );
}

function noteSctp({ notes }: FlowContext, grants: readonly Grant[]): void {
  for (const { policy, rule } of grants) {
    if (rule.peers === 'everything' || rule.ports === 'every') continue;
    for (const { path } of rule.ports.filter(({ protocol }) => protocol === 'sctp')) {
      notes.add(policy, 'SctpInPod', path, 'containers of one Pod reach each other by TCP and UDP only');
    }
  }
}

function noteNames({ notes }: FlowContext, grants: readonly Grant[], to: Container): void {
  for (const { policy, rule } of grants) {
    if (rule.ports === 'every') continue;
    for (const port of rule.ports) lookForName(notes, policy, port, to.ports);
  }
}

export function lookForName(
  notes: Notes,
  policy: ParsedPolicy,
  port: ParsedPort,
  declared: readonly PolicyDeclaredPort[],
): void {
  if (port.kind !== 'name') return;
  const message = `no container that it leads to has a ${port.protocol} port ${JSON.stringify(port.name)}`;
  notes.look(
    policy,
    'UnknownPortName',
    port.path,
    message,
    declared.some((each) => means(port, each)),
  );
}
