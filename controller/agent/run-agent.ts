import { isApiError } from '../kube/errors.ts';
import type { KubeClient } from '../kube/client.ts';
import { sleep, systemClock } from '../kube/clock.ts';
import { EventRecorder } from '../kube/events.ts';
import { connectInCluster } from '../kube/in-cluster.ts';
import { Reflector } from '../kube/reflector.ts';
import { resources, type Pod } from '../kube/resources.ts';
import { agentName, bridgeNamePrefix, ownAnnotations, ownLabels } from '../api/names.ts';
import { host as node } from '../netns/host.ts';
import { answer, listen, pathOf, report, type Check } from '../observability/health.ts';
import type { Logger } from '../observability/log.ts';
import { answerMetrics } from '../observability/metrics-page.ts';
import { version } from '../version.ts';
import { runProgram, untilSignalled } from '../program.ts';
import { readAgentConfig, type AgentConfig } from './agent-config.ts';
import { createAgentMetrics, type AgentMetrics } from './agent-metrics.ts';
import { Attachments } from './attachments.ts';
import { Auditor } from './auditor.ts';
import { bounded } from './bounded-host.ts';
import type { PodIdentity } from './cni-request.ts';
import { startCniServer } from './cni-server.ts';
import { DenialReporter } from './denial-reporter.ts';
import { denialOf } from './denials.ts';
import { Enforcer } from './enforcer.ts';
import { isolateDenialOf } from './isolate-denials.ts';
import { IsolatedPods } from './isolated-pods.ts';
import { IsolateEnforcer } from './isolate-enforcer.ts';
import { isolateUsesOf } from './isolate-uses.ts';
import { parseIsolatedSandbox, type IsolatedSandbox } from './isolate-sandbox.ts';
import { parseSandbox } from './parse-sandbox.ts';
import { installPlugin, removePlugin } from './install-plugin.ts';
import { Observer, observeMs } from './observer.ts';
import { Registry } from './registry.ts';
import { rewire } from './rewire.ts';
import { Rounds } from './rounds.ts';
import { sayUnread } from './say-unread.ts';
import { SandboxFiles } from './sandbox-files.ts';
import { usesOf } from './use-ledger.ts';
import { UseReporter } from './use-reporter.ts';
import { verifyIsolated } from './verify-isolated.ts';
import { verifyPiece } from './verify-piece.ts';

const flushMs = 2_000;
/** Each is a few ms of one CPU, and some MB. */
const programsAtOnce = 4;

/** One text for all pieces: one Event that counts. */
const passedAround =
  "tc filters on the node's end of eth0 see what pieces of split Pods send before podsplit's filter does: where the network " +
  'plugin redirects frames there, spoofed sources on eth0 are for it to stop.';

/** The node agent: answers the CNI plugin, keeps the rules of this node's pieces. Returns the exit code. */
export function runAgent(environment: NodeJS.ProcessEnv): Promise<number> {
  return runProgram('the agent', environment, readAgentConfig, run);
}

async function run(config: AgentConfig, log: Logger): Promise<number> {
  const client = connectInCluster(version);
  const metrics = createAgentMetrics();
  log.info({ version, node: config.node, server: client.server }, 'starting');
  const events = new EventRecorder({
    client,
    component: 'podsplit-agent',
    instance: config.instance,
    clock: systemClock,
    log,
    hooks: {
      recorded: (result) => {
        metrics.events.inc({ result });
      },
    },
  });

  // In a piece's namespace there is one table, on the node one for each sandbox, and nft 1.0 takes half a MB for each.
  const host = bounded(node, programsAtOnce, (program) => program === 'nft');
  const registry = new Registry(new SandboxFiles(config.sandboxFolder, parseSandbox, log));
  await registry.load();
  sayUnread(registry.listUnread(), events);
  const pods = watchPods(config, client, log);
  const enforcer = new Enforcer(host);
  const notReady = (): string | undefined => (pods.hasSynced() ? undefined : 'the agent has not listed its Pods yet');
  const common = { clock: systemClock, log };
  const audits = new Rounds({
    name: 'audit',
    everyMs: config.auditMs,
    work: async () => {
      await auditor.audit();
      await isolated.audit();
    },
    ...common,
  });
  const behind = (): void => {
    audits.soon();
  };
  const attachments = new Attachments({
    host,
    registry,
    enforcer,
    verify: (input) => verifyPiece({ ...input, node: config.node }, client),
    watchedWiring: (identity) => watchedWiring(pods, identity),
    hostIPs: config.hostIPs,
    notReady,
    behind,
    passedAround: () => {
      metrics.passedAround.inc();
      events.event({ apiVersion: 'v1', kind: 'Node', name: config.node }, 'Warning', 'Eth0PassedAround', passedAround);
    },
    log,
  });
  const auditor = new Auditor({
    host,
    registry,
    attachments,
    enforcer,
    events,
    bridgesInUse: () => (pods.hasSynced() ? bridgesOf(pods.store.list()) : undefined),
    log,
    repaired: () => {
      metrics.repairs.inc();
    },
    behind,
  });
  const isolateRegistry = new Registry(new SandboxFiles(config.isolatedFolder, parseIsolatedSandbox, log));
  await isolateRegistry.load();
  const applied = (seconds: number): void => {
    metrics.rewires.observe(seconds);
  };
  const isolated = new IsolatedPods({
    host,
    registry: isolateRegistry,
    enforcer: new IsolateEnforcer(host),
    verify: (input) => verifyIsolated({ ...input, node: config.node }, client),
    watchedWiring: (identity) => watchedWiring(pods, identity),
    hostIPs: config.hostIPs,
    notReady,
    behind,
    events,
    applied,
    repaired: () => {
      metrics.repairs.inc();
    },
    log,
  });
  const reporting = {
    client,
    clock: systemClock,
    host,
    log,
    counted: (counter: string, packets: number): void => {
      metrics.denied.inc({ counter }, packets);
    },
  };
  const denials = new DenialReporter({
    ...reporting,
    registry,
    denialOf: (attempt, sandbox, lastSeen) => denialOf(attempt, sandbox, attachments.peersOf(sandbox), lastSeen),
  });
  const isolateDenials = new DenialReporter({ ...reporting, registry: isolateRegistry, denialOf: isolateDenialOf });
  const uses = new UseReporter({ ...reporting, registry, usesOf });
  const isolateUses = new UseReporter({
    ...reporting,
    registry: isolateRegistry,
    usesOf: (ledger, sandbox: IsolatedSandbox) => isolateUsesOf(ledger, sandbox, host),
  });
  const tell = async (): Promise<void> => {
    await denials.report();
    await isolateDenials.report();
    await uses.report();
    await isolateUses.report();
  };
  pods.onChange(({ kind, object }) => {
    if (kind === 'deleted') return;
    rewire(object, { registry, attachments, events, log, applied }).catch((error: unknown) => {
      log.error({ err: error, pod: object.metadata.name }, 'a changed wiring could not be applied');
    });
    isolated.rewire(object).catch((error: unknown) => {
      log.error({ err: error, pod: object.metadata.name }, 'a changed wiring could not be applied');
    });
  });

  // What was there before this agent is right again before it takes the first call.
  await auditor.audit();
  await isolated.audit();
  pods.start();
  const server = await startCniServer({
    socket: config.socket,
    handle: (request, signal) => (request.config.phase === 'isolate' ? isolated : attachments).handle(request, signal),
    log,
    hooks: {
      answered: (request, result, seconds) => {
        const { command = 'none', config: { phase } = { phase: 'none' as const } } = request ?? {};
        metrics.calls.observe({ command, phase, result }, seconds);
      },
    },
  });
  // The plugin comes last: from the first call on somebody answers.
  if (await installPlugin(config.plugin, config.pluginFolder))
    log.info({ folder: config.pluginFolder }, 'plugin written');

  const reports = new Rounds({ name: 'denials', everyMs: config.denialsMs, work: tell, ...common });
  const observer = new Observer({ host, registry, attachments, log });
  const observations = new Rounds({ name: 'observe', everyMs: observeMs, work: () => observer.look(), ...common });
  audits.start();
  reports.start();
  observations.start();
  const sandboxes = (): number => registry.list().length + isolateRegistry.list().length;
  const unread = (): number => registry.listUnread().length;
  const http = await serveHttp(
    config,
    metrics,
    { sandboxes, unread },
    {
      livez: [audits.check, reports.check, observations.check],
      readyz: [{ name: 'pods', check: notReady }],
    },
  );

  log.info({ signal: await untilSignalled() }, 'stopping');
  await Promise.all([server.close(), pods.stop(), http.close(), audits.stop(), reports.stop(), observations.stop()]);
  if (await isUninstalled(client, config, log)) await removePlugin(config.pluginFolder);
  await Promise.race([events.flush(), sleep(systemClock, flushMs)]);
  client.close();
  log.info('stopped');
  return 0;
}

/** The pieces of this node, and of a Pod only what says how it is wired. */
function watchPods(config: AgentConfig, client: KubeClient, log: Logger): Reflector<Pod> {
  return new Reflector<Pod>({
    client,
    resource: resources.pods,
    labelSelector: ownLabels.role,
    fieldSelector: `spec.nodeName=${config.node}`,
    // A Pod has up to 1.5 MB, and who makes them may be anybody: few at a time leave the heap alone.
    pageSize: 10,
    slim: ({ apiVersion, kind, metadata, spec }) => ({
      apiVersion,
      kind,
      metadata: slimMetadata(metadata),
      spec: {
        containers: (spec?.containers ?? []).slice(0, 1).map(({ name }) => ({ name })),
        ...(spec?.readinessGates === undefined ? {} : { readinessGates: spec.readinessGates }),
      },
    }),
    clock: systemClock,
    log: log.child({ resource: 'pods' }),
  });
}

/** Annotations may have 256 kB: `podsplit.io/removed` holds whole containers. */
function slimMetadata({ annotations, ...rest }: Pod['metadata']): Pod['metadata'] {
  const wiring = annotations?.[ownAnnotations.wiring];
  return { ...rest, ...(wiring === undefined ? {} : { annotations: { [ownAnnotations.wiring]: wiring } }) };
}

/** Older or newer than what the API server just said: whoever asks settles that by asking it again. */
function watchedWiring({ store }: Reflector<Pod>, { namespace, name, uid }: PodIdentity): string | undefined {
  const pod = store.get(`${namespace}/${name}`);
  return pod?.metadata.uid === uid ? pod.metadata.annotations?.[ownAnnotations.wiring] : undefined;
}

function bridgesOf(pods: readonly Pod[]): ReadonlySet<string> {
  return new Set(pods.map(({ metadata }) => `${bridgeNamePrefix}${metadata.labels?.[ownLabels.workload] ?? ''}`));
}

async function serveHttp(
  config: AgentConfig,
  metrics: AgentMetrics,
  counts: Readonly<Record<'sandboxes' | 'unread', () => number>>,
  checks: Readonly<Record<'livez' | 'readyz', readonly Check[]>>,
) {
  return listen(config.port, undefined, (request, response) => {
    const path = pathOf(request);
    if (path === '/livez' || path === '/readyz') {
      const { ok, text } = report(checks[path === '/livez' ? 'livez' : 'readyz']);
      answer(response, ok ? 200 : 503, text);
      return;
    }
    if (path !== '/metrics') {
      answer(response, 404, 'not found: /livez, /readyz and /metrics are here\n');
      return;
    }
    metrics.sandboxes.set(counts.sandboxes());
    metrics.unread.set(counts.unread());
    answerMetrics(metrics.registry, response);
  });
}

/** An upgrade leaves the plugin in place, because Pods start meanwhile; an uninstall takes it away. */
async function isUninstalled(client: KubeClient, { namespace }: AgentConfig, log: Logger): Promise<boolean> {
  try {
    const found = await client.get(resources.daemonSets, { namespace, name: agentName }, { timeoutMs: 3_000 });
    return found.metadata.deletionTimestamp !== undefined;
  } catch (error) {
    if (isApiError(error, 'NotFound')) return true;
    log.info({ err: error }, 'whether podsplit is being uninstalled could not be asked; the plugin stays');
    return false;
  }
}
