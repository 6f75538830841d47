import { merged, minus } from './elements.ts';
import { markerName, type NamedSet, type Table } from './nft.ts';

/**
 * nft text that turns the loaded table into the wanted one by elements, in one transaction: rules, counters, records and
 * NAT'd connections stay, and no packet meets anything in between. Empty where nothing changes; undefined where more than
 * elements does, and the table has to be replaced as a whole.
 *
 * `loaded` is what was compiled and proved. If somebody else changed the table since, nft may refuse the transaction, and
 * then nothing of it is done.
 */
export function changes(loaded: Table, wanted: Table): string | undefined {
  if (skeleton(loaded) !== skeleton(wanted)) return undefined;
  const table = `${wanted.family} ${wanted.name}`;
  const lines = wanted.sets.flatMap((set, i) => setChanges(table, loaded.sets[i]?.elements ?? [], set));
  if (lines.length === 0 && loaded.marker === wanted.marker) return '';
  // No rule refers to the marker: it may go and come back.
  return [
    ...lines,
    `delete counter ${table} ${markerName}`,
    `add counter ${table} ${markerName} { comment "${wanted.marker}"; }`,
    '',
  ].join('\n');
}

/** All but elements, marker and what is printed as a comment of nft's and not loaded. */
function skeleton({ family, name, counters, sets, chains }: Table): string {
  return JSON.stringify({
    family,
    name,
    counters,
    sets: sets.map((set) => [set.name, set.type, set.kind, set.properties]),
    chains: chains.map((chain) => [chain.name, chain.base, chain.rules]),
  });
}

function setChanges(table: string, loaded: readonly string[], wanted: NamedSet): readonly string[] {
  const name = `${table} ${wanted.name}`;
  switch (wanted.kind) {
    case 'dynamic':
      return [];
    case 'interval':
      return intervalChanges(name, loaded, wanted.elements);
    case 'set':
    case 'ranges':
    case 'map': {
      // By key alone: the value may be a device that is gone, which nft cannot name any more.
      const gone = minus(loaded, wanted.elements).map((element) => element.split(' : ')[0] ?? element);
      return [...elements('delete', name, gone), ...elements('add', name, minus(wanted.elements, loaded))];
    }
  }
}

/** Merged intervals cannot be told apart any more: all of them go, and come back in the same transaction. */
function intervalChanges(name: string, loaded: readonly string[], wanted: readonly string[]): readonly string[] {
  if (merged(loaded).join() === merged(wanted).join()) return [];
  return [`flush set ${name}`, ...elements('add', name, wanted)];
}

function elements(verb: 'add' | 'delete', name: string, some: readonly string[]): readonly string[] {
  return some.length === 0 ? [] : [`${verb} element ${name} { ${some.join(', ')} }`];
}
