// How podsplit fares among many Pods: a real control plane, simulated nodes (hack/simulation/stages.ts says what that is).
//
//     node hack/bench/scale.ts [--pods 1000] [--churn-rate 20] [--churn-seconds 60]
//
// Split Pods of three containers are held against three times as many plain Pods of one: as many Pods for the cluster.

import { parseArgs } from 'node:util';
import { startSimulatedCluster, type SimulatedCluster } from '../simulation/cluster.ts';
import { installPodsplit, page, startController, untilLeading } from '../simulation/podsplit.ts';
import { auditPolicy, byKind, writesSince } from './audited.ts';
import { bringUp, churn, takeDown, untilReady, type Crowd } from './crowd.ts';
import { printFigures, type Figure } from './figures.ts';
import { MetricsPage } from './metrics-page.ts';
import { forgetPeak, usageOf } from './usage.ts';

export interface ScaleOptions {
  /** Split Pods. */
  readonly pods: number;
  /** Split Pods deleted a second, to be made anew. */
  readonly churnRate: number;
  readonly churnSeconds: number;
}

const nodes = 10;
const containers = 3;
const deployments = 10;
const controllerUser = 'system:serviceaccount:podsplit-system:podsplit';

export async function benchScale(options: ScaleOptions): Promise<readonly Figure[]> {
  const cluster = await startSimulatedCluster({ nodes, auditPolicy: auditPolicy(controllerUser) });
  try {
    return await measure(cluster, options);
  } finally {
    await cluster.stop();
  }
}

async function measure(cluster: SimulatedCluster, options: ScaleOptions): Promise<readonly Figure[]> {
  const { pods, churnRate, churnSeconds } = options;
  const { client } = cluster;
  const patience = 120 + pods;
  const ports = await installPodsplit(cluster);
  const controller = await startController({ cluster, ports });
  await untilLeading(controller, ports);
  const metrics = async (): Promise<MetricsPage> => new MetricsPage(await page(ports.metrics, 'metrics'));

  const replicas = pods / deployments;
  const plain: Crowd = {
    namespace: 'plain',
    deployments,
    replicas: containers * replicas,
    containers: 1,
    split: false,
  };
  const split: Crowd = { namespace: 'split', deployments, replicas, containers, split: true };
  const plainSeconds = await bringUp(client, plain, patience);
  await takeDown(client, plain.namespace, patience);

  const begun = { at: Date.now(), usage: await usageOf(controller.pid), page: await metrics() };
  const splitSeconds = await bringUp(client, split, patience);
  const up = { at: Date.now(), usage: await usageOf(controller.pid), page: await metrics() };
  const writes = (await writesSince(cluster.auditLog, begun.at)).filter(({ at }) => at <= up.at);
  const own = writes.filter(({ resource }) => resource !== 'leases' && resource !== 'events');
  for (const [kind, count] of byKind(writes)) console.log(`  ${kind}: ${(count / pods).toFixed(2)} for each split Pod`);

  const figures: Figure[] = [
    {
      name: `${pods} split Pods of ${containers} containers, until all are Ready`,
      value: `${splitSeconds.toFixed(1)} s`,
      against: `${plainSeconds.toFixed(1)} s for ${containers * pods} plain Pods`,
      ratio: splitSeconds / plainSeconds,
      goal: '1.2 or less',
    },
    {
      name: 'controller: writes for each split Pod until then, Events aside',
      value: (own.length / pods).toFixed(2),
      goal: '6 or fewer',
    },
    {
      name: 'controller: Events for each split Pod until then',
      value: ((writes.length - own.length) / pods).toFixed(2),
    },
    {
      name: 'controller: processor for each split Pod until then',
      value: `${((1000 * (up.usage.cpuSeconds - begun.usage.cpuSeconds)) / pods).toFixed(1)} ms`,
    },
    {
      name: `controller: most memory with ${pods} split Pods`,
      value: `${up.usage.peakMebibytes.toFixed(0)} MiB`,
      ...(pods >= 10_000 ? { goal: '250 MiB' } : {}),
    },
    queueFigure('meanwhile', up.page, begun.page),
    watchFigure('meanwhile', up.page, begun.page),
  ];
  if (churnSeconds > 0) {
    await forgetPeak(controller.pid);
    const deleted = await churn(client, split.namespace, {
      perSecond: churnRate,
      seconds: churnSeconds,
      selector: 'podsplit.io/role=primary',
    });
    const ended = performance.now();
    await untilReady(client, split.namespace, pods, patience);
    const lag = (performance.now() - ended) / 1000;
    const after = { usage: await usageOf(controller.pid), page: await metrics() };
    const share = (after.usage.cpuSeconds - up.usage.cpuSeconds) / (churnSeconds + lag);
    figures.push(
      {
        name: `${deleted} split Pods deleted, ${churnRate} a second for ${churnSeconds} s, until all are Ready again`,
        value: `${lag.toFixed(1)} s after the last`,
      },
      { name: 'controller under that churn, processor', value: `${(100 * share).toFixed(0)} % of a core` },
      { name: 'controller under that churn, most memory', value: `${after.usage.peakMebibytes.toFixed(0)} MiB` },
      wiringFigure('under that churn', after.page, up.page),
      queueFigure('under that churn', after.page, up.page),
      watchFigure('under that churn', after.page, up.page),
    );
  }
  await takeDown(client, split.namespace, patience);
  return figures;
}

function queueFigure(when: string, now: MetricsPage, before: MetricsPage): Figure {
  const seconds = now.quantile(0.99, 'podsplit_queue_wait_seconds', ['controller="split-pod"'], before);
  return { name: `controller ${when}: wait of a split Pod for a worker, p99`, value: `under ${seconds} s` };
}

function wiringFigure(when: string, now: MetricsPage, before: MetricsPage): Figure {
  const seconds = now.quantile(0.99, 'podsplit_wiring_seconds', [], before);
  return { name: `from a Pod's admission until its pieces may start ${when}, p99`, value: `under ${seconds} s` };
}

function watchFigure(when: string, now: MetricsPage, before: MetricsPage): Figure {
  const failures = now.sum('podsplit_watch_failures_total') - before.sum('podsplit_watch_failures_total');
  return { name: `controller ${when}: watches that broke`, value: String(failures), goal: '0' };
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      pods: { type: 'string', default: '1000' },
      'churn-rate': { type: 'string', default: '20' },
      'churn-seconds': { type: 'string', default: '60' },
    },
  });
  printFigures(
    await benchScale({
      pods: Number(values.pods),
      churnRate: Number(values['churn-rate']),
      churnSeconds: Number(values['churn-seconds']),
    }),
  );
}
