import type { Holding } from '../capabilities.ts';
import { type Atom, closed, type Effect, type Evidence, lessened, type Severity, stays } from '../finding.ts';
import { refuses, type SplitOutcome } from '../modes.ts';
import type { Member, Subject } from '../subject.ts';
import { indexed } from '../../split/checks/subject.ts';
import { plainName } from '../capabilities.ts';

const unlessDropped: Effect = {
  effect: 'refused',
  reason: 'Isolation takes no container that keeps NET_RAW: a program of its image may bear it. Drop ALL.',
};

export function packetSockets(subject: Subject): readonly Atom[] {
  const { running, spec, modes } = subject;
  return running.flatMap((actor): Atom[] => {
    // What a privileged container can do a rule of its own is about.
    const severity = severityOf(actor.powers.holds('NET_RAW'), 'high', 'medium');
    if (severity === undefined || actor.powers.privileged) return [];
    const atom = {
      severity,
      actor: actor.name,
      evidence: [rawEvidence(actor)],
      isolate: unlessDropped,
      split: sniffedAfterSplit(modes.split, actor),
    };
    return [
      ...running
        .filter((victim) => victim !== actor)
        .map((victim): Atom => ({ ...atom, victim: { kind: 'container', name: victim.name } })),
      ...(spec.hostNetwork === true ? [{ ...atom, victim: { kind: 'node' } } satisfies Atom] : []),
    ];
  });
}

function sniffedAfterSplit({ install, primary, served, ingressVia }: SplitOutcome, actor: Member): Effect {
  if (install === 'init') {
    return lessened(
      'It is alone in its network namespace; in install mode init it still sends frames past its rules onto the bridge.',
    );
  }
  if (actor.name === primary && (served.length > 0 || ingressVia !== undefined)) {
    return lessened(
      'Alone in its network namespace, but the primary carries what clients send to ports of siblings, and sees it.',
    );
  }
  return closed('It is alone in its network namespace, and the node drops what is not its own.');
}

export function forgedFrames({ running, modes }: Subject): readonly Atom[] {
  return running.flatMap((actor): Atom[] => {
    const severity = severityOf(actor.powers.holds('NET_RAW'), 'medium', 'low');
    if (severity === undefined || actor.powers.privileged) return [];
    return [
      {
        severity,
        actor: actor.name,
        victim: { kind: 'pods' },
        evidence: [rawEvidence(actor)],
        isolate: unlessDropped,
        split:
          modes.split.install === 'init'
            ? stays('In install mode init nothing on the node looks at what leaves by eth0.')
            : closed("The node lets out what has the piece's own addresses, and no ARP or discovery in others' names."),
      },
    ];
  });
}

function rawEvidence({ path, powers, container }: Member): Evidence {
  const added = (container.securityContext?.capabilities?.add ?? []).map(plainName);
  const how = {
    root: 'it runs as root',
    unknown: 'nothing says that it is not root',
    other: 'a program of its image may bear it',
  }[powers.user.kind];
  return added.includes('NET_RAW') || added.includes('ALL')
    ? { path: `${path}.securityContext.capabilities.add`, says: `NET_RAW is added, and ${how}` }
    : { path: `${path}.securityContext.capabilities.drop`, says: `NET_RAW is not dropped, and ${how}` };
}

export function networkControl(subject: Subject): readonly Atom[] {
  const { members, running, modes } = subject;
  return members.flatMap((actor): Atom[] => {
    const severity = severityOf(actor.powers.holds('NET_ADMIN'), 'high', 'medium');
    if (severity === undefined || actor.powers.privileged) return [];
    const evidence = addedEvidence(actor, ['NET_ADMIN', 'ALL']);
    return running
      .filter((victim) => victim !== actor)
      .map((victim) => ({
        severity,
        actor: actor.name,
        victim: { kind: 'container', name: victim.name },
        evidence,
        isolate: refuses(modes.isolate, ['IdentityCapability'], `${actor.path}.securityContext.capabilities.add`)
          ? refusedCapability
          : stays('Its rules hold as before.'),
        split: refuses(modes.split, ['NetworkCapability'], `${actor.path}.securityContext.capabilities.add`)
          ? refusedCapability
          : stays('Its rules hold as before.'),
      }));
  });
}

export const refusedCapability: Effect = {
  effect: 'refused',
  reason: 'A container that may undo the rules is not taken: remove the capability.',
};

/** Which of these the container adds, and where. */
export function addedEvidence({ path, container }: Member, wanted: readonly string[]): readonly Evidence[] {
  return indexed(container.securityContext?.capabilities?.add, `${path}.securityContext.capabilities.add`)
    .filter(({ item }) => wanted.includes(plainName(item)))
    .map(({ item, path: at }) => ({ path: at, says: item }));
}

export function severityOf(holding: Holding, full: Severity, reduced: Severity): Severity | undefined {
  if (holding === 'none') return undefined;
  return holding === 'obtainable' ? reduced : full;
}
