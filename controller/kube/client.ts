import { StringDecoder } from 'node:string_decoder';
import type { IncomingMessage } from 'node:http';
import { fieldManager } from '../api/names.ts';
import type { Clock } from './clock.ts';
import { sleep } from './clock.ts';
import type { Status } from './errors.ts';
import { ApiError, errorCode, isApiError } from './errors.ts';
import type { KubeObject, Resource } from './resources.ts';
import { resourcePath } from './resources.ts';
import type { HttpRequest, HttpResponse, Transport } from './transport.ts';

export interface ObjectRef {
  readonly namespace?: string | undefined;
  readonly name: string;
}

export interface RequestOptions {
  /** Default 15 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface WriteOptions extends RequestOptions {
  /** `status`, `binding`, `eviction`, … */
  readonly subresource?: string;
  /** Default `podsplit`. */
  readonly fieldManager?: string;
  readonly dryRun?: boolean;
}

export interface Selection {
  /** Left out: all namespaces. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
}

export interface ListOptions extends RequestOptions, Selection {
  /** Left out, the answer is linearizable; `0` is the API server's cache. */
  readonly resourceVersion?: string;
  readonly pageSize?: number;
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly resourceVersion: string;
}

export interface DeleteOptions extends RequestOptions {
  /** The delete fails with Conflict when the object is another one, or has changed. */
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Foreground' | 'Background' | 'Orphan';
  readonly dryRun?: boolean;
}

export type Patch =
  | { readonly type: 'merge'; readonly body: object }
  /** Lists merge by their keys (conditions by `type`). Not for custom resources. */
  | { readonly type: 'strategic'; readonly body: object }
  | { readonly type: 'json'; readonly body: readonly { op: string; path: string; value?: unknown }[] }
  /** Server-side apply: `body` holds apiVersion, kind and the fields that are ours. */
  | { readonly type: 'apply'; readonly body: object; readonly force?: boolean };

export interface WatchOptions extends Selection {
  readonly resourceVersion: string;
  readonly timeoutSeconds: number;
  readonly signal?: AbortSignal;
}

export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string }
  | { readonly type: 'ERROR'; readonly error: ApiError };

export interface RawRequest extends RequestOptions {
  readonly method: HttpRequest['method'];
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Serialized as JSON. */
  readonly body?: unknown;
  readonly contentType?: string;
}

/** Raw JSON in and out: fields that this version has never heard of survive. Every failure is an `ApiError`. */
export interface KubeClient {
  readonly server: string;
  get<T extends KubeObject>(resource: Resource<T>, ref: ObjectRef, options?: RequestOptions): Promise<T>;
  /** All pages in one list. */
  list<T extends KubeObject>(resource: Resource<T>, options?: ListOptions): Promise<Page<T>>;
  /** Page by page, for lists that need not be in memory whole. Throws Gone when it took too long. */
  pages<T extends KubeObject>(resource: Resource<T>, options?: ListOptions): AsyncIterable<Page<T>>;
  create<T extends KubeObject>(resource: Resource<T>, object: NoInfer<T>, options?: WriteOptions): Promise<T>;
  /** A compare-and-swap when the object carries its resourceVersion: Conflict if it changed meanwhile. */
  replace<T extends KubeObject>(resource: Resource<T>, object: NoInfer<T>, options?: WriteOptions): Promise<T>;
  patch<T extends KubeObject>(resource: Resource<T>, ref: ObjectRef, patch: Patch, options?: WriteOptions): Promise<T>;
  delete(resource: Resource, ref: ObjectRef, options?: DeleteOptions): Promise<void>;
  watch<T extends KubeObject>(resource: Resource<T>, options: WatchOptions): AsyncIterable<WatchEvent<T>>;
  raw(request: RawRequest): Promise<HttpResponse>;
  /** Closes idle connections. */
  close(): void;
}

const defaultTimeoutMs = 15_000;
const defaultPageSize = 500;

const patchContentTypes = {
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
  json: 'application/json-patch+json',
  apply: 'application/apply-patch+yaml',
} as const satisfies Record<Patch['type'], string>;

interface WireList<T> {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly T[] | null;
}

interface WireEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: T & Status;
}

export class JsonKubeClient implements KubeClient {
  readonly server: string;
  private readonly transport: Transport;
  private readonly clock: Clock;

  constructor(transport: Transport, clock: Clock) {
    this.server = transport.server;
    this.transport = transport;
    this.clock = clock;
  }

  async get<T extends KubeObject>(resource: Resource<T>, ref: ObjectRef, options: RequestOptions = {}): Promise<T> {
    return parseObject(
      resource,
      await this.read({ ...limits(options), method: 'GET', path: resourcePath(resource, ref) }),
    );
  }

  async list<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): Promise<Page<T>> {
    try {
      return await this.collect(resource, options);
    } catch (error) {
      // The snapshot behind `continue` was compacted. One unpaged answer needs no snapshot.
      if (!isApiError(error, 'Gone')) throw error;
      return await this.collect(resource, { ...options, pageSize: 0 });
    }
  }

  async *pages<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): AsyncGenerator<Page<T>> {
    const { pageSize = defaultPageSize } = options;
    let next = '';
    do {
      const query = selectionQuery(options);
      if (pageSize > 0) query.set('limit', String(pageSize));
      if (next !== '') query.set('continue', next);
      else if (options.resourceVersion !== undefined) query.set('resourceVersion', options.resourceVersion);
      const path = resourcePath(resource, { namespace: options.namespace });
      const response = await this.read({ ...limits(options), method: 'GET', path, query });
      const list = parse<WireList<T>>(response.body);
      next = list.metadata?.continue ?? '';
      yield {
        items: (list.items ?? []).map((item) => withType(resource, item)),
        resourceVersion: list.metadata?.resourceVersion ?? '',
      };
    } while (next !== '');
  }

  async create<T extends KubeObject>(
    resource: Resource<T>,
    object: NoInfer<T>,
    options: WriteOptions = {},
  ): Promise<T> {
    const { namespace, name } = object.metadata;
    // A subresource such as `eviction` is created below an object, all others in their collection.
    const target =
      options.subresource === undefined ? { namespace } : { namespace, name, subresource: options.subresource };
    return this.write(resource, 'POST', resourcePath(resource, target), object, options);
  }

  async replace<T extends KubeObject>(
    resource: Resource<T>,
    object: NoInfer<T>,
    options: WriteOptions = {},
  ): Promise<T> {
    const { namespace, name } = object.metadata;
    const path = resourcePath(resource, { namespace, name, subresource: options.subresource });
    return this.write(resource, 'PUT', path, object, options);
  }

  async patch<T extends KubeObject>(
    resource: Resource<T>,
    ref: ObjectRef,
    patch: Patch,
    options: WriteOptions = {},
  ): Promise<T> {
    const query = writeQuery(options);
    if (patch.type === 'apply' && patch.force === true) query.set('force', 'true');
    const response = await this.transport.send({
      ...limits(options),
      method: 'PATCH',
      path: resourcePath(resource, { ...ref, subresource: options.subresource }),
      query,
      headers: { 'Content-Type': patchContentTypes[patch.type] },
      body: JSON.stringify(patch.body),
    });
    return parseObject(resource, response);
  }

  async delete(resource: Resource, ref: ObjectRef, options: DeleteOptions = {}): Promise<void> {
    const { preconditions, gracePeriodSeconds, propagationPolicy } = options;
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions, gracePeriodSeconds, propagationPolicy };
    const query = new URLSearchParams(options.dryRun === true ? { dryRun: 'All' } : {});
    await this.transport.send({
      ...limits(options),
      method: 'DELETE',
      path: resourcePath(resource, ref),
      query,
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
  }

  async *watch<T extends KubeObject>(resource: Resource<T>, options: WatchOptions): AsyncGenerator<WatchEvent<T>> {
    const query = selectionQuery(options);
    query.set('watch', 'true');
    query.set('allowWatchBookmarks', 'true');
    query.set('resourceVersion', options.resourceVersion);
    query.set('timeoutSeconds', String(options.timeoutSeconds));
    const path = resourcePath(resource, { namespace: options.namespace });
    const { signal } = options;
    const response = await this.transport.stream({ method: 'GET', path, query, timeoutMs: defaultTimeoutMs, signal });
    try {
      for await (const line of lines(response)) yield watchEvent(resource, path, parse<WireEvent<T>>(line));
    } catch (error) {
      throw cutStream(error, path, signal);
    } finally {
      response.destroy();
    }
  }

  raw(request: RawRequest): Promise<HttpResponse> {
    const send: HttpRequest = {
      ...limits(request),
      method: request.method,
      path: request.path,
      query: new URLSearchParams(request.query ?? {}),
      ...(request.body === undefined
        ? {}
        : {
            headers: { 'Content-Type': request.contentType ?? 'application/json' },
            body: JSON.stringify(request.body),
          }),
    };
    return request.method === 'GET' ? this.read(send) : this.transport.send(send);
  }

  close(): void {
    this.transport.close();
  }

  private async collect<T extends KubeObject>(resource: Resource<T>, options: ListOptions): Promise<Page<T>> {
    const items: T[] = [];
    let resourceVersion = '';
    for await (const page of this.pages(resource, options)) {
      items.push(...page.items);
      resourceVersion = page.resourceVersion;
    }
    return { items, resourceVersion };
  }

  private async write<T extends KubeObject>(
    resource: Resource<T>,
    method: 'POST' | 'PUT',
    path: string,
    object: KubeObject,
    options: WriteOptions,
  ): Promise<T> {
    const response = await this.transport.send({
      ...limits(options),
      method,
      path,
      query: writeQuery(options),
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ apiVersion: resource.apiVersion, kind: resource.kind, ...object }),
    });
    return parseObject(resource, response);
  }

  /**
   * Reads are harmless to repeat: once for a kept-alive connection that had just been closed, and as long as the time
   * allows when the server says how long to wait (API Priority and Fairness answers 429 with Retry-After).
   */
  private async read(request: HttpRequest): Promise<HttpResponse> {
    const deadline = this.clock.monotonic() + request.timeoutMs;
    for (let attempt = 1; ; attempt++) {
      const timeoutMs = Math.max(1, deadline - this.clock.monotonic());
      try {
        return await this.transport.send({ ...request, timeoutMs });
      } catch (error) {
        const waitMs = retryReadAfter(error, attempt);
        if (waitMs === undefined || this.clock.monotonic() + waitMs >= deadline) throw error;
        await sleep(this.clock, waitMs, request.signal);
      }
    }
  }
}

function retryReadAfter(error: unknown, attempt: number): number | undefined {
  if (!(error instanceof ApiError)) return undefined;
  if (error.code === 'Unreachable' && attempt === 1) return 0;
  return error.status === 429 || error.status === 503 ? error.retryAfterMs : undefined;
}

function limits(options: RequestOptions): { timeoutMs: number; signal: AbortSignal | undefined } {
  return { timeoutMs: options.timeoutMs ?? defaultTimeoutMs, signal: options.signal };
}

function selectionQuery(selection: Selection): URLSearchParams {
  const query = new URLSearchParams();
  if (selection.labelSelector !== undefined) query.set('labelSelector', selection.labelSelector);
  if (selection.fieldSelector !== undefined) query.set('fieldSelector', selection.fieldSelector);
  return query;
}

function writeQuery(options: WriteOptions): URLSearchParams {
  const query = new URLSearchParams({ fieldManager: options.fieldManager ?? fieldManager });
  if (options.dryRun === true) query.set('dryRun', 'All');
  return query;
}

/** The API server has validated what it serves; another parse here would only lose fields. */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the one place where JSON gets its type
function parse<T>(text: string): T {
  return JSON.parse(text) as T;
}

function parseObject<T extends KubeObject>(resource: Resource<T>, response: HttpResponse): T {
  return withType(resource, parse<T>(response.body));
}

/** Items of a list come without apiVersion and kind. */
function withType<T extends KubeObject>(resource: Resource<T>, object: T): T {
  return object.kind === undefined ? { apiVersion: resource.apiVersion, kind: resource.kind, ...object } : object;
}

function watchEvent<T extends KubeObject>(resource: Resource<T>, path: string, event: WireEvent<T>): WatchEvent<T> {
  switch (event.type) {
    case 'BOOKMARK':
      return { type: 'BOOKMARK', resourceVersion: event.object.metadata.resourceVersion ?? '' };
    case 'ERROR':
      return { type: 'ERROR', error: statusOf(path, event.object) };
    default:
      return { type: event.type, object: withType(resource, event.object) };
  }
}

function statusOf(path: string, status: Status): ApiError {
  const httpStatus = status.code ?? 500;
  return new ApiError({
    code: errorCode(httpStatus, status.reason),
    message: status.message ?? 'the watch ended with an error',
    path: `WATCH ${path}`,
    status: httpStatus,
    ...(status.reason === undefined ? {} : { reason: status.reason }),
    maybeHappened: false,
  });
}

function cutStream(error: unknown, path: string, signal: AbortSignal | undefined): ApiError {
  if (error instanceof ApiError) return error;
  return new ApiError({
    code: signal?.aborted === true ? 'Aborted' : 'Unreachable',
    message: `the connection was cut: ${error instanceof Error ? error.message : String(error)}`,
    path: `WATCH ${path}`,
    status: 0,
    maybeHappened: false,
    cause: error,
  });
}

async function* lines(response: IncomingMessage): AsyncGenerator<string> {
  const decoder = new StringDecoder('utf8');
  // A line of a big object comes in many chunks: they are joined once, when it is whole.
  let parts: string[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) {
    const pieces = decoder.write(chunk).split('\n');
    const last = pieces.pop() ?? '';
    for (const piece of pieces) {
      const line = parts.join('') + piece;
      parts = [];
      if (line !== '') yield line;
    }
    parts.push(last);
  }
}
