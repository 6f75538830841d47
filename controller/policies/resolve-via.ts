import type { IntendedVia } from '../api/egress-via.ts';
import { carriedTo } from '../rules/via-model.ts';
import type { WiringVia } from '../rules/wiring.ts';
import type { PolicySubject } from './directory.ts';
import type { Notes } from './notes.ts';
import type { ParsedPolicy } from './parse-policy.ts';
import type { PolicyProblemCode } from './policy-problem.ts';

/** The only way out of one container, in whatever mode its Pod is. */
export type ResolvedVia = WayOut | NoWayOut;

export interface WayOut extends IntendedVia {
  readonly kind: 'proxy';
  /** Names of those that say so, sorted; none: the annotation alone. */
  readonly policies: readonly string[];
}

/** What says where it shall go out cannot be: it is kept all the same, and has no flows, each of which may lead out. */
export interface NoWayOut {
  readonly kind: 'none';
  readonly from: string;
  readonly dns?: never;
  readonly policies: readonly string[];
  readonly code: PolicyProblemCode;
  readonly message: string;
}

/** As the annotation says, where no policy selects the Pod. */
export function annotatedVia(via: readonly IntendedVia[]): readonly WayOut[] {
  return via.map((each) => ({ kind: 'proxy', ...each, policies: [] }));
}

export function wiringVia(via: ResolvedVia): WiringVia {
  const { from } = via;
  if (via.kind === 'none') return { from, dns: 'none' };
  const { to, port, dns } = via;
  return { from, to, ...(port === undefined ? {} : { port }), dns };
}

/**
 * Who goes out by whom: docs/decisions/0018-the-unavoidable-proxy.md, point 8. Policies and annotation have to name one proxy; its
 * port and DNS are what policies say, else what the annotation says.
 *
 * @param policies those that select the subject
 * @returns sorted by `from`
 */
export function resolveVia(
  subject: PolicySubject,
  policies: readonly ParsedPolicy[],
  notes: Notes,
): readonly ResolvedVia[] {
  const ways = subject.containers
    .flatMap(({ name }) => wayOf(subject, policies, name) ?? [])
    .sort((a, b) => (a.from < b.from ? -1 : 1));
  const kept = new Map(ways.map((way) => [way.from, way]));
  const resolved = ways.map((way) => {
    const other = way.kind === 'proxy' ? kept.get(way.to) : undefined;
    if (way.kind === 'none') return way;
    return other === undefined ? portTaken(subject, ways, way) : keptItself(way, other);
  });
  for (const way of resolved) {
    // What does not parse was said where it was parsed.
    if (way.kind === 'proxy' || way.code === 'Invalid') continue;
    for (const policy of policies) {
      if (way.policies.includes(policy.name)) notes.add(policy, way.code, 'spec.egressVia', way.message);
    }
  }
  return resolved;
}

function wayOf(subject: PolicySubject, policies: readonly ParsedPolicy[], from: string): ResolvedVia | undefined {
  const annotated = subject.via.find((each) => each.from === from);
  const about = policies
    .filter((policy) => policy.via !== undefined && (policy.containers?.has(from) ?? true))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const names = about.map(({ name }) => name);
  const none = (code: PolicyProblemCode, message: string): NoWayOut => ({
    kind: 'none',
    from,
    policies: names,
    code,
    message: `${from} has no way out: ${message}`,
  });
  const said = about.flatMap(({ name, via }) => (via?.kind === 'proxy' ? [{ by: name, ...via }] : []));
  if (said.length < about.length) return none('Invalid', 'spec.egressVia does not parse');
  const [first] = said;
  if (first === undefined) return annotated && { kind: 'proxy', ...annotated, policies: [] };

  const proxies = [...new Set([...said.map(({ container }) => container), ...(annotated ? [annotated.to] : [])])];
  const agree = said.every(({ port, dns }) => port === first.port && dns === first.dns);
  // Policies narrow what the annotation says: who asks the cluster's DNS can tell anybody.
  const widens = annotated !== undefined && annotated.dns !== 'cluster' && first.dns === 'cluster';
  if (proxies.length > 1 || !agree || widens) {
    const each = said.map(({ by, container, port, dns }) => `${by} says ${target(container, port)} and DNS ${dns}`);
    const annotation =
      annotated === undefined
        ? []
        : [`the annotations say ${target(annotated.to, annotated.port)} and DNS ${annotated.dns}`];
    return none('EgressViaConflict', [...each, ...annotation].join(', '));
  }
  const { container: to, port, dns } = first;
  if (!subject.containers.some(({ name }) => name === to)) {
    return none('EgressViaMissing', `Pod ${subject.name} has no container ${JSON.stringify(to)}`);
  }
  return { kind: 'proxy', from, to, ...(port === undefined ? {} : { port }), dns, policies: names };
}

/** Containers that share their ports: who binds another's is told what was meant for it, a datagram without an answer. */
function portTaken({ sharesPorts, containers }: PolicySubject, ways: readonly ResolvedVia[], way: WayOut): ResolvedVia {
  if (sharesPorts === undefined) return way;
  const { from, to, policies } = way;
  const others = [
    ...containers.flatMap(({ name, ports }) => ports.map(({ port, protocol }) => ({ name, port, protocol }))),
    ...ways.flatMap((each) =>
      each.kind === 'none' ? [] : carriedTo(each).map((service) => ({ name: each.to, ...service })),
    ),
  ];
  const taken = carriedTo(way).flatMap(({ port, protocol }) =>
    others.filter((each) => each.name !== to && each.port === port && each.protocol === protocol),
  );
  const [first] = taken;
  if (first === undefined) return way;
  return {
    kind: 'none',
    from,
    policies,
    code: 'EgressViaConflict',
    message: `${from} has no way out: port ${first.port}/${first.protocol} of ${to} is ${first.name}'s too, and they share their ports`,
  };
}

/** Where it leads depends on what the other may, so it leads nowhere. */
function keptItself({ from, to, policies }: WayOut, other: ResolvedVia): NoWayOut {
  return {
    kind: 'none',
    from,
    policies: [...new Set([...policies, ...other.policies])].sort(),
    code: 'EgressViaKept',
    message: `${from} has no way out: ${to}, by which it is to go out, has but one way out itself`,
  };
}

function target(container: string, port: number | undefined): string {
  return port === undefined ? container : `${container}:${port}`;
}
