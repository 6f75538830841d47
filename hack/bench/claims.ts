// How fast pieces get their addresses: from podsplit, and from Whereabouts, the IPAM that users of Multus would take
// otherwise, for the same Pods on the same API server, in turns. docs/scale.md says what each side does.
//
//     node hack/bench/claims.ts [--pods 100] [--rounds 3] [--at-once 1]

import { parseArgs } from 'node:util';
import { ownLabels } from '../../controller/api/names.ts';
import type { KubeClient } from '../../controller/kube/client.ts';
import { resources } from '../../controller/kube/resources.ts';
import { nodeOf, readPod } from '../../controller/reconcile/piece-pod.ts';
import { workloadOf } from '../../controller/reconcile/workload-of.ts';
import { startSimulatedCluster, type SimulatedCluster } from '../simulation/cluster.ts';
import { controllerAccount, installPodsplit, startController, untilLeading } from '../simulation/podsplit.ts';
import { userName } from '../simulation/service-account.ts';
import { auditPolicy, byKind, writesSince } from './audited.ts';
import type { Allocator, WiredPod } from './claims/allocator.ts';
import { podsplitAllocator } from './claims/podsplit.ts';
import { installWhereabouts, slicedAllocator, whereaboutsAccount, whereaboutsAllocator } from './claims/whereabouts.ts';
import { bringUp, podsOf, type Crowd } from './crowd.ts';
import { median, percentile, printFigures, type Figure } from './figures.ts';

export interface ClaimsOptions {
  /** Split Pods. */
  readonly pods: number;
  /** Of each allocator, in turns. */
  readonly rounds: number;
  /** ADDs of Whereabouts side by side on each node. */
  readonly atOnce: number;
}

const nodes = 10;
const containers = 3;
/** Of each Deployment. */
const replicas = 10;

export async function benchClaims(options: ClaimsOptions): Promise<readonly Figure[]> {
  const users = [controllerAccount, whereaboutsAccount].map(userName);
  const cluster = await startSimulatedCluster({ nodes, auditPolicy: auditPolicy(...users) });
  try {
    return await measure(cluster, options);
  } finally {
    await cluster.stop();
  }
}

async function measure(cluster: SimulatedCluster, { pods, rounds, atOnce }: ClaimsOptions): Promise<readonly Figure[]> {
  const wired = await wirePods(cluster, pods);
  const install = await installWhereabouts(cluster, atOnce);
  const nodeNames = new Set(wired.flatMap(({ pieces }) => pieces.map((piece) => nodeOf(piece) ?? '')));
  const others = [whereaboutsAllocator(install), await slicedAllocator(install, [...nodeNames])];
  const own = await podsplitAllocator(cluster);
  const measured = new Map<Allocator, Round[]>([own, ...others].map((allocator) => [allocator, []]));
  try {
    // A short one first: it makes the leases, and has the programs read from the disk.
    for (const allocator of measured.keys()) await measureRound(cluster, allocator, wired.slice(0, nodes));
    for (let round = 0; round < rounds; round++) {
      for (const [allocator, done] of measured) done.push(await measureRound(cluster, allocator, wired));
    }
  } finally {
    await own.stop();
  }
  const ours = summary(measured.get(own) ?? []);
  return others.flatMap((other) => compared(pods, ours, other.name, summary(measured.get(other) ?? [])));
}

/** By the controller, which then goes: its claims are taken back, and made again in each round. */
async function wirePods(cluster: SimulatedCluster, pods: number): Promise<readonly WiredPod[]> {
  const crowd: Crowd = {
    name: 'split',
    namespaces: 1,
    deployments: Math.ceil(pods / replicas),
    replicas,
    containers,
    split: true,
  };
  if (podsOf(crowd) !== pods) throw new RangeError(`${pods} Pods are no multiple of ${replicas}`);
  const ports = await installPodsplit(cluster);
  const controller = await startController({ cluster, ports });
  try {
    await untilLeading(controller, ports);
    await bringUp(cluster.client, crowd, 120 + pods);
  } finally {
    await controller.kill();
  }
  return wiredPods(cluster.client);
}

async function wiredPods(client: KubeClient): Promise<readonly WiredPod[]> {
  const { items } = await client.list(resources.pods, { labelSelector: ownLabels.role });
  const pieces = items.map(readPod).filter((pod) => pod !== undefined);
  const bySplit = Map.groupBy(pieces, ({ split }) => split);
  const primaries = pieces.filter(({ role }) => role === 'primary');
  // By UID, which is as good as in no order: so they come when many ReplicaSets make them at once.
  primaries.sort((one, other) => (one.uid < other.uid ? -1 : 1));
  return Promise.all(
    primaries.map(async (primary) => ({
      primary,
      pieces: bySplit.get(primary.split) ?? [],
      workload: await workloadOf(client, primary),
    })),
  );
}

interface Round {
  /** Addresses a second. */
  readonly rate: number;
  /** For each address; those that were refused because another came first are writes as well. */
  readonly writes: number;
  readonly p99Ms: number;
}

async function measureRound(
  cluster: SimulatedCluster,
  allocator: Allocator,
  pods: readonly WiredPod[],
): Promise<Round> {
  await allocator.clear();
  const at = Date.now();
  const started = performance.now();
  const claimed = await allocator.claim(pods);
  const seconds = (performance.now() - started) / 1000;
  const writes = (await writesSince(cluster.auditLog, at)).filter(({ user }) => user === allocator.user);
  const addresses = new Set(claimed.map(({ address }) => address));
  const due = pods.flatMap(({ pieces }) => pieces).length;
  if (addresses.size !== due || addresses.has('')) {
    throw new Error(`${allocator.name}: ${due} pieces have ${addresses.size} different addresses`);
  }
  console.log(`  ${allocator.name}: ${due} addresses in ${seconds.toFixed(2)} s`);
  for (const [kind, count] of byKind(writes)) console.log(`    ${kind}: ${(count / due).toFixed(2)} for each`);
  const waits = claimed.map(({ afterMs }) => afterMs);
  return { rate: due / seconds, writes: writes.length / due, p99Ms: percentile(waits, 0.99) };
}

function summary(rounds: readonly Round[]): Round {
  return {
    rate: median(rounds.map(({ rate }) => rate)),
    writes: median(rounds.map(({ writes }) => writes)),
    p99Ms: median(rounds.map(({ p99Ms }) => p99Ms)),
  };
}

function compared(pods: number, own: Round, name: string, other: Round): readonly Figure[] {
  return [
    {
      name: `addresses for the pieces of ${pods} split Pods of ${containers} containers`,
      value: `${own.rate.toFixed(0)} a second`,
      against: `${other.rate.toFixed(1)} a second by ${name}`,
      ratio: own.rate / other.rate,
    },
    {
      name: 'writes for each of these addresses',
      value: own.writes.toFixed(2),
      against: `${other.writes.toFixed(2)} by ${name}`,
      ratio: own.writes / other.writes,
    },
    {
      name: 'from asking for an address until it is there, p99',
      value: `${own.p99Ms.toFixed(0)} ms`,
      against: `${other.p99Ms.toFixed(0)} ms by ${name}`,
      ratio: own.p99Ms / other.p99Ms,
    },
  ];
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      pods: { type: 'string', default: '100' },
      rounds: { type: 'string', default: '3' },
      'at-once': { type: 'string', default: '1' },
    },
  });
  const { pods, rounds, 'at-once': atOnce } = values;
  printFigures(await benchClaims({ pods: Number(pods), rounds: Number(rounds), atOnce: Number(atOnce) }));
}
