import http from 'node:http';
import type { AddressInfo } from 'node:net';

/** Something that can fail. Returns why it does, or undefined when all is well. */
export interface Check {
  readonly name: string;
  readonly check: () => string | undefined;
}

export interface HealthOptions {
  /** Fails when only a restart helps. */
  readonly livez: readonly Check[];
  /** Fails when this replica should get no requests. */
  readonly readyz: readonly Check[];
  /** Default 8081; 0 takes any. */
  readonly port?: number;
  readonly host?: string;
}

export interface RunningServer {
  readonly port: number;
  close(): Promise<void>;
}

export function startHealthServer(options: HealthOptions): Promise<RunningServer> {
  const pages: Readonly<Record<string, readonly Check[]>> = { '/livez': options.livez, '/readyz': options.readyz };
  return listen(options.port ?? 8081, options.host, (request, response) => {
    const checks = pages[pathOf(request)];
    if (checks === undefined) {
      answer(response, 404, 'not found: /livez and /readyz are here\n');
      return;
    }
    const { ok, text } = report(checks);
    answer(response, ok ? 200 : 503, text);
  });
}

/** One line a check, as the API server prints its own. */
export function report(checks: readonly Check[]): { readonly ok: boolean; readonly text: string } {
  const results = checks.map(({ name, check }) => ({ name, problem: run(check) }));
  const lines = results.map(({ name, problem }) =>
    problem === undefined ? `[+]${name} ok` : `[-]${name} failed: ${problem}`,
  );
  const ok = results.every(({ problem }) => problem === undefined);
  return { ok, text: `${[...lines, ok ? 'ok' : 'failed'].join('\n')}\n` };
}

function run(check: () => string | undefined): string | undefined {
  try {
    return check();
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

export function pathOf(request: http.IncomingMessage): string {
  return (request.url ?? '/').replace(/\?.*$/, '');
}

export function answer(response: http.ServerResponse, status: number, text: string, type = 'text/plain'): void {
  response.writeHead(status, { 'Content-Type': `${type}; charset=utf-8`, 'X-Content-Type-Options': 'nosniff' });
  response.end(text);
}

/** All interfaces of both families by default, since the kubelet calls the Pod IP. */
export function listen(port: number, host: string | undefined, listener: http.RequestListener): Promise<RunningServer> {
  const server = http.createServer(listener);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
      const { port: bound } = server.address() as AddressInfo;
      resolve({
        port: bound,
        close: () =>
          new Promise((closed) => {
            server.close(() => {
              closed();
            });
            server.closeIdleConnections();
          }),
      });
    });
  });
}
