import https from 'node:https';
import { createAuthority, createLeaf } from '../../controller/admission/authority.ts';
import { reviewPod } from '../../controller/admission/pods.ts';
import { startAdmissionServer } from '../../controller/admission/server.ts';
import { systemClock } from '../../controller/kube/clock.ts';
import { silentLogger } from '../../controller/observability/log.ts';
import { defaultGuards } from '../../controller/api/guards.ts';
import type { AdmitOptions } from '../../controller/isolate/admit.ts';
import { percentile, type Figure } from './figures.ts';
import { benchPod } from './pod.ts';

const reviews = 4000;
const options: AdmitOptions = {
  image: 'podsplit.local/podsplit:dev',
  maxContainers: 30,
  install: { otherwise: 'node', byNetwork: new Map() },
  guards: defaultGuards,
  resourceDefaults: new Map(),
};

/** Reviews of a 10-container Pod over real TLS with kept connections, as the API server sends them, one at a time. */
export async function benchAdmission(): Promise<readonly Figure[]> {
  const authority = await createAuthority(Date.now());
  const certificate = await createLeaf(authority, ['localhost'], Date.now());
  const server = await startAdmissionServer({
    reviewers: {
      '/mutate/pods': (request) => reviewPod(request, options),
    },
    certificate,
    port: 0,
    host: '127.0.0.1',
    clock: systemClock,
    log: silentLogger,
  });
  const agent = new https.Agent({ keepAlive: true, ca: authority.certificate, maxSockets: 1 });
  const body = JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: 'b1946ac9-0000-4000-8000-000000000000',
      kind: { group: '', version: 'v1', kind: 'Pod' },
      resource: { group: '', version: 'v1', resource: 'pods' },
      operation: 'CREATE',
      namespace: 'bench',
      userInfo: { username: 'system:serviceaccount:kube-system:replicaset-controller' },
      object: benchPod(10),
      oldObject: null,
      dryRun: false,
    },
  });
  const times: number[] = [];
  for (let index = 0; index < reviews; index++) {
    const started = performance.now();
    const answer = await post(agent, server.port, body);
    if (!answer.includes('"allowed":true')) throw new Error(`refused: ${answer.slice(0, 300)}`);
    if (index >= reviews / 4) times.push(performance.now() - started);
  }
  agent.destroy();
  await server.close();
  const total = times.reduce((sum, time) => sum + time, 0);
  return [
    { name: 'admission of a 10-container Pod, p50', value: `${percentile(times, 0.5).toFixed(2)} ms` },
    { name: 'admission of a 10-container Pod, p99', value: `${percentile(times, 0.99).toFixed(2)} ms`, goal: '< 5 ms' },
    {
      name: 'admission, client and server on one core',
      value: `${Math.round((1000 * times.length) / total)} a second`,
      goal: '500 a second',
    },
  ];
}

function post(agent: https.Agent, port: number, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = https.request(
      {
        agent,
        port,
        host: '127.0.0.1',
        servername: 'localhost',
        method: 'POST',
        path: '/mutate/pods',
        headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => {
          resolve(text);
        });
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}
