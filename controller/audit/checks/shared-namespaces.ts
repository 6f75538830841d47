import { mayBeRoot, mayBeSameUser } from '../capabilities.ts';
import { type Atom, closed, type Effect, lessened, stays } from '../finding.ts';
import { type Member, pairsOf, type Subject } from '../subject.ts';

export function sharedIpc(subject: Subject): readonly Atom[] {
  // Then it is the node's, which a rule of its own is about.
  if (subject.spec.hostIPC === true) return [];
  return pairsOf(subject).map(([actor, victim]) => ({
    severity: 'low',
    actor: actor.name,
    victim: { kind: 'container', name: victim.name },
    evidence: [{ path: 'spec.containers', says: 'the containers share one IPC namespace and /dev/shm' }],
    isolate:
      mayBeRoot(actor.powers.user) || mayBeSameUser(actor.powers.user, victim.powers.user)
        ? lessened('The namespace stays one; with users of their own containers open only what is open to all.')
        : stays('The namespace stays one, and the containers are different users already.'),
    split: closed('Each piece has an IPC namespace and a /dev/shm of its own.'),
  }));
}

const refusedProcesses: Effect = {
  effect: 'refused',
  reason: 'Containers that see and handle the processes of others are not told apart: remove shareProcessNamespace.',
};

const refusedNode: Effect = {
  effect: 'refused',
  reason: "A Pod in the node's process namespace is not taken: remove hostPID.",
};

export function sharedProcesses(subject: Subject): readonly Atom[] {
  const { spec } = subject;
  const byNode = spec.hostPID === true;
  if (!byNode && spec.shareProcessNamespace !== true) return [];
  const effect = byNode ? refusedNode : refusedProcesses;
  return pairsOf(subject).map(([actor, victim]): Atom => {
    const power = powerOver(actor, victim);
    return {
      severity: power === 'sees command lines' ? 'low' : 'high',
      actor: actor.name,
      victim: { kind: 'container', name: victim.name, detail: power },
      techniques: techniquesOf[power],
      evidence: [{ path: byNode ? 'spec.hostPID' : 'spec.shareProcessNamespace', says: 'true' }],
      isolate: effect,
      split: effect,
    };
  });
}

type Power = 'reads memory and files, and ends them' | 'ends them' | 'sees command lines';

const techniquesOf: Readonly<Record<Power, readonly string[]>> = {
  'reads memory and files, and ends them': ['T1057', 'T1055.008', 'T1003.007', 'T1489'],
  'ends them': ['T1057', 'T1489'],
  'sees command lines': ['T1057'],
};

/** ptrace(2) and kill(2): of one user all is allowed; root needs SYS_PTRACE, which is no default, and KILL, which is. */
function powerOver({ powers: actor }: Member, { powers: victim }: Member): Power {
  if (mayBeSameUser(actor.user, victim.user) || actor.holds('SYS_PTRACE') !== 'none') {
    return 'reads memory and files, and ends them';
  }
  return ['held', 'assumed'].includes(actor.holds('KILL')) ? 'ends them' : 'sees command lines';
}
