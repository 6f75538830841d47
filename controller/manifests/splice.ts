import { isMap, isPair, isScalar, isSeq, type Pair } from 'yaml';

/** Keys of maps; of a list a number, or `[NAME]` for the item that has this name. */
export type Path = readonly string[];

/** Puts a text in the place of all that is behind the colon of a key. */
export interface Edit {
  readonly path: Path;
  /** @param indent of the key's line: what is below it stands two columns further */
  readonly text: (indent: number) => string;
}

/** What stands at a path of a document that `yaml` has read. */
export function valueAt(contents: unknown, path: Path): unknown {
  const { value } = pairAt(contents, path);
  // The document is one of ours: it has no aliases.
  return isMap(value) || isSeq(value) ? (value.toJSON() as unknown) : isScalar(value) ? value.value : value;
}

/** Changes values of one document, and leaves every other character, comments too, as it is. */
export function splice(text: string, contents: unknown, edits: readonly Edit[]): string {
  const cuts = edits.map(({ path, text: replacement }) => {
    const pair = pairAt(contents, path);
    const [, keyEnd] = rangeOf(pair.key);
    const [, valueEnd] = rangeOf(pair.value);
    const start = text.indexOf(':', keyEnd) + 1;
    const lineStart = text.lastIndexOf('\n', keyEnd) + 1;
    const indent = text.slice(lineStart).search(/[^ ]/);
    const end = start + text.slice(start, valueEnd).trimEnd().length;
    return { start, end, replacement: replacement(indent) };
  });
  return cuts
    .toSorted((one, other) => other.start - one.start)
    .reduce(
      (spliced, { start, end, replacement }) => `${spliced.slice(0, start)}${replacement}${spliced.slice(end)}`,
      text,
    );
}

function pairAt(contents: unknown, path: Path): Pair {
  let node = contents;
  let found: Pair | undefined;
  for (const step of path) {
    if (isSeq(node)) {
      const name = /^\[(.+)\]$/.exec(step)?.[1];
      node =
        name === undefined
          ? node.items[Number(step)]
          : node.items.find((item) => isMap(item) && item.get('name') === name);
      continue;
    }
    found = isMap(node) ? node.items.find(({ key }) => isScalar(key) && key.value === step) : undefined;
    node = found?.value;
  }
  if (!isPair(found) || node !== found.value) throw new Error(`no ${path.join('.')} in the document`);
  return found;
}

function rangeOf(node: unknown): readonly [number, number] {
  const range = isScalar(node) || isMap(node) || isSeq(node) ? node.range : undefined;
  if (range === undefined || range === null) throw new Error('a value that was not read from text');
  return [range[0], range[1]];
}
