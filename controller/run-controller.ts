import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Certificates } from './admission/certificates.ts';
import { WatchedInstallDefaults } from './admission/install-defaults.ts';
import { WatchedNamespaces } from './admission/namespaces.ts';
import { reviewPod } from './admission/pods.ts';
import { startAdmissionServer, type AdmissionServer } from './admission/server.ts';
import type { AdmissionRequest } from './admission/review.ts';
import { reviewWorkload } from './admission/workloads.ts';
import type { KeyedCertificate } from './admission/authority.ts';
import { defaultGuards } from './api/guards.ts';
import { apiVersion, defaultSplitNetwork } from './api/names.ts';
import type { SplitNetworkSpec } from './api/resources.ts';
import { readControllerConfig, type ControllerConfig } from './controller-config.ts';
import type { AdmitOptions } from './isolate/admit.ts';
import type { KubeClient } from './kube/client.ts';
import { connect } from './kube/connect.ts';
import { sleep, systemClock, type Clock } from './kube/clock.ts';
import { isApiError } from './kube/errors.ts';
import { EventRecorder } from './kube/events.ts';
import { LeaderElector } from './kube/leader.ts';
import { resources } from './kube/resources.ts';
import { ServerClock } from './kube/server-clock.ts';
import { startHealthServer, type Check } from './observability/health.ts';
import type { Logger } from './observability/log.ts';
import { createMetrics, reflectorHooks, startMetricsServer, type Metrics } from './observability/metrics.ts';
import { Controller } from './reconcile/controller.ts';
import type { Watching } from './reconcile/world.ts';
import type { Labels } from './split/namespace-defaults.ts';
import { runProgram, untilSignalled } from './program.ts';
import { version } from './version.ts';

/** A watch that hears nothing for this long, not even bookmarks, is not alive any more (the API server sends one a minute). */
const silentMs = 15 * 60_000;
const flushMs = 3_000;

/**
 * Every replica answers admission; the one that holds the lease reconciles. Returns the exit code once it was told to stop,
 * or has lost the lease: the Pod's restart is the surest way to stop half-done work.
 */
export function runController(environment: NodeJS.ProcessEnv): Promise<number> {
  return runProgram('the controller', environment, readControllerConfig, run);
}

async function run(config: ControllerConfig, log: Logger): Promise<number> {
  const clock = new ServerClock(systemClock);
  const client = connect({
    version,
    heard: (date) => {
      clock.hear(date);
    },
  });
  const metrics = createMetrics();
  const { image, imagePullPolicy, maxContainers } = config;
  const install = new WatchedInstallDefaults({
    client,
    clock,
    log,
    otherwise: config.install,
    hooks: reflectorHooks(metrics, 'splitnetworks-of-admission'),
  });
  const namespaces = new WatchedNamespaces({
    client,
    clock,
    log,
    hooks: reflectorHooks(metrics, 'namespaces-of-admission'),
  });
  const options = (): AdmitOptions => ({
    image,
    imagePullPolicy,
    maxContainers,
    install: install.current(),
    guards: defaultGuards,
    resourceDefaults: install.resourceDefaults(),
  });
  const stopped = new AbortController();
  log.info({ version, image: config.image, server: client.server }, 'starting');

  const admission = new Admission(config, { client, clock, metrics, options, log, namespaces });
  const leadership = lead(config, {
    client,
    clock,
    metrics,
    options,
    log,
    stopped,
    watches: [install.watch, namespaces.watch],
  });
  const health = await startHealthServer({
    port: config.ports.health,
    livez: [leadership.watching],
    readyz: [admission.check, install.check, namespaces.check],
  });
  const metricsServer = await startMetricsServer({ metrics, port: config.ports.metrics });
  install.watch.start();
  namespaces.watch.start();
  admission.start();
  leadership.elector.start();

  const exitCode = await untilStopped(stopped, log);
  // Side by side, within the Pod's grace period: the webhook drains while the leader ends what it is doing.
  await Promise.all([leadership.elector.stop(), admission.stop()]);
  await Promise.all([install.watch.stop(), namespaces.watch.stop()]);
  await Promise.all([health.close(), metricsServer.close()]);
  client.close();
  log.info({ exitCode }, 'stopped');
  return exitCode;
}

/** SIGTERM from the kubelet, SIGINT from a terminal, or the lease was lost. */
async function untilStopped(stopped: AbortController, log: Logger): Promise<number> {
  const signals = new AbortController();
  const signal = await Promise.race([
    untilSignalled(signals.signal),
    once(stopped.signal, 'abort', { signal: signals.signal }).then(() => 'lost lease'),
  ]);
  signals.abort();
  log.info({ signal }, 'stopping');
  return signal === 'lost lease' ? 1 : 0;
}

interface ServingDependencies {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly options: () => AdmitOptions;
  readonly log: Logger;
}

interface AdmissionDependencies extends ServingDependencies {
  readonly namespaces: WatchedNamespaces;
}

/** The webhook server, from the first certificate on. */
class Admission {
  readonly check: Check;
  private readonly certificates: Certificates;
  private server: Promise<AdmissionServer> | undefined;
  private readonly open: (certificate: KeyedCertificate) => Promise<AdmissionServer>;

  constructor(config: ControllerConfig, dependencies: AdmissionDependencies) {
    const { client, clock, metrics, options, log, namespaces } = dependencies;
    const reviewing = (review: typeof reviewPod, request: AdmissionRequest) => (labels: Labels) =>
      review(request, options(), labels);
    this.open = (certificate) =>
      startAdmissionServer({
        reviewers: {
          '/mutate/pods': (request) => namespaces.review(request, 'any', reviewing(reviewPod, request)),
          '/mutate/workloads': (request) => namespaces.review(request, 'any', reviewing(reviewWorkload, request)),
          // Of namespaces that the API server has seen podsplit's label on.
          '/mutate/labelled/pods': (request) => namespaces.review(request, 'mode', reviewing(reviewPod, request)),
          '/mutate/labelled/workloads': (request) =>
            namespaces.review(request, 'mode', reviewing(reviewWorkload, request)),
        },
        certificate,
        port: config.ports.webhook,
        clock,
        log,
        hooks: {
          answered: (endpoint, decision, code) => {
            metrics.admissionRequests.inc({ endpoint, decision, code });
          },
          took: (endpoint, milliseconds) => {
            metrics.admissionDuration.observe({ endpoint }, milliseconds / 1000);
          },
        },
      });
    this.certificates = new Certificates({
      client,
      namespace: config.namespace,
      clock,
      log,
      onLeaf: (leaf) => {
        this.serve(leaf);
      },
      hooks: {
        acted: (reason) => {
          metrics.certificateActions.inc({ reason });
        },
        leafExpires: (epochMs) => {
          metrics.certificateExpiry.set(epochMs / 1000);
        },
      },
    });
    this.check = { name: 'admission', check: () => this.certificates.problem() };
  }

  start(): void {
    this.certificates.start();
  }

  async stop(): Promise<void> {
    await this.certificates.stop();
    await (await this.server)?.close();
  }

  private serve(leaf: KeyedCertificate): void {
    if (this.server === undefined) this.server = this.open(leaf);
    else
      void this.server.then((server) => {
        server.setCertificate(leaf);
      });
  }
}

interface LeadDependencies extends ServingDependencies {
  readonly stopped: AbortController;
  /** Of this replica, whether it leads or not. */
  readonly watches: readonly Watching[];
}

function lead(
  config: ControllerConfig,
  { client, clock, metrics, options, log, stopped, watches }: LeadDependencies,
): { readonly elector: LeaderElector; readonly watching: Check } {
  const { instance, namespace } = config;
  const identity = `${instance}_${randomUUID().slice(0, 8)}`;
  let controller: Controller | undefined;
  const recorded = (result: string) => {
    metrics.events.inc({ result });
  };
  const elector = new LeaderElector({
    client,
    namespace,
    name: 'podsplit',
    identity,
    clock,
    log,
    onStarted: async (signal) => {
      metrics.leading.set(1);
      const events = new EventRecorder({
        client,
        component: 'podsplit',
        instance,
        clock,
        log,
        hooks: { recorded },
      });
      // What admission recorded on a Pod decides here: the defaults of this moment are as good as any.
      const split = options();
      const { workers, clusterDns } = config;
      controller = new Controller({ client, clock, log, metrics, events, split, workers, clusterDns });
      await createDefaultNetwork(client, config.defaultNetwork, log);
      await controller.start();
      if (!signal.aborted) await once(signal, 'abort');
      await controller.stop();
      // An API server that does not answer must not keep the lease from being released.
      await Promise.race([events.flush(), sleep(clock, flushMs)]);
      metrics.leading.set(0);
    },
    onLost: (reason) => {
      log.error({ reason }, 'the lease is lost');
      stopped.abort();
    },
  });
  return {
    elector,
    watching: { name: 'watches', check: () => silentWatch([...watches, ...(controller?.world.all ?? [])]) },
  };
}

/**
 * Not in the manifests: kubectl maps every object before it applies the first, and would not know the kind yet. What is
 * there is left as it is.
 */
async function createDefaultNetwork(client: KubeClient, spec: SplitNetworkSpec, log: Logger): Promise<void> {
  try {
    await client.create(resources.splitNetworks, {
      apiVersion,
      kind: 'SplitNetwork',
      metadata: { name: defaultSplitNetwork },
      spec,
    });
    log.info({ spec }, 'made the SplitNetwork default');
  } catch (error) {
    if (!isApiError(error, 'AlreadyExists')) throw error;
  }
}

/** Which watch has heard nothing for too long? */
function silentWatch(watches: readonly Watching[]): string | undefined {
  const silent = watches
    .map((reflector) => reflector.status())
    .find((status) => status.synced && (status.silentMs ?? 0) > silentMs);
  return silent === undefined ? undefined : `silent for ${silent.silentMs ?? 0} ms: ${silent.lastError ?? 'no error'}`;
}
