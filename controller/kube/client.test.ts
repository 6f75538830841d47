import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { createAuthority, createLeaf } from '../admission/authority.ts';
import type { KubeClient } from './client.ts';
import { connect } from './connect.ts';
import type { ApiError } from './errors.ts';
import { resourcePath, resources } from './resources.ts';

/** What proxies and overloaded API servers say; e2e/kube asks a real one for all the rest. */
describe('client of a server in trouble', () => {
  let server: https.Server;
  let client: KubeClient;
  let folder: string;
  let answers: RequestListener[];
  let requests: IncomingMessage[];
  let dates: string[];

  beforeEach(async () => {
    const now = Date.now();
    const authority = await createAuthority(now);
    const { certificate, key } = await createLeaf(authority, ['localhost'], now);
    answers = [];
    requests = [];
    server = https.createServer({ cert: certificate, key }, (request, response) => {
      requests.push(request);
      const answer = answers.shift() ?? ok;
      answer(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
    folder = mkdtempSync(join(tmpdir(), 'podsplit-client-'));
    const kubeconfig = join(folder, 'kubeconfig');
    const { port } = server.address() as AddressInfo;
    const ca = Buffer.from(authority.certificate).toString('base64');
    writeFileSync(kubeconfig, kubeconfigText(`https://localhost:${port}/clusters/a`, ca));
    dates = [];
    const heard = (date: string): number => dates.push(date);
    client = connect({ kubeconfig, version: '1.2.3', as: 'jane', heard });
  });

  afterEach(async () => {
    client.close();
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true });
  });

  it('authenticates, names itself and keeps the path of the server', async () => {
    await client.get(resources.pods, { namespace: 'shop', name: 'web' });
    expect(requests[0]?.url).to.equal('/clusters/a/api/v1/namespaces/shop/pods/web');
    expect(requests[0]?.headers).to.include({ authorization: 'Bearer secret', 'impersonate-user': 'jane' });
    expect(requests[0]?.headers['user-agent']).to.match(/^podsplit\/1\.2\.3 /);
  });

  it("tells the server's time by each answer, errors too", async () => {
    const date = 'Thu, 01 Jan 2026 00:00:00 GMT';
    answers.push(status(200, { Date: date }, '{}'), status(502, { Date: date }));
    await client.get(resources.pods, { namespace: 'shop', name: 'web' });
    await failure(client.get(resources.pods, { namespace: 'shop', name: 'web' }));
    expect(dates).to.deep.equal([date, date]);
  });

  it('waits as it is told and reads again, at 429 and at 503', async () => {
    answers.push(status(429, { 'Retry-After': '0' }), status(503, { 'Retry-After': '0' }));
    await client.get(resources.pods, { namespace: 'shop', name: 'web' });
    expect(requests).to.have.length(3);
  });

  it('does not wait longer than its caller does', async () => {
    answers.push(status(429, { 'Retry-After': '60' }));
    const error = await failure(client.get(resources.pods, { namespace: 'shop', name: 'web' }, { timeoutMs: 5_000 }));
    expect(error).to.include({ code: 'TooManyRequests', retryAfterMs: 60_000 });
    expect(requests).to.have.length(1);
  });

  it('never repeats a write by itself', async () => {
    answers.push(status(503, { 'Retry-After': '0' }));
    const error = await failure(
      client.patch(resources.pods, { namespace: 'shop', name: 'web' }, { type: 'merge', body: {} }),
    );
    expect(error).to.include({ code: 'ServerError', status: 503, maybeHappened: true });
    expect(requests).to.have.length(1);
  });

  it('reads an answer that is not from an API server', async () => {
    answers.push(status(502, { 'Content-Type': 'text/html' }, '<h1>Bad gateway</h1>'));
    const error = await failure(client.get(resources.pods, { namespace: 'shop', name: 'web' }));
    expect(error).to.include({ code: 'ServerError', status: 502, maybeHappened: false });
    expect(error.message).to.include('GET /api/v1/namespaces/shop/pods/web').and.to.include('Bad gateway');
  });

  it('takes an answer cut in the middle for no answer', async () => {
    const cut = (_request: IncomingMessage, response: ServerResponse): void => {
      response.writeHead(200, { 'Content-Length': '1000' });
      response.write('{"kind":', () => response.destroy());
    };
    answers.push(cut, cut);
    const error = await failure(client.get(resources.pods, { namespace: 'shop', name: 'web' }));
    expect(error.code).to.equal('Unreachable');
    expect(requests, 'tried once more').to.have.length(2);
  });

  it('lists whole when the version of its pages was compacted', async () => {
    const page = JSON.stringify({
      metadata: { resourceVersion: '7', continue: 'next' },
      items: [{ metadata: { name: 'a' } }],
    });
    const whole = JSON.stringify({ metadata: { resourceVersion: '9' }, items: [{ metadata: { name: 'b' } }] });
    answers.push(status(200, {}, page), status(410), status(200, {}, whole));
    const { items, resourceVersion } = await client.list(resources.nodes);
    expect(items.map(({ metadata }) => metadata.name)).to.deep.equal(['b']);
    expect(resourceVersion).to.equal('9');
    expect(requests.map(({ url }) => url?.replace(/.*nodes/, ''))).to.deep.equal([
      '?limit=500',
      '?limit=500&continue=next',
      '',
    ]);
  });
});

describe('path of a resource', () => {
  const cases = [
    { resource: resources.pods, path: {}, expect: '/api/v1/pods' },
    { resource: resources.pods, path: { namespace: 'a' }, expect: '/api/v1/namespaces/a/pods' },
    {
      resource: resources.pods,
      path: { namespace: 'a', name: 'b', subresource: 'status' },
      expect: '/api/v1/namespaces/a/pods/b/status',
    },
    { resource: resources.nodes, path: { namespace: 'ignored', name: 'n' }, expect: '/api/v1/nodes/n' },
    {
      resource: resources.leases,
      path: { namespace: 'a', name: 'l' },
      expect: '/apis/coordination.k8s.io/v1/namespaces/a/leases/l',
    },
    {
      resource: resources.configMaps,
      path: { namespace: 'a', name: '../../secrets' },
      expect: '/api/v1/namespaces/a/configmaps/..%2F..%2Fsecrets',
    },
  ];
  for (const { resource, path, expect: wanted } of cases) {
    it(wanted, () => {
      expect(resourcePath(resource, path)).to.equal(wanted);
    });
  }

  it('needs a namespace to name a namespaced object', () => {
    expect(() => resourcePath(resources.pods, { name: 'web' })).to.throw(TypeError, 'namespace');
  });
});

function ok(_request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200).end('{"kind":"Pod","metadata":{"name":"web"}}');
}

function status(code: number, headers: Record<string, string> = {}, body?: string): RequestListener {
  return (request, response) => {
    request.resume();
    response.writeHead(code, headers).end(body ?? JSON.stringify({ kind: 'Status', message: `status ${code}` }));
  };
}

function kubeconfigText(server: string, ca: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'a',
    clusters: [{ name: 'a', cluster: { server, 'certificate-authority-data': ca } }],
    users: [{ name: 'a', user: { token: 'secret' } }],
    contexts: [{ name: 'a', context: { cluster: 'a', user: 'a' } }],
  });
}

async function failure(promise: Promise<unknown>): Promise<ApiError> {
  return promise.then(
    () => {
      throw new Error('did not fail');
    },
    (error: unknown) => error as ApiError,
  );
}
