import type { AddressBlock } from '../api/resources.ts';

/** What the allocator needs of the API server, and all that it may assume. Implemented over the client, and by a model. */
export interface BlockStore {
  /**
   * Every block of the SplitNetwork. `cached` may lag behind by any time, by one's own writes too; `live` is linearizable:
   * a LIST without resourceVersion.
   */
  list(network: string, freshness: Freshness): Promise<readonly AddressBlock[]>;
  /** Linearizable: a GET without resourceVersion. Undefined if there is none. */
  get(name: string): Promise<AddressBlock | undefined>;
  /** Atomic by name. */
  create(block: AddressBlock): Promise<Written | AlreadyExists | Unknown>;
  /** A PUT with the object's resourceVersion: a compare-and-swap. */
  replace(block: AddressBlock): Promise<Written | Conflict | NotFound | Unknown>;
  /** A DELETE with the precondition of the object's UID and resourceVersion: a compare-and-swap too. */
  delete(block: AddressBlock): Promise<Deleted | Conflict | NotFound | Unknown>;
}

export type Freshness = 'cached' | 'live';

export interface Written {
  readonly kind: 'ok';
  readonly block: AddressBlock;
}

export interface Deleted {
  readonly kind: 'ok';
}

export interface AlreadyExists {
  readonly kind: 'already-exists';
}

/** The object has another resourceVersion: somebody wrote it since it was read. */
export interface Conflict {
  readonly kind: 'conflict';
}

export interface NotFound {
  readonly kind: 'not-found';
}

/** No answer came: it may have been done, it may not, and it may still be done later. */
export interface Unknown {
  readonly kind: 'unknown';
  readonly reason: string;
}
