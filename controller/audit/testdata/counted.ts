/** How often something was read of a value that is counted. */
export interface Reads {
  count: number;
}

/** The same value, whose every read counts: work that a machine's speed has no part in. For plain JSON. */
export function counted<T extends object>(value: T, reads: Reads): T {
  const known = new WeakMap<object, object>();
  const wrap = (plain: object): object => {
    const wrapped = known.get(plain) ?? new Proxy(plain, { get: (target, key) => read(target, key) });
    known.set(plain, wrapped);
    return wrapped;
  };
  const read = (target: object, key: string | symbol): unknown => {
    reads.count += 1;
    const member: unknown = Reflect.get(target, key);
    return typeof member === 'object' && member !== null ? wrap(member) : member;
  };
  return wrap(value) as T;
}
