// Builds `dist/cni/podsplit`, the CNI plugin. It is static, because it runs on the host, whose C library nobody knows.
//
//     node hack/cni.ts              builds it
//     node hack/cni.ts --lint       gofmt and go vet
//     node hack/cni.ts --test       its tests, which start the binary as a runtime does

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { packageVersion } from './build.ts';
import { main, run } from './cluster/run.ts';

const repository = join(import.meta.dirname, '..');
const source = join(repository, 'cni');

/** Returns the binary's path. Go's own cache makes a build without changes a matter of a second. */
export async function buildCni(): Promise<string> {
  const out = join(repository, 'dist/cni/podsplit');
  const ldflags = `-s -w -X main.version=${await packageVersion()}`;
  await run(['go', 'build', '-mod=readonly', '-trimpath', '-buildvcs=false', '-ldflags', ldflags, '-o', out, '.'], {
    cwd: source,
    env: { ...process.env, CGO_ENABLED: '0' },
  });
  return out;
}

async function lint(): Promise<void> {
  const unformatted = (await run(['gofmt', '-l', source])).trim();
  if (unformatted !== '') throw new Error(`not as gofmt has it: ${unformatted}`);
  await run(['go', 'vet', '-mod=readonly', './...'], { cwd: source });
}

/** Go says on standard output what failed. */
function test(): void {
  const { status } = spawnSync('go', ['test', '-mod=readonly', '-count=1', './...'], { cwd: source, stdio: 'inherit' });
  if (status !== 0) throw new Error('the tests of the plugin failed');
}

if (import.meta.main) {
  await main(async () => {
    switch (process.argv[2]) {
      case '--lint':
        return lint();
      case '--test':
        test();
        return;
      default:
        console.log(await buildCni());
    }
  });
}
