/** RFC 6902 for tests: "add", "replace" and "remove" on members of objects, strict about what must exist. */
export function applyPatch(document: unknown, patch: unknown): unknown {
  const result: unknown = structuredClone(document);
  for (const operation of patch as { op: string; path: string; value?: unknown }[]) {
    const segments = operation.path
      .split('/')
      .slice(1)
      .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'));
    const last = segments.pop();
    const parent = segments.reduce<unknown>((value, segment) => (value as Record<string, unknown>)[segment], result);
    if (last === undefined || typeof parent !== 'object' || parent === null) throw new Error(`no parent: ${operation.path}`);
    const target = parent as Record<string, unknown>;
    if (operation.op !== 'add' && !Object.hasOwn(target, last)) throw new Error(`no member: ${operation.path}`);
    if (operation.op === 'remove') Reflect.deleteProperty(target, last);
    else target[last] = operation.value;
  }
  return result;
}
