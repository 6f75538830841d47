import { expect } from 'chai';
import { startHealthServer } from './health.ts';
import { createMetrics, startMetricsServer } from './metrics.ts';

async function get(port: number, path: string): Promise<{ status: number; body: string; type: string }> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: response.status, body: await response.text(), type: response.headers.get('content-type') ?? '' };
}

describe('health server', () => {
  it('answers each page from its own checks, and says which one failed and why', async () => {
    let watching = true;
    const server = await startHealthServer({
      port: 0,
      host: '127.0.0.1',
      livez: [{ name: 'event-loop', check: () => undefined }],
      readyz: [
        { name: 'certificate', check: () => undefined },
        { name: 'pods-watch', check: () => (watching ? undefined : 'silent for 700 s') },
      ],
    });
    try {
      expect(await get(server.port, '/readyz?verbose')).to.deep.include({
        status: 200,
        body: '[+]certificate ok\n[+]pods-watch ok\nok\n',
      });
      watching = false;
      expect(await get(server.port, '/readyz')).to.deep.include({
        status: 503,
        body: '[+]certificate ok\n[-]pods-watch failed: silent for 700 s\nfailed\n',
      });
      expect(await get(server.port, '/livez')).to.deep.include({ status: 200, body: '[+]event-loop ok\nok\n' });
      expect((await get(server.port, '/healthz')).status).to.equal(404);
    } finally {
      await server.close();
    }
  });

  it('counts a check that throws as failed', async () => {
    const check = (): string | undefined => {
      throw new Error('no store');
    };
    const server = await startHealthServer({
      port: 0,
      host: '127.0.0.1',
      livez: [{ name: 'store', check }],
      readyz: [],
    });
    try {
      expect(await get(server.port, '/livez')).to.deep.include({
        status: 503,
        body: '[-]store failed: no store\nfailed\n',
      });
    } finally {
      await server.close();
    }
  });
});

describe('metrics server', () => {
  it('serves what was counted, in the text format of Prometheus', async () => {
    const metrics = createMetrics();
    metrics.admissionRequests.inc({ endpoint: '/mutate/pods', decision: 'refused', code: 'UnknownMode' });
    const server = await startMetricsServer({ metrics, port: 0, host: '127.0.0.1' });
    try {
      const { status, body, type } = await get(server.port, '/metrics');
      expect(status).to.equal(200);
      expect(type).to.match(/^text\/plain; version=0\.0\.4/);
      expect(body).to.include(
        'podsplit_admission_requests_total{endpoint="/mutate/pods",decision="refused",code="UnknownMode"} 1',
      );
      expect(body).to.match(/^process_resident_memory_bytes \d+$/m);
      expect((await get(server.port, '/')).status).to.equal(404);
    } finally {
      await server.close();
    }
  });
});
