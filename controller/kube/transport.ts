import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import type { ApiErrorCode, Status } from './errors.ts';
import { ApiError, errorCode } from './errors.ts';

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Without query. */
  readonly path: string;
  readonly query?: URLSearchParams;
  readonly headers?: Readonly<Record<string, string>>;
  /** Already serialized. */
  readonly body?: string;
  /** Until the last byte of the answer, or for `stream` until its head is there. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpResponse {
  readonly status: number;
  readonly body: string;
}

export interface Transport {
  /** URL of the API server. */
  readonly server: string;
  send(request: HttpRequest): Promise<HttpResponse>;
  /** The body as it comes, for watches. */
  stream(request: HttpRequest): Promise<IncomingMessage>;
  close(): void;
}

/** Who asks, and whom: a kubeconfig's (kube/connect.ts), or a Pod's own (kube/in-cluster.ts). */
export interface Credentials {
  /** URL of the API server. */
  readonly server: string;
  /** There is a proxy in between: then `apply` sets the agent that knows how to get through. */
  readonly proxied: boolean;
  /** Puts CA, client certificate or token on a request. Asked for each, because tokens are renewed. */
  apply(options: https.RequestOptions): Promise<void>;
}

export interface TransportOptions {
  readonly credentials: Credentials;
  readonly userAgent: string;
  readonly impersonate?: string | undefined;
  /** Called with the Date of each answer that came quickly: one that lay about tells another time. */
  readonly heard?: ((date: string) => void) | undefined;
}

/** Also of a process that was stopped in between. */
const quickMs = 2_000;

/**
 * The socket of an idle connection is given up before the API server does it (Go's idle timeout there is 90 s), so that
 * a write does not meet a connection that is just being closed.
 */
const idleSocketMs = 45_000;

/** Half-open connections of a watch are found by TCP keep-alive: this long of silence, then probes once a second. */
const keepAliveProbeMs = 15_000;

/** node:https to the API server. Bodies go as they are: no class ever sees the objects. */
export class HttpsTransport implements Transport {
  readonly server: string;
  private readonly base: URL;
  private readonly options: TransportOptions;
  private agents:
    { readonly credentials: string; readonly requests: https.Agent; readonly watches: https.Agent } | undefined;

  constructor(options: TransportOptions) {
    this.server = options.credentials.server;
    this.base = new URL(this.server);
    this.options = options;
    if (this.base.protocol !== 'https:') throw new TypeError(`${this.server}: only https is spoken.`);
  }

  async send(request: HttpRequest): Promise<HttpResponse> {
    const call = new Call(request, request.timeoutMs);
    const started = performance.now();
    try {
      const response = await call.start(await this.requestOptions(request, 'requests'));
      const { date } = response.headers;
      if (date !== undefined && performance.now() - started < quickMs) this.options.heard?.(date);
      const body = await call.text(response);
      const status = response.statusCode ?? 0;
      if (status >= 300) throw statusError(request, response, body);
      return { status, body };
    } finally {
      call.finish();
    }
  }

  async stream(request: HttpRequest): Promise<IncomingMessage> {
    const call = new Call(request, request.timeoutMs);
    try {
      const response = await call.start(await this.requestOptions(request, 'watches'));
      if ((response.statusCode ?? 0) >= 300) throw statusError(request, response, await call.text(response));
      call.keepOpen(response);
      return response;
    } catch (error) {
      call.finish();
      throw error;
    }
  }

  close(): void {
    this.agents?.requests.destroy();
    this.agents?.watches.destroy();
    this.agents = undefined;
  }

  private async requestOptions(request: HttpRequest, pool: 'requests' | 'watches'): Promise<https.RequestOptions> {
    const headers: Record<string, string> = {};
    const authentication: https.RequestOptions = { headers };
    await this.authenticate(request, authentication);
    const query = request.query !== undefined && request.query.size > 0 ? `?${request.query.toString()}` : '';
    const prefix = this.base.pathname.replace(/\/$/, '');
    return {
      ...authentication,
      agent: this.options.credentials.proxied ? authentication.agent : this.agentFor(authentication)[pool],
      protocol: 'https:',
      hostname: this.base.hostname.replace(/^\[|\]$/g, ''),
      port: this.base.port === '' ? 443 : Number(this.base.port),
      method: request.method,
      path: `${prefix}${request.path}${query}`,
      headers: {
        ...headers,
        'User-Agent': this.options.userAgent,
        Accept: 'application/json',
        ...(this.options.impersonate === undefined ? {} : { 'Impersonate-User': this.options.impersonate }),
        ...(request.body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(request.body)) }),
        ...request.headers,
      },
    };
  }

  private async authenticate(request: HttpRequest, authentication: https.RequestOptions): Promise<void> {
    try {
      await this.options.credentials.apply(authentication);
    } catch (cause) {
      throw new ApiError({
        code: 'Unauthorized',
        message: `no credentials: ${cause instanceof Error ? cause.message : String(cause)}`,
        path: describe(request),
        status: 0,
        maybeHappened: false,
        cause,
      });
    }
  }

  /** Watches have a pool of their own: they hold a connection for minutes and must not starve the requests. */
  private agentFor(authentication: https.RequestOptions): { requests: https.Agent; watches: https.Agent } {
    const { ca, cert, key, rejectUnauthorized, servername } = authentication;
    const credentials = createHash('sha256')
      .update(JSON.stringify([ca, cert, key, rejectUnauthorized, servername].map(String)))
      .digest('hex');
    if (this.agents?.credentials === credentials) return this.agents;
    const tls = definedOnly({ ca, cert, key, rejectUnauthorized, servername });
    const keepAlive = { keepAlive: true, keepAliveMsecs: keepAliveProbeMs };
    // The agents before keep their calls in flight; their idle sockets time out by themselves.
    this.agents = {
      credentials,
      requests: new https.Agent({ ...tls, ...keepAlive, timeout: idleSocketMs, maxSockets: 64 }),
      watches: new https.Agent({ ...tls, ...keepAlive, timeout: idleSocketMs }),
    };
    return this.agents;
  }
}

/** One request and its deadline. */
class Call {
  private readonly request: HttpRequest;
  private readonly timer: NodeJS.Timeout;
  private outgoing: ReturnType<typeof https.request> | undefined;
  private connected = false;
  private ended: 'Timeout' | 'Aborted' | undefined;
  private readonly onAbort = (): void => {
    this.end('Aborted');
  };

  constructor(request: HttpRequest, timeoutMs: number) {
    this.request = request;
    this.timer = setTimeout(() => {
      this.end('Timeout');
    }, timeoutMs);
    request.signal?.addEventListener('abort', this.onAbort, { once: true });
  }

  start(options: https.RequestOptions): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      if (this.request.signal?.aborted) this.end('Aborted');
      if (this.ended !== undefined) {
        reject(this.failure(new Error('ended before it began')));
        return;
      }
      const outgoing = https.request(options);
      this.outgoing = outgoing;
      outgoing.once('socket', (socket) => {
        this.watchConnect(socket, outgoing.reusedSocket);
      });
      outgoing.once('response', resolve);
      outgoing.on('error', (error) => {
        reject(this.failure(error));
      });
      outgoing.end(this.request.body);
    });
  }

  async text(response: IncomingMessage): Promise<string> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
    } catch (error) {
      throw this.failure(error);
    }
    return Buffer.concat(chunks).toString('utf8');
  }

  /** From here on only the caller's signal ends the call. */
  keepOpen(response: IncomingMessage): void {
    clearTimeout(this.timer);
    response.once('close', () => {
      this.finish();
    });
  }

  finish(): void {
    clearTimeout(this.timer);
    this.request.signal?.removeEventListener('abort', this.onAbort);
  }

  private end(why: 'Timeout' | 'Aborted'): void {
    this.ended ??= why;
    this.outgoing?.destroy(new Error(why));
  }

  private watchConnect(socket: Socket, reused: boolean): void {
    if (reused) {
      this.connected = true;
      return;
    }
    socket.once('secureConnect', () => {
      this.connected = true;
    });
  }

  private failure(cause: unknown): ApiError {
    const code: ApiErrorCode = this.ended ?? 'Unreachable';
    const reason = cause instanceof Error ? cause.message : String(cause);
    const messages: Readonly<Record<string, string>> = {
      Timeout: 'no answer in time',
      Aborted: 'aborted by the caller',
    };
    return new ApiError({
      code,
      message: messages[code] ?? `the API server cannot be reached or cut the connection: ${reason}`,
      path: describe(this.request),
      status: 0,
      // Before TLS is up nothing of the request can have reached the server.
      maybeHappened: this.connected && this.request.method !== 'GET',
      cause,
    });
  }
}

function statusError(request: HttpRequest, response: IncomingMessage, body: string): ApiError {
  const httpStatus = response.statusCode ?? 0;
  const status = parseStatus(body);
  const retryAfter = Number(response.headers['retry-after'] ?? status.details?.retryAfterSeconds ?? Number.NaN);
  return new ApiError({
    code: errorCode(httpStatus, status.reason),
    message: status.message ?? `HTTP ${httpStatus}: ${body.slice(0, 200)}`,
    path: describe(request),
    status: httpStatus,
    ...(status.reason === undefined ? {} : { reason: status.reason }),
    ...(status.details === undefined ? {} : { details: status.details }),
    ...(Number.isFinite(retryAfter) ? { retryAfterMs: retryAfter * 1000 } : {}),
    // A 5xx may come from behind the write: "etcdserver: request timed out" is one that often went through.
    maybeHappened: request.method !== 'GET' && httpStatus >= 500,
  });
}

/** Proxies in between answer with HTML: then the HTTP status is all there is. */
function parseStatus(body: string): Status {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === 'object' && parsed !== null ? parsed : {};
  } catch {
    return {};
  }
}

function describe(request: HttpRequest): string {
  return `${request.method} ${request.path}`;
}

function definedOnly<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
