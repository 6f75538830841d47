import type { ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import { answer } from './health.ts';

/** Answers a request for `/metrics` with all that is registered, in the registry's own format. */
export function answerMetrics(registry: Registry, response: ServerResponse): void {
  registry.metrics().then(
    (text) => {
      response.writeHead(200, { 'Content-Type': registry.contentType });
      response.end(text);
    },
    (error: unknown) => {
      answer(response, 500, `${String(error)}\n`);
    },
  );
}
