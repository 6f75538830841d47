import type { Flow } from '../api/flow.ts';
import { ownAnnotations } from '../api/names.ts';
import type { Pod } from '../kube/resources.ts';
import { isIsolateWiring, parseIsolateWiring } from '../rules/isolate-wiring.ts';
import { parseWiring } from '../rules/wiring-json.ts';
import type { Observed } from '../rules/wiring.ts';
import { runningContainers, specOf } from '../split/pod.ts';

/**
 * Between which containers of an observed Pod nothing is enforced, where that is not between all: those that no policy
 * selects, as the Pod's own wiring has it, which its rules are made of. Undefined too where it is not wired yet, or by
 * another version: nobody shall be told of a guard that may not be there.
 */
export function openEnds(primary: Pod | undefined): Observed | undefined {
  const found = primary === undefined ? undefined : endsIn(primary);
  if (found?.observe === undefined) return undefined;
  const { containers, observe } = found;
  // Init containers, which are in it too, are over where a Pod runs.
  const known = (names: readonly string[]): readonly string[] => containers.filter((name) => names.includes(name));
  const ends = { from: known(observe.from), to: known(observe.to) };
  const isAll = ends.from.length === containers.length && ends.to.length === containers.length;
  return isAll ? undefined : ends;
}

interface Ends {
  readonly containers: readonly string[];
  readonly observe: Observed | undefined;
}

function endsIn(primary: Pod): Ends | undefined {
  const text = primary.metadata.annotations?.[ownAnnotations.wiring] ?? '';
  try {
    if (isIsolateWiring(text)) {
      const containers = runningContainers(specOf(primary)).map(({ name }) => name);
      return { containers, observe: parseIsolateWiring(text).observe };
    }
    const { piece, peers, observe } = parseWiring(text);
    return { containers: [piece, ...peers.map(({ name }) => name)], observe };
  } catch {
    return undefined;
  }
}

/** Is there a caller with somebody to call of whom no policy speaks? */
export function opensAny({ from, to }: Observed): boolean {
  return from.some((caller) => to.some((target) => target !== caller));
}

export function opens(ends: Observed, { from, to }: Flow): boolean {
  return ends.from.includes(from) && ends.to.includes(to);
}
