import { Packing, type Kept } from './packing.ts';
import type { KubeObject } from './resources.ts';

export type Change<S> =
  | { readonly kind: 'added'; readonly object: S }
  | { readonly kind: 'updated'; readonly object: S; readonly previous: S }
  | { readonly kind: 'deleted'; readonly object: S };

/** From an object to the values under which an index lists it. */
export type Indexes<S> = Readonly<Record<string, (object: S) => readonly string[]>>;

/** What a work queue calls the object: `namespace/name`, or `name` where there is no namespace. */
export function objectKey(object: KubeObject): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined ? name : `${namespace}/${name}`;
}

export function splitKey(key: string): { readonly namespace: string | undefined; readonly name: string } {
  const slash = key.indexOf('/');
  return slash < 0
    ? { namespace: undefined, name: key }
    : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

export function byLabel(label: string): (object: KubeObject) => readonly string[] {
  return (object) => {
    const value = object.metadata.labels?.[label];
    return value === undefined ? [] : [value];
  };
}

/** The UID of the object that controls this one. */
export function byController(object: KubeObject): readonly string[] {
  return (object.metadata.ownerReferences ?? []).filter((owner) => owner.controller === true).map((owner) => owner.uid);
}

export interface StoreOptions {
  /** For objects of which there are thousands: they are kept packed, and to read one costs some 20 µs more. */
  readonly packed?: boolean;
}

/** Objects by key and by index. Readers never change what they get. */
export class Store<S extends KubeObject> {
  private readonly objects = new Map<string, Kept<S>>();
  private readonly indexes: Indexes<S>;
  private readonly indexed = new Map<string, Map<string, Set<string>>>();
  private readonly packing: Packing<S> | undefined;

  constructor(indexes: Indexes<S>, { packed = false }: StoreOptions = {}) {
    this.indexes = indexes;
    this.packing = packed ? new Packing() : undefined;
    for (const name of Object.keys(indexes)) this.indexed.set(name, new Map());
  }

  get size(): number {
    return this.objects.size;
  }

  get(key: string): S | undefined {
    return this.objects.get(key)?.object;
  }

  keys(): readonly string[] {
    return [...this.objects.keys()];
  }

  /** All of them, unpacked: for what is rare. Where keys or values of an index will do, those cost nothing. */
  list(): readonly S[] {
    return [...this.objects.values()].map(({ object }) => object);
  }

  byIndex(index: string, value: string): readonly S[] {
    return [...(this.index(index).get(value) ?? [])]
      .map((key) => this.get(key))
      .filter((object) => object !== undefined);
  }

  /** The values under which an index lists objects, and how many each. */
  countsOf(index: string): ReadonlyMap<string, number> {
    return new Map([...this.index(index)].map(([value, keys]) => [value, keys.size]));
  }

  set(object: S): void {
    const key = objectKey(object);
    this.delete(key);
    this.objects.set(key, this.packing?.pack(object) ?? { object });
    this.eachIndexed(object, (values, value) => {
      const keys = values.get(value);
      if (keys === undefined) values.set(value, new Set([key]));
      else keys.add(key);
    });
  }

  delete(key: string): void {
    const object = this.get(key);
    if (object === undefined) return;
    this.objects.delete(key);
    this.eachIndexed(object, (values, value) => {
      const keys = values.get(value);
      keys?.delete(key);
      if (keys?.size === 0) values.delete(value);
    });
  }

  private index(name: string): ReadonlyMap<string, ReadonlySet<string>> {
    const values = this.indexed.get(name);
    if (values === undefined) throw new TypeError(`There is no index ${name}.`);
    return values;
  }

  private eachIndexed(object: S, visit: (values: Map<string, Set<string>>, value: string) => void): void {
    for (const [name, values] of this.indexed) {
      for (const value of this.indexes[name]?.(object) ?? []) visit(values, value);
    }
  }
}
