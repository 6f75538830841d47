import type { IncomingMessage, ServerResponse } from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../kube/clock.ts';
import { sleep } from '../kube/clock.ts';
import { answer as sendText, pathOf } from '../observability/health.ts';
import type { Logger } from '../observability/log.ts';
import type { KeyedCertificate } from './authority.ts';
import type { Answer, Reviewer } from './review.ts';
import { formatReview, parseReview } from './review.ts';

export interface AdmissionServerOptions {
  /** By path: `/mutate/pods`, `/mutate/workloads`. */
  readonly reviewers: Readonly<Record<string, Reviewer>>;
  readonly certificate: KeyedCertificate;
  /** Default 9443; 0 takes any. */
  readonly port?: number;
  /** Default: all addresses of both families. */
  readonly host?: string;
  readonly maxBodyBytes?: number;
  /** See `close`. Default 5 s. */
  readonly drainMs?: number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly hooks?: AdmissionHooks;
}

export interface AdmissionHooks {
  answered?(endpoint: string, decision: string, code: string): void;
  took?(endpoint: string, milliseconds: number): void;
}

export interface AdmissionServer {
  readonly port: number;
  /** From the next connection on; those that are open go on with what they have. */
  setCertificate(certificate: KeyedCertificate): void;
  /**
   * Answers on while API servers and kube-proxies hear that this replica goes, each answer ending its connection; then
   * takes no more connections, and resolves when every request that came in is answered.
   */
  close(): Promise<void>;
}

/** An API server takes requests of up to 3 MiB; the review of an UPDATE holds the object twice. */
const defaultMaxBodyBytes = 8 * 1024 * 1024;
const defaultDrainMs = 5_000;
/** Longer than the API server keeps an idle connection (90 s), so that it never writes into one that is being closed. */
const keepAliveMs = 120_000;

export async function startAdmissionServer(options: AdmissionServerOptions): Promise<AdmissionServer> {
  const server = https.createServer(tlsOptions(options.certificate));
  const state: ServerState = { options, draining: false };
  server.keepAliveTimeout = keepAliveMs;
  server.requestTimeout = 30_000;
  server.on('request', (request, response) => {
    void handle(state, request, response);
  });
  await listening(server, options);
  const { port } = server.address() as AddressInfo;
  return {
    port,
    setCertificate(certificate) {
      server.setSecureContext(tlsOptions(certificate));
    },
    async close() {
      state.draining = true;
      await sleep(options.clock, options.drainMs ?? defaultDrainMs);
      await new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeIdleConnections();
      });
    },
  };
}

interface ServerState {
  readonly options: AdmissionServerOptions;
  draining: boolean;
}

function tlsOptions({ certificate, key }: KeyedCertificate): https.ServerOptions {
  return { cert: certificate, key, minVersion: 'TLSv1.2' };
}

function listening(server: https.Server, { port, host }: AdmissionServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port: port ?? 9443, ...(host === undefined ? {} : { host }) }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function handle(state: ServerState, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { clock, log, hooks, reviewers, maxBodyBytes = defaultMaxBodyBytes } = state.options;
  // While draining each connection ends with its answer.
  if (state.draining) response.setHeader('Connection', 'close');
  const endpoint = pathOf(request);
  try {
    // Read to its end whatever comes of it: whoever still writes would see a reset instead of the answer.
    const body = await readBody(request, maxBodyBytes);
    const reviewer = Object.hasOwn(reviewers, endpoint) ? reviewers[endpoint] : undefined;
    if (reviewer === undefined) {
      sendText(response, 404, `${endpoint}: not found. There are ${Object.keys(reviewers).join(', ')}.\n`);
      return;
    }
    const fault = headFault(request);
    if (fault !== undefined) {
      sendText(response, fault.status, `${fault.message}\n`);
      return;
    }
    if (body === undefined) {
      sendText(response, 413, `The body is larger than ${maxBodyBytes} bytes.\n`);
      return;
    }
    const started = clock.monotonic();
    await reply(state, response, { endpoint, reviewer, body });
    hooks?.took?.(endpoint, clock.monotonic() - started);
  } catch (error) {
    // The client went away before its request was whole: there is nobody to tell.
    log.debug({ err: error, endpoint }, 'a review was not read to its end');
    response.destroy();
  }
}

function headFault(request: IncomingMessage): { status: number; message: string } | undefined {
  if (request.method !== 'POST') return { status: 405, message: `${request.method ?? ''}: only POST is served here.` };
  const type = request.headers['content-type'] ?? '';
  if (type.split(';')[0]?.trim().toLowerCase() !== 'application/json') {
    return { status: 415, message: `Content-Type: must be application/json, is ${JSON.stringify(type)}.` };
  }
  return undefined;
}

/** Undefined when there is more than `maxBytes`; the rest is thrown away as it comes, `requestTimeout` ends it. */
async function readBody(request: IncomingMessage, maxBytes: number): Promise<string | undefined> {
  let chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= maxBytes) chunks.push(chunk);
    else chunks = [];
  }
  return size > maxBytes ? undefined : Buffer.concat(chunks).toString('utf8');
}

interface Review {
  readonly endpoint: string;
  readonly reviewer: Reviewer;
  readonly body: string;
}

async function reply(
  state: ServerState,
  response: ServerResponse,
  { endpoint, reviewer, body }: Review,
): Promise<void> {
  const { hooks } = state.options;
  const review = parseReview(body);
  if (review.kind === 'invalid') {
    hooks?.answered?.(endpoint, 'invalid', 'BadReview');
    sendText(response, 400, `${review.message}\n`);
    return;
  }
  const { uid } = review.request;
  const answer = await answerOrDeny(state, reviewer, review.request);
  for (const code of answer.codes.length === 0 ? [''] : answer.codes)
    hooks?.answered?.(endpoint, answer.decision, code);
  const text = JSON.stringify(formatReview(uid, answer));
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
  response.end(text);
}

/** Fails closed: a Pod that opted in runs split or not at all, also when podsplit has a mistake. */
async function answerOrDeny(state: ServerState, reviewer: Reviewer, request: Parameters<Reviewer>[0]): Promise<Answer> {
  try {
    return await reviewer(request);
  } catch (error) {
    const { uid, kind, namespace } = request;
    state.options.log.error({ err: error, uid, kind, namespace }, 'a review failed');
    const what = error instanceof Error ? error.message : String(error);
    return {
      kind: 'denied',
      decision: 'error',
      codes: ['InternalError'],
      status: 500,
      message: `podsplit: the ${kind} could not be judged, so it is not let in: ${what}. Please report this. (InternalError)`,
    };
  }
}
