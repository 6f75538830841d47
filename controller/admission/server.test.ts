import { X509Certificate } from 'node:crypto';
import https from 'node:https';
import tls from 'node:tls';
import { expect } from 'chai';
import { FakeClock } from '../kube/fake-clock.ts';
import { silentLogger } from '../observability/log.ts';
import type { AdmitOptions } from '../isolate/admit.ts';
import { type KeyedCertificate, createAuthority, createLeaf } from './authority.ts';
import { reviewPod } from './pods.ts';
import type { AdmissionServer } from './server.ts';
import { startAdmissionServer } from './server.ts';

const limit = 3 * 1024 * 1024;
const options: AdmitOptions = {
  image: 'podsplit:test',
  maxContainers: 8,
  install: { otherwise: 'init', byNetwork: new Map() },
  guards: [],
  resourceDefaults: new Map(),
};
const host = 'podsplit-webhook.podsplit-system.svc';

interface Answer {
  readonly status: number;
  readonly body: string;
}

interface Call {
  readonly method?: string;
  readonly agent?: https.Agent;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Review {
  readonly apiVersion: string;
  readonly response: {
    readonly uid: string;
    readonly allowed: boolean;
    readonly patch?: string;
    readonly patchType?: string;
    readonly status?: { readonly code: number; readonly message: string; readonly reason: string };
  };
}

function review(uid: string, annotations: Record<string, string>, padding = ''): string {
  const object = {
    metadata: { name: 'web', annotations: { ...annotations, ...(padding === '' ? {} : { padding }) } },
    spec: { containers: ['web', 'cache'].map((name) => ({ name, image: name })) },
  };
  return JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: { uid, kind: { group: '', version: 'v1', kind: 'Pod' }, operation: 'CREATE', namespace: 'shop', object },
  });
}

const split = { 'podsplit.io/mode': 'split' };

describe('admission server', () => {
  let authority: KeyedCertificate;
  let server: AdmissionServer;
  let agent: https.Agent;
  let clock: FakeClock;
  const answered: string[] = [];

  before(async () => {
    authority = await createAuthority(Date.now());
  });

  beforeEach(async () => {
    answered.length = 0;
    clock = new FakeClock();
    server = await startAdmissionServer({
      port: 0,
      host: '127.0.0.1',
      certificate: await createLeaf(authority, [host], Date.now()),
      maxBodyBytes: limit,
      clock,
      log: silentLogger,
      hooks: { answered: (endpoint, decision, code) => answered.push([endpoint, decision, code].join(' ')) },
      reviewers: {
        '/mutate/pods': (request) => reviewPod(request, options),
        '/broken': () => {
          throw new Error('a mistake of ours');
        },
      },
    });
    agent = new https.Agent({ ca: authority.certificate, servername: host, keepAlive: true, maxSockets: 8 });
  });

  afterEach(async () => {
    agent.destroy();
    const closed = server.close();
    await clock.advance(5_000);
    await closed;
  });

  function call(path: string, body: string | Buffer, more: Call = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers = { 'Content-Type': 'application/json', ...more.headers };
      const target = { host: '127.0.0.1', port: server.port, path, method: 'POST', agent };
      const request = https.request({ ...target, ...more, headers }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => {
          resolve({ status: response.statusCode ?? 0, body: text });
        });
      });
      request.on('error', reject);
      request.end(body);
    });
  }

  async function reviewed(body: string, path = '/mutate/pods'): Promise<Review['response']> {
    const { status, body: text } = await call(path, body);
    expect(status, text).to.equal(200);
    const answer = JSON.parse(text) as Review;
    expect(answer.apiVersion).to.equal('admission.k8s.io/v1');
    return answer.response;
  }

  it('answers a review with the uid of the request and a JSON patch', async () => {
    const response = await reviewed(review('7a', split));
    expect(response).to.deep.include({ uid: '7a', allowed: true, patchType: 'JSONPatch' });
    const patch = JSON.parse(Buffer.from(response.patch!, 'base64').toString('utf8')) as { path: string }[];
    expect(patch.map(({ path }) => path)).to.include('/spec/containers');
    expect(answered).to.deep.equal(['/mutate/pods split ']);
  });

  it('says why it refuses, and counts by code', async () => {
    const response = await reviewed(review('7b', { 'podsplit.io/mode': 'splt' }));
    expect(response).to.deep.include({ uid: '7b', allowed: false });
    expect(response.status).to.deep.include({ code: 422, reason: 'Invalid' });
    expect(response.status?.message).to.include('podsplit.io/mode');
    expect(answered).to.deep.equal(['/mutate/pods refused UnknownMode']);
  });

  it('denies when it has a mistake itself', async () => {
    const response = await reviewed(review('7c', split), '/broken');
    expect(response).to.deep.include({ uid: '7c', allowed: false });
    expect(response.status).to.deep.include({ code: 500, reason: 'InternalError' });
    expect(response.status?.message).to.include('a mistake of ours');
    expect(answered).to.deep.equal(['/broken error InternalError']);
  });

  const review1 = (change: object): string =>
    JSON.stringify({ ...(JSON.parse(review('x', split)) as object), ...change });
  const bad: readonly { readonly name: string; readonly body: string; readonly says: RegExp }[] = [
    { name: 'no JSON', body: 'mode=split', says: /not JSON/ },
    { name: 'nothing', body: '', says: /not JSON/ },
    { name: 'JSON cut short', body: review('x', split).slice(0, -5), says: /not JSON/ },
    { name: 'null', body: 'null', says: /AdmissionReview/ },
    {
      name: 'another version',
      body: review1({ apiVersion: 'admission.k8s.io/v1beta1' }),
      says: /admission\.k8s\.io\/v1/,
    },
    { name: 'no request', body: review1({ request: undefined }), says: /^request:/ },
    {
      name: 'no uid',
      body: review1({ request: { kind: { kind: 'Pod' }, operation: 'CREATE' } }),
      says: /^request\.uid/,
    },
    { name: 'no kind', body: review1({ request: { uid: 'x', operation: 'CREATE' } }), says: /^request\.kind/ },
    {
      name: 'no operation',
      body: review1({ request: { uid: 'x', kind: { kind: 'Pod' } } }),
      says: /^request\.operation/,
    },
  ];
  for (const { name, body, says } of bad) {
    it(`answers 400 to ${name}`, async () => {
      const answer = await call('/mutate/pods', body);
      expect(answer.status).to.equal(400);
      expect(answer.body).to.match(says);
    });
  }

  it('answers 404 to an unknown path, and says which there are', async () => {
    for (const path of ['/', '/mutate', '/toString', '/__proto__']) {
      expect(await call(path, review('x', split))).to.deep.include({ status: 404 });
    }
    expect((await call('/mutate', '')).body).to.include('/mutate/pods');
  });

  it('answers 415 to another content type and 405 to another method', async () => {
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    expect((await call('/mutate/pods', 'a=b', { headers })).status).to.equal(415);
    expect((await call('/mutate/pods', '', { method: 'GET' })).status).to.equal(405);
  });

  it('takes the parameters of a content type and the query that API servers add', async () => {
    const headers = { 'Content-Type': 'application/json; charset=utf-8' };
    const answer = await call('/mutate/pods?timeout=5s', review('x', split), { headers });
    expect(answer.status).to.equal(200);
  });

  it('takes a body up to its limit and answers 413 above it, announced or not', async () => {
    const room = limit - review('x', split, 'y').length;
    expect((await call('/mutate/pods', review('x', split, 'y'.repeat(room)))).status).to.equal(200);
    expect((await call('/mutate/pods', review('x', split, 'y'.repeat(room + 100)))).status).to.equal(413);
    const chunked = { headers: { 'Transfer-Encoding': 'chunked' } };
    expect((await call('/mutate/pods', Buffer.alloc(4 * limit, 'y'), chunked)).status).to.equal(413);
    expect((await call('/mutate/pods', review('x', split))).status).to.equal(200);
  });

  it('changes its certificate under load without one failed review', async () => {
    const renewed = await createLeaf(authority, [host], Date.now());
    let stop = false;
    let done = 0;
    const failures: unknown[] = [];
    const loops = Array.from({ length: 8 }, async (_, loop) => {
      // Half of the callers keep their connections, half come anew each time.
      const perCall = loop % 2 === 0 ? {} : { agent: new https.Agent({ ca: authority.certificate, servername: host }) };
      while (!stop) {
        await call('/mutate/pods', review(`${loop}`, split), perCall).then(
          ({ status }) => (status === 200 ? done++ : failures.push(status)),
          (error: unknown) => failures.push(error),
        );
      }
    });
    const until = async (count: number): Promise<void> => {
      while (done < count && failures.length === 0) await new Promise((resolve) => setImmediate(resolve));
    };
    await until(50);
    for (let turn = 0; turn < 5; turn++) {
      server.setCertificate(turn % 2 === 0 ? renewed : await createLeaf(authority, [host], Date.now()));
      await until(done + 50);
    }
    stop = true;
    await Promise.all(loops);
    expect(failures).to.deep.equal([]);
    expect(await servedSerial(server.port, authority)).to.equal(serialOf(renewed));
  });

  it('answers whoever comes while it drains, and ends kept-alive connections by its answers', async () => {
    for (let warm = 0; warm < 8; warm++) await call('/mutate/pods', review('x', split));
    const closing = server.close();
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, uid) => call('/mutate/pods', review(`${uid}`, split))),
    );
    expect(answers.filter(({ status }) => status !== 200)).to.deep.equal([]);
    await clock.advance(5_000);
    await closing;
    const late = await call('/mutate/pods', review('x', split)).catch((error: unknown) => error);
    expect(late).to.have.property('code', 'ECONNREFUSED');
  });
});

function servedSerial(port: number, authority: KeyedCertificate): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port, ca: authority.certificate, servername: host }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

function serialOf(leaf: KeyedCertificate): string {
  return new X509Certificate(leaf.certificate).serialNumber;
}
