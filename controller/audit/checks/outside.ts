import { listOf } from '../rules.ts';
import { type Atom, closed, type Effect, type Evidence, lessened, type Severity, stays } from '../finding.ts';
import { type Outcome, viaOf } from '../modes.ts';
import type { Member, Subject } from '../subject.ts';

export function egress(subject: Subject): readonly Atom[] {
  return subject.running.map((actor) => ({
    severity: severityOf(subject),
    actor: actor.name,
    victim: { kind: 'outside' },
    evidence: [evidenceOf(subject)],
    isolate: egressEffect(subject.modes.isolate, actor, inIsolate),
    split: egressEffect(subject.modes.split, actor, inSplit),
  }));
}

const inIsolate = 'Nothing is closed until podsplit.io/egress-via or a ContainerNetworkPolicy names the container.';
const inSplit =
  'A piece has an address of its own, and nothing is closed until podsplit.io/egress-via or a ContainerNetworkPolicy names it.';

function egressEffect(mode: Outcome, actor: Member, otherwise: string): Effect {
  const via = viaOf(mode, actor.name);
  if (via === undefined) return stays(otherwise);
  if (via.dns === 'cluster') {
    return lessened(
      `It goes out by ${via.to} and nowhere else, but for the cluster's DNS, which carries what is hidden in names.`,
    );
  }
  return closed(`It goes out by ${via.to} and nowhere else.`);
}

export function metadataService(subject: Subject): readonly Atom[] {
  return subject.running.map((actor) => ({
    severity: severityOf(subject),
    actor: actor.name,
    victim: { kind: 'node' },
    evidence: [evidenceOf(subject)],
    isolate: metadataEffect(subject.modes.isolate, actor),
    split: metadataEffect(subject.modes.split, actor),
  }));
}

function metadataEffect(mode: Outcome, actor: Member): Effect {
  const via = viaOf(mode, actor.name);
  if (via === undefined) return stays('The address is outside the Pod: podsplit.io/egress-via or a policy closes it.');
  return closed(`Only ${via.to} is reached, which decides.`);
}

/** What a policy leaves open it leaves open to all containers; of an init container's start it says nothing. */
function severityOf({ facts, spec }: Subject): Severity {
  return facts.egressPolicies.length > 0 && spec.hostNetwork !== true ? 'low' : 'medium';
}

function evidenceOf({ facts, spec }: Subject): Evidence {
  if (spec.hostNetwork === true) return { path: 'spec.hostNetwork', says: "true: the address is the node's" };
  if (facts.egressPolicies.length === 0) {
    return {
      path: 'spec.containers',
      says: 'the containers have one address, and no NetworkPolicy of what was read restricts its egress',
    };
  }
  return {
    path: 'metadata.labels',
    says: `NetworkPolicy ${listOf(facts.egressPolicies)} restricts egress, for all containers alike`,
  };
}
