// Proves on the running cluster what podsplit and its tests count on, from wires to policies:
//
//     node hack/cluster/smoke.ts
//
// Needs two nodes; works in a namespace of its own and removes it.

import { join } from 'node:path';
import { build } from './build.ts';
import type { Builds } from './build.ts';
import { kubectl } from './control-plane.ts';
import { loadImages } from './load.ts';
import { withLock } from './lock.ts';
import { here } from './paths.ts';
import { main, run, until } from './run.ts';
import { checks } from './smoke-checks.ts';
import { inNamespace, namespace } from './smoke-tools.ts';
import { readRunning } from './status.ts';

await main(async () => {
  const running = await readRunning();
  if (!running || running.nodes.length < 2) throw new Error('the smoke test needs a running cluster of two nodes');
  const builds = await withLock('smoke', build);
  await setStage(running.nodes, builds);
  try {
    const failed: string[] = [];
    for (const { promise, test } of checks) {
      const begin = Date.now();
      try {
        await patiently(test);
        console.log(`ok      ${promise} (${((Date.now() - begin) / 1000).toFixed(1)} s)`);
      } catch (error) {
        failed.push(promise);
        console.log(`FAILED  ${promise}\n        ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    if (failed.length > 0) throw new Error(`${failed.length} of ${checks.length} checks failed`);
  } finally {
    await run(kubectl('delete', 'namespace', namespace, '--wait=false'));
  }
});

/** Three tries: the probe gives up after two seconds, and a busy machine may take longer to answer. */
async function patiently(test: () => Promise<void>): Promise<void> {
  for (let left = 2; ; left--) {
    try {
      await test();
      return;
    } catch (error) {
      if (left === 0) throw error;
    }
  }
}

async function setStage(nodes: readonly string[], builds: Builds): Promise<void> {
  await loadImages([builds.probe], nodes);
  await run(kubectl('delete', 'namespace', namespace, '--ignore-not-found'));
  await run(kubectl('create', 'namespace', namespace));
  const account = kubectl('--namespace', namespace, 'get', 'serviceaccount', 'default');
  await until('the default ServiceAccount', 20, () =>
    run(account).then(
      () => true,
      () => false,
    ),
  );
  await run(kubectl('apply', '-f', join(here, 'manifests/smoke.yaml')));
  await run(inNamespace('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=60s'));
}
