import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { ReflectorHooks } from '../kube/reflector.ts';
import type { WorkQueueHooks } from '../kube/work-queue.ts';
import type { WorkerHooks } from '../kube/worker.ts';
import type { RunningServer } from './health.ts';
import { answer, listen, pathOf } from './health.ts';
import { answerMetrics } from './metrics-page.ts';
import { processMetrics } from './process-metrics.ts';

/** Every metric of the controller: names and labels are an interface, docs/metrics.md lists them. */
export type Metrics = ReturnType<typeof createMetrics>;

const requestSeconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10];
const workSeconds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120];

export function createMetrics() {
  const registry = new Registry();
  const registers = [registry];
  processMetrics(registry);
  return {
    registry,
    admissionRequests: new Counter({
      name: 'podsplit_admission_requests_total',
      help: 'Admission reviews by endpoint, decision (split, left-alone, refused, copied, unchanged, error) and refusal code.',
      labelNames: ['endpoint', 'decision', 'code'] as const,
      registers,
    }),
    admissionDuration: new Histogram({
      name: 'podsplit_admission_duration_seconds',
      help: 'Time from the last byte of an admission review to the answer.',
      labelNames: ['endpoint'] as const,
      buckets: requestSeconds,
      registers,
    }),
    certificateExpiry: new Gauge({
      name: 'podsplit_webhook_certificate_expiry_timestamp_seconds',
      help: 'When the serving certificate of the webhook ends.',
      registers,
    }),
    certificateActions: new Counter({
      name: 'podsplit_webhook_certificate_actions_total',
      help: 'What the certificate rotation did, by reason.',
      labelNames: ['reason'] as const,
      registers,
    }),
    queueDepth: new Gauge({
      name: 'podsplit_queue_depth',
      help: 'Keys that wait for a worker.',
      labelNames: ['controller'] as const,
      registers,
    }),
    queueWait: new Histogram({
      name: 'podsplit_queue_wait_seconds',
      help: 'Time from a key falling due until a worker took it.',
      labelNames: ['controller'] as const,
      buckets: workSeconds,
      registers,
    }),
    queueRetries: new Counter({
      name: 'podsplit_queue_retries_total',
      help: 'Keys that were put back with backoff.',
      labelNames: ['controller'] as const,
      registers,
    }),
    reconciles: new Histogram({
      name: 'podsplit_reconcile_duration_seconds',
      help: 'Reconciles by result: done, requeue, failed, terminal.',
      labelNames: ['controller', 'result'] as const,
      buckets: workSeconds,
      registers,
    }),
    watchObjects: new Gauge({
      name: 'podsplit_watch_objects',
      help: 'Objects in the watch cache.',
      labelNames: ['resource'] as const,
      registers,
    }),
    watchEvents: new Counter({
      name: 'podsplit_watch_events_total',
      help: 'Watch events by type.',
      labelNames: ['resource', 'type'] as const,
      registers,
    }),
    watchFailures: new Counter({
      name: 'podsplit_watch_failures_total',
      help: 'Lists and watches that ended in an error, by code; Handler is a mistake in podsplit.',
      labelNames: ['resource', 'code'] as const,
      registers,
    }),
    leading: new Gauge({
      name: 'podsplit_leader',
      help: '1 while this replica leads.',
      registers,
    }),
    events: new Counter({
      name: 'podsplit_events_total',
      help: 'Events by result: created, counted, dropped, failed.',
      labelNames: ['result'] as const,
      registers,
    }),
    splits: new Gauge({
      name: 'podsplit_pods',
      help: 'Split Pods by phase of their PodSplit.',
      labelNames: ['phase'] as const,
      registers,
    }),
    wiringDuration: new Histogram({
      name: 'podsplit_wiring_seconds',
      help: 'Time from the admission of a Pod until its pieces may start.',
      buckets: workSeconds,
      registers,
    }),
  };
}

export function queueHooks(metrics: Metrics, controller: string): WorkQueueHooks {
  return {
    depth: (waiting) => {
      metrics.queueDepth.set({ controller }, waiting);
    },
    waited: (milliseconds) => {
      metrics.queueWait.observe({ controller }, milliseconds / 1000);
    },
    retried: () => {
      metrics.queueRetries.inc({ controller });
    },
  };
}

export function workerHooks(metrics: Metrics, controller: string): WorkerHooks {
  return {
    reconciled: (result, milliseconds) => {
      metrics.reconciles.observe({ controller, result }, milliseconds / 1000);
    },
  };
}

export function reflectorHooks(metrics: Metrics, resource: string): ReflectorHooks {
  return {
    objects: (count) => {
      metrics.watchObjects.set({ resource }, count);
    },
    watchEvent: (type) => {
      metrics.watchEvents.inc({ resource, type });
    },
    failed: (code) => {
      metrics.watchFailures.inc({ resource, code });
    },
    handlerFailed: () => {
      metrics.watchFailures.inc({ resource, code: 'Handler' });
    },
  };
}

export interface MetricsServerOptions {
  readonly metrics: Metrics;
  /** Default 8080; 0 takes any. */
  readonly port?: number;
  readonly host?: string;
}

export function startMetricsServer(options: MetricsServerOptions): Promise<RunningServer> {
  const { registry } = options.metrics;
  return listen(options.port ?? 8080, options.host, (request, response) => {
    if (pathOf(request) !== '/metrics') {
      answer(response, 404, 'not found: /metrics is here\n');
      return;
    }
    answerMetrics(registry, response);
  });
}
