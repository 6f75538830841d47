// The world outside the cluster, as a namespace of its own. See network.ts for what it is good for.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { connectOutside } from './network.ts';
import { startNamespaces } from './nodes.ts';
import { nodeState } from './paths.ts';

const name = 'outside';

export async function startOutside(pause: string, count: number): Promise<void> {
  await mkdir(nodeState(name), { recursive: true });
  const init = `read -r pid _ < /proc/self/stat; echo "$pid" > '${join(nodeState(name), 'pid')}'
    hostname ${name}; mount -t proc proc /proc; mount -t sysfs sysfs /sys; exec '${pause}'`;
  await connectOutside(await startNamespaces(name, ['/bin/sh', '-c', init]), count);
}
