// Brings up the cluster, or says that it is up:
//
//     node hack/cluster/up.ts [NODES]
//
// Without a number, of nodes, any cluster that is well will do; a new one has two.
//
// A cluster that is not well is not repaired piece by piece: it is swept away, with what any earlier run or other
// clone left, and booted anew. Of the one before, the logs stay: .cluster/logs/previous.

import { boot } from './boot.ts';
import { build } from './build.ts';
import { withLock } from './lock.ts';
import { maxNodes, nodes } from './names.ts';
import { kubeconfig } from './paths.ts';
import { main, until } from './run.ts';
import { ailing, broken, readRunning } from './status.ts';
import { sweep } from './sweep.ts';

/** How long a node may take to come back by itself: a daemon is started again, a busy machine catches up. */
const patience = 30;

await main(async () => {
  if (process.getuid?.() !== 0) throw new Error('the cluster needs root: it makes namespaces, mounts and cgroups');
  const wanted = readCount(process.argv[2] ?? process.env['NODES']);
  if ((await ailment(wanted, 0)) !== undefined) await withLock('up', () => bringUp(wanted));
  console.log(`the cluster is up: export KUBECONFIG=${kubeconfig}`);
});

async function bringUp(wanted: number | undefined): Promise<void> {
  const wrong = await ailment(wanted, patience);
  if (wrong === undefined) return; // the run that held the lock, or time, has healed it
  console.log(`booting: ${wrong}`);
  const builds = await build();
  const begin = Date.now();
  if (await sweep({ keepLogs: true })) console.log('swept away what was left of a cluster');
  await boot(builds, nodes(wanted ?? 2));
  console.log(`booted in ${((Date.now() - begin) / 1000).toFixed(1)} s`);
}

function readCount(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= maxNodes) return count;
  throw new Error(`nodes ${text}: a number from 1 to ${maxNodes} is needed`);
}

/** Why the cluster cannot stay as it is, if so; it has `seconds` to get well by itself. */
async function ailment(wanted: number | undefined, seconds: number): Promise<string | undefined> {
  const running = await readRunning();
  if (!running) return 'no cluster of this clone is on record';
  const count = running.nodes.length;
  if (wanted !== undefined && wanted !== count) return `the cluster has ${count} nodes`;
  const dead = await broken(running);
  if (dead.length > 0) return dead.join('; ');
  let wrong = await ailing(running);
  if (wrong.length > 0 && seconds > 0) console.log(`waiting for the cluster to get well: ${wrong.join('; ')}`);
  await until('recovery', seconds, async () => {
    if (wrong.length > 0) wrong = await ailing(running);
    return wrong.length === 0;
  }).catch(() => undefined);
  return wrong.length === 0 ? undefined : wrong.join('; ');
}
