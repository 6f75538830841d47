/** `Did you mean …?`, where a known name is at most a third of its letters away; otherwise nothing. */
export function didYouMean(read: string, known: readonly string[]): string {
  const nearest = known
    .map((name) => ({ name, distance: editDistance(read, name) }))
    .filter(({ name, distance }) => distance <= Math.ceil(name.length / 3))
    .sort((a, b) => a.distance - b.distance)[0];
  return nearest === undefined ? '' : ` Did you mean ${JSON.stringify(nearest.name)}?`;
}

/** Levenshtein's, one row at a time. What is longer than a name can be is not near to any. */
function editDistance(a: string, b: string): number {
  if (a.length > 253 || b.length > 253) return Infinity;
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, left] of Array.from(a).entries()) {
    const next = [i + 1];
    for (const [j, right] of Array.from(b).entries()) {
      const substitution = (row[j] ?? 0) + (left === right ? 0 : 1);
      next.push(Math.min(substitution, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? Infinity;
}
