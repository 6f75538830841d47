import { checks } from './checks/checks.ts';
import type { Atom, Effect, Finding, Victim } from './finding.ts';
import { severities } from './finding.ts';
import { listVictims, type Rule, ruleIds, rules, type RuleId } from './rules.ts';
import type { Subject } from './subject.ts';

/** In which mode the Pod runs: `none` is a whole Pod as Kubernetes makes it. */
export type ModeInForce = 'none' | 'isolate' | 'split';

/** The gravest first, then in the order of the rules and of the containers. */
export function findingsOf(subject: Subject, mode: ModeInForce): readonly Finding[] {
  const found = ruleIds.flatMap((id) => merged(checks[id](subject)).map((atoms) => findingOf(id, atoms, mode)));
  return found.toSorted((one, other) => severities.indexOf(one.severity) - severities.indexOf(other.severity));
}

/** What is the same of several victims is said once. */
function merged(atoms: readonly Atom[]): readonly (readonly [Atom, ...Atom[]])[] {
  const groups = new Map<string, [Atom, ...Atom[]]>();
  for (const atom of atoms) {
    const key = JSON.stringify([atom.actor, atom.severity, atom.techniques ?? [], atom.isolate, atom.split]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [atom]);
    else group.push(atom);
  }
  return [...groups.values()];
}

function findingOf(id: RuleId, atoms: readonly [Atom, ...Atom[]], mode: ModeInForce): Finding {
  const rule: Rule = rules[id];
  const [{ severity, actor, isolate, split, techniques = rule.techniques }] = atoms;
  const victims = victimsOf(atoms.map(({ victim }) => victim));
  const evidence = new Map(atoms.flatMap((atom) => atom.evidence).map((each) => [JSON.stringify(each), each]));
  return {
    rule: id,
    severity,
    actor,
    victims,
    techniques,
    message: rule.says(actor, listVictims(victims)),
    evidence: [...evidence.values()],
    isolate,
    split,
    now: mode === 'none' ? 'open' : nowBy(mode === 'split' ? split : isolate),
  };
}

/** One that is named for several volumes or paths has all of them in its detail. */
function victimsOf(victims: readonly Victim[]): readonly Victim[] {
  const groups = Map.groupBy(victims, (victim) =>
    victim.kind === 'container' ? `container ${victim.name}` : victim.kind,
  );
  return [...groups.values()].flatMap((group): readonly Victim[] => {
    const [first] = group;
    const details = new Set(group.flatMap(({ detail }) => detail ?? []));
    return first === undefined ? [] : [details.size < 2 ? first : { ...first, detail: [...details].join(', ') }];
  });
}

function nowBy({ effect }: Effect): Finding['now'] {
  // What a mode refuses is not in that mode.
  return effect === 'closed' || effect === 'lessened' ? effect : 'open';
}
