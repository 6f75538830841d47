// Pulls the plug of one node, or plugs it in again; what its disk held (images, Pods' logs) is there after:
//
//     node hack/cluster/node.ts stop|start|restart node2

import { build } from './build.ts';
import { withLock } from './lock.ts';
import { maxNodes, nodes } from './names.ts';
import { startKubelet, startRuntime } from './nodes.ts';
import { main, until } from './run.ts';
import { initOf, readRunning } from './status.ts';

await main(async () => {
  const [, , command = '', name = ''] = process.argv;
  const running = await readRunning();
  const node = nodes(maxNodes).find((candidate) => candidate.name === name);
  if (!running || !node || !running.nodes.includes(name) || !['stop', 'start', 'restart'].includes(command)) {
    throw new Error(`usage: node.ts stop|start|restart ${running?.nodes.join('|') ?? 'NODE'}`);
  }
  await withLock(`${command} ${name}`, async () => {
    const builds = await build();
    if (command !== 'start') await stop(name);
    if (command !== 'stop' && !(await initOf(name))) {
      await startRuntime(node, builds, running.nodes.length);
      await startKubelet(node);
    }
  });
});

async function stop(name: string): Promise<void> {
  const init = await initOf(name);
  if (!init) return; // it is off already
  process.kill(init.pid, 'SIGKILL');
  await until(`the end of ${name}`, 10, async () => (await initOf(name)) === undefined);
}
