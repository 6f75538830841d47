import type { ContainerNetworkPolicy } from '../api/container-network-policy.ts';
import { sameFlow, type Flow } from '../api/flow.ts';
import type { Allowed, Allowances, PolicyProtocol } from '../rules/wiring.ts';
import { covers } from './address-range.ts';
import type { Directory, PolicySubject } from './directory.ts';
import { Notes } from './notes.ts';
import type { ParsedPolicy } from './parse-policy.ts';
import { addressRange } from './policy-peers.ts';
import { concerns, endOf, permits, type Grant } from './resolve-flows.ts';
import { policiesFor, resolvePod } from './resolve-pod.ts';
import { resolveDirection } from './resolve-pod-network.ts';
import type { ResolvedVia, WayOut } from './resolve-via.ts';

/** At least one of the two is a container of the Pod. */
export interface PolicyQuestion {
  readonly from: Party;
  readonly to: Party;
  readonly port: number;
  readonly protocol: PolicyProtocol;
}

export type Party =
  | { readonly kind: 'container'; readonly name: string }
  | { readonly kind: 'address'; readonly address: string }
  /** Another Pod; a container of it matters where it calls. */
  | { readonly kind: 'pod'; readonly namespace: string; readonly name: string; readonly container?: string };

export interface Explanation {
  readonly allowed: boolean;
  readonly because: Because;
  /** It passes, and policies that audit would refuse it if they enforced. */
  readonly audited: boolean;
  /** One for each end that is a container of the Pod: who calls first. */
  readonly ends: readonly EndExplanation[];
  /** Where the caller is kept, and calls the Pods' network: by whom it goes, or why by nobody. */
  readonly via?: ResolvedVia;
  /** Where clients come in by a proxy: that container, whose end is explained in the place of the one that was asked for. */
  readonly entersBy?: string;
}

/** With a sentence each for people. */
export const reasons = {
  EndsAllow: 'Every end that policies select allows it.',
  EndRefuses: 'Policies select an end, and none of their rules there allows it.',
  NoPolicy: 'No policy selects the container in that direction: it is not restricted.',
  Flows: 'No policy selects either end, and the flows of the Pod allow it (podsplit.io/flows, or its declared ports).',
  NoFlow: 'No policy selects either end, and it is in no flow of the Pod (podsplit.io/flows, or its declared ports).',
  NotDeclared:
    'The ends allow it, but nothing says that the target listens there: it does not declare the port, and no rule names it.',
  PortTaken: 'The ends allow it, but the port would lead to two containers, or away from the one that declares it.',
  TooManyAllowed: 'What the policies allow is more than a piece can hold: the container is closed.',
  NoWayOut: 'The container is to go out by a proxy, and there is none that it could be.',
  NotCarried: 'The container goes out by its proxy only, and this is not carried there: it calls the proxy by flows.',
  NotInPod: 'Containers of one Pod reach each other by TCP and UDP only.',
  UnknownParty: 'The Pod has no such container, or the cluster no such Pod with an address.',
} as const;

export type Because = keyof typeof reasons;

export interface EndExplanation {
  readonly container: string;
  readonly direction: 'ingress' | 'egress';
  readonly verdict: 'allows' | 'refuses' | 'not-selected';
  /** Names of the policies that select it, in that direction. */
  readonly policies: readonly string[];
  /** The rules that allow it: none where it takes several together to allow all endpoints of a Service. */
  readonly rules: readonly { readonly policy: string; readonly path: string }[];
}

/**
 * Which rule decides about one connection: what `kubectl podsplit policy` prints. The other Pod's own policies are not asked.
 *
 * @param ingressVia the container by which clients come in: it takes their TCP, so policies judge that one
 */
export function explainPod(
  subject: PolicySubject,
  policies: readonly ContainerNetworkPolicy[],
  directory: Directory,
  question: PolicyQuestion,
  ingressVia?: string,
): Explanation {
  const { from, to } = question;
  const context: Context = { subject, policies, directory, question };
  const unknown = [from, to].some(
    (party) => party.kind === 'container' && !subject.containers.some(({ name }) => name === party.name),
  );
  if (unknown) return nothing('UnknownParty');
  if (from.kind === 'container') {
    return to.kind === 'container'
      ? explainFlow(context, from.name, to.name)
      : explainNetwork(context, 'egress', from.name, addressesOf(to, directory, 'called'));
  }
  if (to.kind !== 'container') return nothing('UnknownParty');
  const entersBy = question.protocol === 'tcp' && ingressVia !== to.name ? ingressVia : undefined;
  return {
    ...explainNetwork(context, 'ingress', entersBy ?? to.name, addressesOf(from, directory, 'calling')),
    ...(entersBy === undefined ? {} : { entersBy }),
  };
}

interface Context {
  readonly subject: PolicySubject;
  readonly policies: readonly ContainerNetworkPolicy[];
  readonly directory: Directory;
  readonly question: PolicyQuestion;
}

function nothing(because: Because): Explanation {
  return { allowed: false, because, audited: false, ends: [] };
}

function explainFlow(context: Context, from: string, to: string): Explanation {
  const { subject, directory, question } = context;
  const { port, protocol } = question;
  const target = subject.containers.find(({ name }) => name === to);
  if (protocol === 'sctp' || target === undefined || from === to) return nothing('NotInPod');
  const is = (flow: Flow): boolean => sameFlow(flow, { from, to, port, protocol });
  const { flows, auditedFlows, via } = resolvePod(subject, context.policies, directory);
  const selecting = enforcing(context);
  const at = (direction: 'ingress' | 'egress', own: string, peer: string): EndExplanation => {
    const end = endOf({ subject, policies: selecting, directory, notes: new Notes() }, direction, own, peer);
    const granting = (end ?? []).filter((grant) => permits([grant], port, protocol, target));
    return endExplanation(own, direction, selecting, end && granting.map(ruleOf));
  };
  const ends = [at('egress', from, to), at('ingress', to, from)];
  const allowed = flows.some(is);
  const way = via.find((each) => each.from === from);
  if (way?.kind === 'none') {
    return { allowed, because: 'NoWayOut', audited: false, ends, via: way };
  }
  return {
    allowed,
    because: whyFlow(ends, allowed, subject, { from, to, port, protocol }),
    audited: auditedFlows.some(is),
    ends,
  };
}

function whyFlow(ends: readonly EndExplanation[], allowed: boolean, subject: PolicySubject, flow: Flow): Because {
  if (ends.some(({ verdict }) => verdict === 'refuses')) return 'EndRefuses';
  const selected = ends.some(({ verdict }) => verdict === 'allows');
  const annotated = subject.flows.some((each) => JSON.stringify({ ...flow, ...each }) === JSON.stringify(flow));
  if (!selected && annotated === allowed) return allowed ? 'Flows' : 'NoFlow';
  if (allowed) return 'EndsAllow';
  const declares = (name: string): boolean =>
    subject.containers.some(
      (each) =>
        each.name === name && each.ports.some((own) => own.port === flow.port && own.protocol === flow.protocol),
    );
  const listens = declares(flow.to) || annotated || ends.some(({ rules }) => rules.length > 0 && declares(flow.from));
  return listens ? 'PortTaken' : 'NotDeclared';
}

function explainNetwork(
  context: Context,
  direction: 'ingress' | 'egress',
  name: string,
  addresses: readonly string[],
): Explanation {
  const { subject, directory, question } = context;
  const container = subject.containers.find((each) => each.name === name);
  if (container === undefined || addresses.length === 0) return nothing('UnknownParty');
  const passes = (list: readonly Allowed[] | undefined): boolean =>
    list === undefined || addresses.every((address) => lets(list, address, question));
  const resolved = (policies: readonly ParsedPolicy[]): Allowances | undefined =>
    resolveDirection({ subject, policies, directory, notes: new Notes(), flows: [] }, direction, container);
  const selecting = enforcing(context);
  const about = selecting.filter((policy) => concerns(policy, direction, name));
  const now = resolvePod(subject, context.policies, directory);
  const allowances = now.podNetwork.get(name)?.[direction];
  const allowed = passes(allowances?.enforce);
  const rules = about.flatMap((policy) =>
    (policy[direction] ?? [])
      .filter((rule) => passes(resolved([{ ...policy, [direction]: [rule] }])?.enforce))
      .map((rule) => ruleOf({ policy, rule })),
  );
  const end: EndExplanation = {
    ...endExplanation(name, direction, selecting, about.length === 0 ? undefined : rules),
    ...(about.length > 0 && { verdict: allowed ? ('allows' as const) : ('refuses' as const) }),
  };
  const closed = rules.length > 0 && !allowed;
  const because = about.length === 0 ? 'NoPolicy' : allowed ? 'EndsAllow' : closed ? 'TooManyAllowed' : 'EndRefuses';
  const explained = { allowed, because, audited: allowed && !passes(allowances?.audit), ends: [end] } as const;
  const via = direction === 'egress' ? now.via.find(({ from }) => from === name) : undefined;
  if (via === undefined) return explained;
  const kept = via.kind === 'none' ? 'NoWayOut' : carries(via, question) ? undefined : 'NotCarried';
  return kept === undefined
    ? { ...explained, via }
    : { ...explained, allowed: false, because: kept, audited: false, via };
}

/** The resolvers of `cluster` are the only addresses beyond the proxy: which they are is the controller's to know. */
function carries({ port, dns }: WayOut, question: PolicyQuestion): boolean {
  if (dns !== 'none' && question.port === 53 && question.protocol !== 'sctp') return true;
  return port !== undefined && question.protocol === 'tcp';
}

function enforcing({ subject, policies }: Context): readonly ParsedPolicy[] {
  return policiesFor(subject, policies).selecting.filter(({ action }) => action === 'Enforce');
}

/** @param rules undefined where no policy selects the container */
function endExplanation(
  container: string,
  direction: 'ingress' | 'egress',
  policies: readonly ParsedPolicy[],
  rules: EndExplanation['rules'] | undefined,
): EndExplanation {
  const about = policies.filter((policy) => concerns(policy, direction, container));
  return {
    container,
    direction,
    verdict: rules === undefined ? 'not-selected' : rules.length > 0 ? 'allows' : 'refuses',
    policies: about.map(({ name }) => name),
    rules: rules ?? [],
  };
}

function ruleOf({ policy, rule }: Pick<Grant, 'policy' | 'rule'>): { readonly policy: string; readonly path: string } {
  return { policy: policy.name, path: rule.path };
}

/** All addresses: what is allowed by one family only is not allowed. */
function addressesOf(party: Party, { pods }: Directory, how: 'called' | 'calling'): readonly string[] {
  switch (party.kind) {
    case 'container':
      return [];
    case 'address':
      return addressRange(party.address) === undefined ? [] : [party.address];
    case 'pod': {
      const pod = pods.find(({ namespace, name }) => namespace === party.namespace && name === party.name);
      if (pod === undefined) return [];
      if (party.container === undefined || how === 'called') return pod.podIPs;
      return pod.containers.find(({ name }) => name === party.container)?.podIPs ?? [];
    }
  }
}

function lets(list: readonly Allowed[], address: string, { port, protocol }: PolicyQuestion): boolean {
  const asked = addressRange(address);
  return list.some(({ addresses, protocol: allowed, ports }) => {
    const [first = '', last = ''] = addresses.split('-');
    const [from, to] = [addressRange(first), addressRange(last)];
    if (asked === undefined || from === undefined || to === undefined) return false;
    if (!covers({ ...from, last: to.last }, asked)) return false;
    return allowed === undefined || (allowed === protocol && (!ports || (ports.first <= port && port <= ports.last)));
  });
}
