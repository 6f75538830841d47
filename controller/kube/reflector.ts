import type { Logger } from '../observability/log.ts';
import type { Clock } from './clock.ts';
import { sleep } from './clock.ts';
import type { KubeClient, Selection } from './client.ts';
import { isApiError } from './errors.ts';
import type { KubeObject, Resource } from './resources.ts';
import { objectKey, Store } from './store.ts';
import type { Change, Indexes, StoreOptions } from './store.ts';

export interface ReflectorOptions<T extends KubeObject, S extends KubeObject> extends Selection, StoreOptions {
  readonly client: Pick<KubeClient, 'pages' | 'watch'>;
  readonly resource: Resource<T>;
  /** What is kept of an object. `managedFields` are gone already. metadata.uid and resourceVersion must stay. */
  readonly slim?: (object: T) => S;
  readonly indexes?: Indexes<S>;
  /** Objects in one answer of a list: all of it is in memory at once, before `slim`. Default: the client's. */
  readonly pageSize?: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** 0 to 1. */
  readonly random?: () => number;
  readonly hooks?: ReflectorHooks;
}

export interface ReflectorHooks {
  listed?(objects: number, milliseconds: number): void;
  watchEvent?(type: string): void;
  /** Each time a list or watch ends in an error, with the error's code. */
  failed?(code: string): void;
  handlerFailed?(): void;
  /** Objects in the store, after each list and each event. */
  objects?(count: number): void;
}

export type ReflectorPhase = 'idle' | 'listing' | 'watching' | 'backing-off' | 'stopped';

export interface ReflectorStatus {
  readonly phase: ReflectorPhase;
  readonly synced: boolean;
  /** Monotonic milliseconds since the API server last said anything; undefined before it first did. */
  readonly silentMs: number | undefined;
  readonly lastError: string | undefined;
}

const backoff = { baseMs: 500, maxMs: 30_000 } as const;
/** An API server ends a watch after this time: spread, so that watches do not all come back at once. */
const watchSeconds = { min: 300, max: 600 } as const;
/** A watch that ends sooner, and without an event, was not ended by an API server in good order. */
const shortWatchMs = 1000;

/** What a watch cannot do without: the least that a `slim` leaves of an object's metadata. */
export function watchedMetadata({ name, namespace, uid, resourceVersion }: KubeObject['metadata']) {
  return {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}

/**
 * Keeps a store equal to what the API server has: one list, then a watch from there for as long as it goes; a list again
 * when the server no longer knows that version. Why not client-node's informer: docs/decisions.
 */
export class Reflector<T extends KubeObject, S extends KubeObject = T> {
  readonly store: Store<S>;
  private readonly options: ReflectorOptions<T, S>;
  private readonly handlers: ((change: Change<S>) => void)[] = [];
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;
  private phase: ReflectorPhase = 'idle';
  private synced = false;
  private lastContact: number | undefined;
  private lastError: string | undefined;
  private failures = 0;
  private readonly waiters: (() => void)[] = [];

  constructor(options: ReflectorOptions<T, S>) {
    this.options = options;
    this.store = new Store(options.indexes ?? {}, options);
  }

  /** Before `start`: handlers hear of every object from the first list on. */
  onChange(handler: (change: Change<S>) => void): void {
    this.handlers.push(handler);
  }

  start(): void {
    this.running ??= this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
    this.phase = 'stopped';
  }

  /** The first list is in the store. */
  hasSynced(): boolean {
    return this.synced;
  }

  /** Resolves when the first list is in the store, or the reflector has stopped. */
  whenSynced(): Promise<void> {
    if (this.synced || this.stopping.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  status(): ReflectorStatus {
    const { phase, synced, lastError, lastContact } = this;
    const silentMs = lastContact === undefined ? undefined : this.options.clock.monotonic() - lastContact;
    return { phase, synced, silentMs, lastError };
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    let resourceVersion: string | undefined;
    while (!signal.aborted) {
      try {
        resourceVersion ??= await this.list();
        resourceVersion = await this.watch(resourceVersion);
      } catch (error) {
        if (this.stopping.signal.aborted) break;
        resourceVersion = error instanceof WatchCut ? error.resourceVersion : undefined;
        await this.backOff(error instanceof WatchCut ? error.cause : error);
      }
    }
    this.phase = 'stopped';
    for (const resolve of this.waiters.splice(0)) resolve();
  }

  private async list(): Promise<string> {
    const { client, resource, clock, hooks, pageSize } = this.options;
    this.phase = 'listing';
    const started = clock.monotonic();
    const seen = new Set<string>();
    let resourceVersion = '';
    for await (const page of client.pages(resource, {
      ...this.selection(),
      ...(pageSize === undefined ? {} : { pageSize }),
      signal: this.stopping.signal,
    })) {
      this.contact();
      resourceVersion = page.resourceVersion;
      for (const object of page.items) {
        seen.add(objectKey(object));
        this.upsert(object);
      }
    }
    for (const key of this.store.keys()) {
      const gone = seen.has(key) ? undefined : this.store.get(key);
      if (gone !== undefined) this.remove(gone);
    }
    hooks?.listed?.(seen.size, clock.monotonic() - started);
    hooks?.objects?.(this.store.size);
    this.synced = true;
    for (const resolve of this.waiters.splice(0)) resolve();
    return resourceVersion;
  }

  /** Until the server ends it in good order; returns the version to go on from. */
  private async watch(from: string): Promise<string | undefined> {
    const { client, resource, clock, hooks, random = Math.random } = this.options;
    this.phase = 'watching';
    const started = clock.monotonic();
    let resourceVersion = from;
    const timeoutSeconds = Math.round(watchSeconds.min + random() * (watchSeconds.max - watchSeconds.min));
    const { signal } = this.stopping;
    try {
      for await (const event of client.watch(resource, {
        ...this.selection(),
        resourceVersion,
        timeoutSeconds,
        signal,
      })) {
        hooks?.watchEvent?.(event.type);
        if (event.type === 'ERROR') throw event.error;
        this.contact();
        this.failures = 0;
        resourceVersion = event.type === 'BOOKMARK' ? event.resourceVersion : this.take(event.type, event.object);
        hooks?.objects?.(this.store.size);
      }
    } catch (error) {
      if (isApiError(error, 'Gone')) {
        this.options.log.info({ resource: resource.plural, message: error.message }, 'watch expired, listing again');
        hooks?.failed?.(error.code);
        return undefined;
      }
      // A cut connection loses nothing: the next watch goes on where this one was.
      if (isApiError(error, 'Unreachable', 'Timeout', 'TooManyRequests')) throw new WatchCut(resourceVersion, error);
      throw error;
    }
    // Something in between ends every watch at once: without a pause this would be a busy loop.
    if (clock.monotonic() - started < shortWatchMs && resourceVersion === from) {
      throw new WatchCut(resourceVersion, new Error('the watch ended at once'));
    }
    this.contact();
    this.failures = 0;
    return resourceVersion;
  }

  private take(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: T): string {
    if (type === 'DELETED') {
      const known = this.store.get(objectKey(object));
      if (known !== undefined) this.remove(known, object);
    } else {
      this.upsert(object);
    }
    return object.metadata.resourceVersion ?? '';
  }

  /** Another UID under the same name: the old object went and a new one came while nobody watched. */
  private upsert(object: T): void {
    const slimmed = this.slim(object);
    const previous = this.store.get(objectKey(object));
    if (previous !== undefined && previous.metadata.uid !== object.metadata.uid) {
      this.remove(previous);
      this.store.set(slimmed);
      this.notify({ kind: 'added', object: slimmed });
      return;
    }
    if (previous?.metadata.resourceVersion === object.metadata.resourceVersion && previous !== undefined) return;
    this.store.set(slimmed);
    this.notify(
      previous === undefined ? { kind: 'added', object: slimmed } : { kind: 'updated', object: slimmed, previous },
    );
  }

  /** `last` is the state at the deletion, where the watch told it. */
  private remove(known: S, last?: T): void {
    this.store.delete(objectKey(known));
    this.notify({ kind: 'deleted', object: last === undefined ? known : this.slim(last) });
  }

  private slim(object: T): S {
    const { slim } = this.options;
    const { managedFields: _, ...metadata } = object.metadata as T['metadata'] & { managedFields?: unknown };
    const lean = { ...object, metadata };
    // Without `slim`, S is T: the defaults of the class say so, the compiler cannot.
    return slim === undefined ? (lean as unknown as S) : slim(lean);
  }

  private notify(change: Change<S>): void {
    for (const handler of this.handlers) {
      try {
        handler(change);
      } catch (error) {
        this.options.hooks?.handlerFailed?.();
        const { resource, log } = this.options;
        log.error({ err: error, resource: resource.plural, key: objectKey(change.object) }, 'a watch handler threw');
      }
    }
  }

  private async backOff(error: unknown): Promise<void> {
    const { clock, log, hooks, resource, random = Math.random } = this.options;
    this.phase = 'backing-off';
    this.lastError = error instanceof Error ? error.message : String(error);
    hooks?.failed?.(isApiError(error) ? error.code : 'Unknown');
    const ceiling = Math.min(backoff.maxMs, backoff.baseMs * 2 ** this.failures++);
    const delayMs = ceiling / 2 + (random() * ceiling) / 2;
    log.warn({ err: error, resource: resource.plural, delayMs: Math.round(delayMs) }, 'watch failed, trying again');
    await sleep(clock, delayMs, this.stopping.signal);
  }

  private contact(): void {
    this.lastContact = this.options.clock.monotonic();
    this.lastError = undefined;
  }

  private selection(): Selection {
    const { namespace, labelSelector, fieldSelector } = this.options;
    return { namespace, labelSelector, fieldSelector };
  }
}

/** Carries the version up to which everything arrived. */
class WatchCut extends Error {
  readonly resourceVersion: string;

  constructor(resourceVersion: string, cause: unknown) {
    super('the watch was cut', { cause });
    this.resourceVersion = resourceVersion;
  }
}
