/** Do two values say the same as JSON, whatever the order of keys? An empty list counts as absent, as API servers drop it. */
export function sameJson(one: unknown, other: unknown): boolean {
  return JSON.stringify(canonical(one)) === JSON.stringify(canonical(other));
}

function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => !(Array.isArray(inner) && inner.length === 0))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, inner]) => [key, canonical(inner)]),
  );
}

/** Would merging `wanted` into it change nothing? Fields that it lacks are those of others, or of another version. */
export function alreadySays(actual: object | undefined, wanted: object): boolean {
  const fields: Readonly<Record<string, unknown>> = { ...actual };
  const entries: readonly (readonly [string, unknown])[] = Object.entries(wanted);
  return entries.every(([name, value]) => sameJson({ [name]: fields[name] }, { [name]: value }));
}
