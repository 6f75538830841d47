import { type DeclaredPort, sameFlow } from '../../api/flow.ts';
import { probedPorts } from '../../split/checks/probes.ts';
import { adminPortOf } from '../admin-ports.ts';
import { type Atom, closed, type Effect, type Evidence, lessened, stays } from '../finding.ts';
import { type Outcome, type SplitOutcome, viaOf } from '../modes.ts';
import { type Member, pairsOf, type Subject } from '../subject.ts';

/** What is called by loopback: podsplit's flows decide about it, in either mode. */
export function declaredPorts(subject: Subject): readonly Atom[] {
  return pairsOf(subject).flatMap(([actor, victim]): Atom[] => {
    const ports = victim.ports.filter((port) => adminPortOf(port) === undefined);
    if (ports.length === 0) return [];
    return [
      {
        severity: 'medium',
        actor: actor.name,
        victim: { kind: 'container', name: victim.name, detail: formatPorts(ports) },
        evidence: [{ path: `${victim.path}.ports`, says: formatPorts(ports) }],
        ...portEffects(subject, actor, victim, ports),
      },
    ];
  });
}

export function adminPorts(subject: Subject): readonly Atom[] {
  return pairsOf(subject).flatMap(([actor, victim]): Atom[] => {
    const ports = [...victim.ports, ...probedOnly(victim)].filter((port) => adminPortOf(port) !== undefined);
    if (ports.length === 0) return [];
    const what = ports.map((port) => `${formatPort(port)}, ${adminPortOf(port) ?? ''}`).join('; ');
    const where = ports.some((port) => victim.ports.includes(port)) ? `${victim.path}.ports` : victim.path;
    return [
      {
        severity: 'high',
        actor: actor.name,
        victim: { kind: 'container', name: victim.name, detail: what },
        evidence: [{ path: where, says: what }],
        ...portEffects(subject, actor, victim, ports),
      },
    ];
  });
}

/** The kubelet calls them, so something listens there. */
function probedOnly({ container, name, ports }: Member): readonly DeclaredPort[] {
  const declared = new Set(ports.filter(({ protocol }) => protocol === 'tcp').map(({ port }) => port));
  return probedPorts(container)
    .filter((port) => !declared.has(port))
    .map((port) => ({ container: name, port, protocol: 'tcp' }));
}

export function undeclaredPorts(subject: Subject): readonly Atom[] {
  return pairsOf(subject).map(([actor, victim]) => ({
    severity: 'medium',
    actor: actor.name,
    victim: { kind: 'container', name: victim.name },
    evidence: [sameNamespace(subject)],
    isolate: undeclaredEffect(subject.modes.isolate, actor, victim),
    split: undeclaredEffect(subject.modes.split, actor, victim),
  }));
}

export function abstractSockets(subject: Subject): readonly Atom[] {
  return pairsOf(subject).map(([actor, victim]) => ({
    severity: 'low',
    actor: actor.name,
    victim: { kind: 'container', name: victim.name },
    evidence: [sameNamespace(subject)],
    isolate: stays('They belong to the network namespace, which stays one, and no rule sees them.'),
    split: closed('Each piece has a network namespace of its own.'),
  }));
}

export function portTakeovers(subject: Subject): readonly Atom[] {
  const place = new Map(subject.members.map((member, index) => [member, index]));
  return pairsOf(subject).flatMap(([actor, victim]): Atom[] => {
    if (victim.ports.length === 0) return [];
    const first = (place.get(actor) ?? 0) < (place.get(victim) ?? 0);
    const evidence: Evidence[] = [{ path: `${victim.path}.ports`, says: formatPorts(victim.ports) }];
    if (first) evidence.unshift({ path: actor.path, says: `${actor.name} is started before ${victim.name}` });
    return [
      {
        severity: 'medium',
        actor: actor.name,
        victim: { kind: 'container', name: victim.name, detail: formatPorts(victim.ports) },
        evidence,
        isolate: takeoverInOnePod(subject.modes.isolate, victim),
        split:
          subject.modes.split.flowsBy === 'observe'
            ? lessened(
                'Each piece has ports of its own, but while flows are observed peers call what listens anywhere.',
              )
            : closed('Each piece has ports of its own, and calls are carried to the piece that declares the port.'),
      },
    ];
  });
}

function takeoverInOnePod({ flowsBy }: Outcome, victim: Member): Effect {
  if (flowsBy === 'observe') return stays(observed);
  if (victim.ports.some(({ protocol }) => protocol === 'udp')) {
    return lessened(
      'Over TCP the answer has to come from the container of the flow; datagrams reach whoever has the port.',
    );
  }
  return closed('Calls fail unless the container that declares the port is the one that answers.');
}

const observed = 'podsplit.io/flows=observe enforces nothing between the containers.';

function portEffects(
  { modes }: Subject,
  actor: Member,
  victim: Member,
  ports: readonly DeclaredPort[],
): { readonly isolate: Effect; readonly split: Effect } {
  const { isolate, split } = modes;
  return {
    isolate: byFlows(isolate, actor, ports) ?? withoutFlowInOnePod(isolate, actor, victim, ports),
    split: byFlows(split, actor, ports) ?? withoutFlowInPieces(split, actor, victim, ports),
  };
}

const noFlow = closed('No flow leads there.');

/** One that goes out by its proxy and by nothing else can call no Service. */
function callsServices(mode: Outcome, { name }: Member): boolean {
  return viaOf(mode, name) === undefined;
}

/** What docs/security.md lists as open "in mode isolate". */
function withoutFlowInOnePod(mode: Outcome, actor: Member, victim: Member, ports: readonly DeclaredPort[]): Effect {
  if (!callsServices(mode, actor) || !ports.some((port) => victim.ports.includes(port))) return noFlow;
  return lessened(
    'No flow leads there. A Service that leads to the Pod is a way around, where the node masquerades it.',
  );
}

/** What docs/security.md lists as open: own Services, and what the node masquerades. */
function withoutFlowInPieces(
  split: SplitOutcome,
  actor: Member,
  victim: Member,
  ports: readonly DeclaredPort[],
): Effect {
  if (!callsServices(split, actor)) return noFlow;
  const probed = probedPorts(victim.container);
  if (ports.some(({ port, protocol }) => protocol === 'tcp' && probed.includes(port))) {
    return lessened(
      'No flow leads there. Its node is let in for probes, and with it a Service that the node masquerades.',
    );
  }
  if (split.ingressVia !== undefined && split.ingressVia !== victim.name) return noFlow;
  if (!ports.some((port) => victim.ports.includes(port))) return noFlow;
  if (victim.name === split.primary || victim.name === split.ingressVia) {
    return lessened(
      'No flow leads there. As a client of a Service that the node masquerades it is served like any other.',
    );
  }
  if (actor.name === split.primary && split.served.includes(victim.name)) {
    return lessened(
      "No flow leads there. By the Pod's own Service the primary reaches what siblings serve at the Pod IP.",
    );
  }
  return noFlow;
}

/** Undefined where flows open none of the ports. */
function byFlows(mode: Outcome, actor: Member, ports: readonly DeclaredPort[]): Effect | undefined {
  if (mode.flowsBy === 'observe') return stays(observed);
  const open = ports.filter(({ container, port, protocol }) =>
    mode.flows.some((flow) => sameFlow(flow, { from: actor.name, to: container, port, protocol })),
  );
  if (open.length === 0) return undefined;
  if (open.length < ports.length) return lessened(`Flows leave open: ${formatPorts(open)}.`);
  return stays(
    mode.flowsBy === 'declared'
      ? 'Declared ports are open to the other containers by default: list podsplit.io/flows.'
      : 'podsplit.io/flows opens it.',
  );
}

function undeclaredEffect(mode: Outcome, actor: Member, victim: Member): Effect {
  if (mode.flowsBy === 'observe') return stays(observed);
  const open = mode.flows.filter(
    (flow) =>
      flow.from === actor.name &&
      flow.to === victim.name &&
      !victim.ports.some(({ port, protocol }) => port === flow.port && protocol === flow.protocol),
  );
  if (open.length === 0) return closed('What no flow names is reached by no address.');
  return lessened(`Flows leave open: ${open.map(({ port, protocol }) => `${port}/${protocol}`).join(', ')}.`);
}

function sameNamespace({ spec }: Subject): Evidence {
  return spec.hostNetwork === true
    ? { path: 'spec.hostNetwork', says: "the containers share the node's network namespace" }
    : { path: 'spec.containers', says: 'the containers share one network namespace' };
}

function formatPorts(ports: readonly DeclaredPort[]): string {
  return ports.map(formatPort).join(', ');
}

function formatPort({ port, protocol, name }: DeclaredPort): string {
  return `${port}/${protocol}${name === undefined ? '' : ` ${name}`}`;
}
