// Builds `dist/cni/podsplit`, the CNI plugin. It is static, because it runs on the host, whose C library nobody knows.
//
//     node hack/cni.ts

import { join } from 'node:path';
import { packageVersion } from './build.ts';
import { main, run } from './cluster/run.ts';

const repository = join(import.meta.dirname, '..');

/** Returns the binary's path. Go's own cache makes a build without changes a matter of a second. */
export async function buildCni(): Promise<string> {
  const out = join(repository, 'dist/cni/podsplit');
  const ldflags = `-s -w -X main.version=${await packageVersion()}`;
  await run(['go', 'build', '-mod=readonly', '-trimpath', '-buildvcs=false', '-ldflags', ldflags, '-o', out, '.'], {
    cwd: join(repository, 'cni'),
    env: { ...process.env, CGO_ENABLED: '0' },
  });
  return out;
}

if (import.meta.main) {
  await main(async () => {
    console.log(await buildCni());
  });
}
