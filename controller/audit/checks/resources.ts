import { listOf } from '../rules.ts';
import { type Atom, stays } from '../finding.ts';
import type { Member, Subject } from '../subject.ts';

const names: Readonly<Record<string, string>> = { memory: 'memory', cpu: 'CPU' };

export function unlimited({ running, spec }: Subject): readonly Atom[] {
  // Limits of the whole Pod keep the node from it, and leave its containers to each other.
  const ofPod = spec.resources?.limits ?? {};
  return running.flatMap((actor): Atom[] => {
    const missing = missingLimits(actor);
    if (missing.length === 0) return [];
    const atom = {
      severity: missing.includes('memory') ? ('medium' as const) : ('low' as const),
      actor: actor.name,
      evidence: [
        {
          path: `${actor.path}.resources.limits`,
          says: `no limit of ${listOf(missing.map((resource) => names[resource] ?? resource))}`,
        },
      ],
      isolate: stays('Limits are the container’s own.'),
      split: stays('Pieces run on one node, and limits are the container’s own.'),
    };
    const towards = (resources: readonly string[]): string => listOf(resources.map((one) => names[one] ?? one));
    const ofNode = missing.filter((resource) => !Object.hasOwn(ofPod, resource));
    return [
      ...running
        .filter((victim) => victim !== actor)
        .map((victim): Atom => ({
          ...atom,
          victim: { kind: 'container', name: victim.name, detail: towards(missing) },
        })),
      ...(ofNode.length === 0 ? [] : [{ ...atom, victim: { kind: 'node', detail: towards(ofNode) } } satisfies Atom]),
    ];
  });
}

function missingLimits({ container }: Member): readonly string[] {
  const limits = container.resources?.limits ?? {};
  return ['memory', 'cpu'].filter((resource) => !Object.hasOwn(limits, resource));
}
