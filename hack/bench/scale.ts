// How podsplit fares among many Pods: a real control plane, simulated nodes (hack/simulation/stages.ts says what that is).
//
//     node hack/bench/scale.ts [--pods 1000] [--namespaces 10] [--skip-plain] [--skip-restarts] [--churn-rate 20] [--churn-seconds 60]
//
// Split Pods of three containers are held against three times as many plain Pods of one: as many Pods for the cluster.

import { parseArgs } from 'node:util';
import type { KubeClient } from '../../controller/kube/client.ts';
import type { Child } from '../simulation/child.ts';
import { startSimulatedCluster, type SimulatedCluster } from '../simulation/cluster.ts';
import {
  controllerAccount,
  installPodsplit,
  page,
  startController,
  untilLeading,
  type ControllerPorts,
} from '../simulation/podsplit.ts';
import { userName } from '../simulation/service-account.ts';
import { auditPolicy, byKind, writesSince } from './audited.ts';
import { bringUp, churn, endAll, podsOf, restart, takeDown, untilReady, type Crowd } from './crowd.ts';
import { printFigures, type Figure } from './figures.ts';
import { MetricsPage } from './metrics-page.ts';
import { forgetPeak, memoryDuring, memoryGrowth, usageOf } from './usage.ts';

export interface ScaleOptions {
  /** Split Pods. */
  readonly pods: number;
  /** That they are spread over. */
  readonly namespaces: number;
  /** Plain Pods first, to hold them against: among 10,000 a quarter of the run. */
  readonly plain: boolean;
  /** Rolling restarts of all take twice as long as bringing them up. */
  readonly restarts: boolean;
  /** Split Pods deleted a second, to be made anew. */
  readonly churnRate: number;
  readonly churnSeconds: number;
}

const nodes = 10;
const containers = 3;
/** Of each Deployment. */
const replicas = 10;

export async function benchScale(options: ScaleOptions): Promise<readonly Figure[]> {
  const cluster = await startSimulatedCluster({ nodes, auditPolicy: auditPolicy(userName(controllerAccount)) });
  try {
    return await measure(cluster, options);
  } finally {
    await cluster.stop();
  }
}

async function measure(cluster: SimulatedCluster, options: ScaleOptions): Promise<readonly Figure[]> {
  const ports = await installPodsplit(cluster);
  const controller = await startController({ cluster, ports });
  try {
    await untilLeading(controller, ports);
    return await measureUnder(controller, ports, cluster, options);
  } finally {
    // It would go on asking for an API server that is gone, beside what is measured next.
    await controller.kill();
  }
}

async function measureUnder(
  controller: Child,
  ports: ControllerPorts,
  cluster: SimulatedCluster,
  options: ScaleOptions,
): Promise<readonly Figure[]> {
  const { pods, namespaces, restarts, churnRate, churnSeconds } = options;
  const { client } = cluster;
  const patience = 120 + pods;
  const metrics = async (): Promise<MetricsPage> => new MetricsPage(await page(ports.metrics, 'metrics'));

  const shape = { namespaces, deployments: Math.ceil(pods / namespaces / replicas) };
  const plain: Crowd = { ...shape, name: 'plain', replicas: containers * replicas, containers: 1, split: false };
  const split: Crowd = { ...shape, name: 'split', replicas, containers, split: true };
  if (podsOf(split) !== pods) throw new RangeError(`${pods} Pods are no multiple of ${namespaces * replicas}`);
  const against = options.plain ? await measurePlain(client, plain, { restarts, patience }) : undefined;

  const begun = { at: Date.now(), usage: await usageOf(controller.pid), page: await metrics() };
  const splitSeconds = await bringUp(client, split, patience);
  say(`${pods} split Pods are Ready after ${splitSeconds.toFixed(1)} s`);
  const up = { at: Date.now(), usage: await usageOf(controller.pid), page: await metrics() };
  const writes = (await writesSince(cluster.auditLog, begun.at)).filter(({ at }) => at <= up.at);
  const own = writes.filter(({ resource }) => resource !== 'leases' && resource !== 'events');
  for (const [kind, count] of byKind(writes)) say(`${kind}: ${(count / pods).toFixed(2)} for each split Pod`);

  const figures: Figure[] = [
    {
      name: `${pods} split Pods of ${containers} containers, until all are Ready`,
      value: `${splitSeconds.toFixed(1)} s`,
      ...compared(splitSeconds, against?.upSeconds, `${podsOf(plain)} plain Pods`),
      ...(against === undefined ? {} : { goal: '1.2 or less' }),
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
  // What comes takes as long again: a run that is cut has said these.
  for (const { name, value } of figures) say(`${name}: ${value}`);
  if (restarts) {
    const restartSeconds = await restart(client, split, patience);
    say(`all of them are restarted after ${restartSeconds.toFixed(1)} s`);
    figures.push({
      name: 'a rolling restart of all of them',
      value: `${restartSeconds.toFixed(1)} s`,
      ...compared(restartSeconds, against?.restartSeconds, 'as many plain Pods'),
    });
  }
  if (churnSeconds > 0) {
    await forgetPeak(controller.pid);
    const before = { usage: await usageOf(controller.pid), page: await metrics() };
    const { result, samples } = await memoryDuring(controller.pid, async () => {
      const deleted = await churn(client, split, { perSecond: churnRate, seconds: churnSeconds });
      const ended = performance.now();
      await untilReady(client, split, patience);
      return { deleted, lag: (performance.now() - ended) / 1000 };
    });
    const { deleted, lag } = result;
    const after = { usage: await usageOf(controller.pid), page: await metrics() };
    const share = (after.usage.cpuSeconds - before.usage.cpuSeconds) / (churnSeconds + lag);
    figures.push(
      {
        name: `${deleted} split Pods deleted, ${churnRate} a second for ${churnSeconds} s, until all are Ready again`,
        value: `${lag.toFixed(1)} s after the last`,
      },
      { name: 'controller under that churn, processor', value: `${(100 * share).toFixed(0)} % of a core` },
      { name: 'controller under that churn, most memory', value: `${after.usage.peakMebibytes.toFixed(0)} MiB` },
      growthFigure(samples),
      wiringFigure('under that churn', after.page, before.page),
      queueFigure('under that churn', after.page, before.page),
      watchFigure('under that churn', after.page, before.page),
    );
  }
  const left = await endAll(client, split, patience);
  figures.push({
    name: 'generated objects that are left when all have ended',
    value: left.length === 0 ? '0' : left.map(([kind, count]) => `${count} ${kind}`).join(', '),
    goal: '0',
  });
  await takeDown(client, split, patience);
  return figures;
}

interface PlainSeconds {
  readonly upSeconds: number;
  readonly restartSeconds: number | undefined;
}

async function measurePlain(
  client: KubeClient,
  plain: Crowd,
  { restarts, patience }: { readonly restarts: boolean; readonly patience: number },
): Promise<PlainSeconds> {
  const upSeconds = await bringUp(client, plain, patience);
  say(`${podsOf(plain)} plain Pods are Ready after ${upSeconds.toFixed(1)} s`);
  const restartSeconds = restarts ? await restart(client, plain, patience) : undefined;
  await takeDown(client, plain, patience);
  say('the plain Pods have ended');
  return { upSeconds, restartSeconds };
}

function compared(seconds: number, others: number | undefined, whose: string): Pick<Figure, 'against' | 'ratio'> {
  return others === undefined ? {} : { against: `${others.toFixed(1)} s for ${whose}`, ratio: seconds / others };
}

/** A run takes from minutes to hours; whoever waits sees how far it is. */
function say(what: string): void {
  console.log(`  ${what}`);
}

function growthFigure(samples: readonly number[]): Figure {
  const { early, late } = memoryGrowth(samples);
  return {
    name: 'controller under that churn: memory in its last quarter',
    value: `${late.toFixed(0)} MiB`,
    against: `${early.toFixed(0)} MiB in its second`,
    ratio: late / early,
    goal: 'flat: 1.1 or less',
  };
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
      namespaces: { type: 'string', default: '10' },
      'skip-plain': { type: 'boolean', default: false },
      'skip-restarts': { type: 'boolean', default: false },
      'churn-rate': { type: 'string', default: '20' },
      'churn-seconds': { type: 'string', default: '60' },
    },
  });
  printFigures(
    await benchScale({
      pods: Number(values.pods),
      namespaces: Number(values.namespaces),
      plain: !values['skip-plain'],
      restarts: !values['skip-restarts'],
      churnRate: Number(values['churn-rate']),
      churnSeconds: Number(values['churn-seconds']),
    }),
  );
}
