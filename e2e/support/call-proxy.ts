import https from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { createAuthority, issue } from '../../hack/cluster/pki.ts';

/**
 * Where the line is cut at a call: the API server has not heard of it, or it has done it and nobody hears that; or nothing is
 * cut, and only something else happens.
 */
export type Side = 'before' | 'after' | 'none';

export interface Cut {
  /** Of the mutating calls that concern `what`, counted from 1. */
  readonly at: number;
  readonly side: Side;
  /** While nothing passes in either direction; what is under way on other connections is lost too. */
  readonly meanwhile: () => Promise<void>;
  /** The line is whole again. */
  readonly over: (call: string) => void;
}

const mutating = ['POST', 'PUT', 'PATCH', 'DELETE'];

interface Upstream {
  readonly server: string;
  readonly ca: string;
}

/**
 * Stands between a client and the API server, reads the calls, and cuts the line at one of them. It speaks TLS to both, with
 * a certificate of its own: the client has to trust `ca`.
 */
export class CallProxy {
  readonly ca: string;
  /** The mutating calls that concern `what`, as they came: method, path, and name where the path has none. */
  calls: string[] = [];
  private what = '';
  private cut: Cut | undefined;
  private cutOff = false;
  private readonly paths = new Set<string>();
  private readonly server: https.Server;
  private readonly upstream: Upstream;
  private readonly agent: https.Agent;

  private constructor(upstream: Upstream, ca: string, pair: { readonly certificate: string; readonly key: string }) {
    this.upstream = upstream;
    this.ca = ca;
    this.agent = new https.Agent({ ca: upstream.ca, keepAlive: true });
    this.server = https.createServer({ cert: pair.certificate, key: pair.key }, (request, response) => {
      this.answer(request, response).catch(() => {
        request.destroy();
      });
    });
  }

  static async start(upstream: Upstream): Promise<CallProxy> {
    const authority = await createAuthority('podsplit-call-proxy');
    const pair = await issue(authority, { commonName: 'proxy', serves: { ips: ['127.0.0.1'] } });
    const proxy = new CallProxy(upstream, authority.pem.certificate, pair);
    await new Promise<void>((resolve) => proxy.server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get url(): string {
    return `https://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** From now on calls are counted whose path or body has `what`, and those to objects that such a call made. */
  watch(what: string, cut?: Cut): void {
    this.what = what;
    this.calls = [];
    this.paths.clear();
    this.cut = cut;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.agent.destroy();
    await new Promise<void>((resolve) => {
      this.server.close(() => {
        resolve();
      });
    });
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    if (this.cutOff) {
      request.destroy();
      return;
    }
    const due = this.count(request, body.toString()) ? this.cut : undefined;
    if (due === undefined) {
      await this.forward(request, body, response);
      return;
    }
    this.cut = undefined;
    if (due.side === 'none') {
      await due.meanwhile();
      due.over(this.calls[due.at - 1] ?? '');
      await this.forward(request, body, response);
      return;
    }
    if (due.side === 'after') await this.perform(request, body);
    this.cutOff = true;
    const meanwhile = due.meanwhile();
    this.server.closeAllConnections();
    await meanwhile;
    this.cutOff = false;
    due.over(this.calls[due.at - 1] ?? '');
  }

  /** Whether this is the call to cut at. */
  private count({ method = '', url = '' }: IncomingMessage, body: string): boolean {
    if (!mutating.includes(method) || this.what === '') return false;
    const [path = ''] = url.split('?');
    if (!path.includes(this.what) && !body.includes(this.what) && !this.paths.has(path)) return false;
    const name = method === 'POST' ? nameIn(body) : '';
    if (name !== '') this.paths.add(`${path}/${name}`);
    this.calls.push(`${method} ${path}${name === '' ? '' : ` ${name}`}`);
    return this.calls.length === this.cut?.at;
  }

  private async forward(request: IncomingMessage, body: Buffer, response: ServerResponse): Promise<void> {
    const upstream = this.send(request, body);
    response.once('close', () => {
      upstream.destroy();
    });
    const answer = await answered(upstream);
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    // Watches: what comes is passed on as it comes.
    response.flushHeaders();
    answer.once('error', () => {
      response.destroy();
    });
    answer.pipe(response);
  }

  private async perform(request: IncomingMessage, body: Buffer): Promise<void> {
    await buffer(await answered(this.send(request, body)));
  }

  private send({ method, url, headers }: IncomingMessage, body: Buffer): ReturnType<typeof https.request> {
    const target = new URL(url ?? '/', this.upstream.server);
    const upstream = https.request(target, { method, headers, agent: this.agent });
    upstream.end(body);
    return upstream;
  }
}

function answered(upstream: ReturnType<typeof https.request>): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    upstream.once('response', resolve);
    upstream.once('error', reject);
  });
}

function nameIn(body: string): string {
  const { metadata } = JSON.parse(body) as { readonly metadata?: { readonly name?: string } };
  return metadata?.name ?? '';
}
