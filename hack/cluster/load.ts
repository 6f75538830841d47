// Brings image archives (docker-archive or OCI layout, as tar) to every node of the running cluster:
//
//     node hack/cluster/load.ts IMAGE.tar…
//
// What a node holds is noted as the digest of the archive of that name that came last, so loading it again is free, and an
// image that was replaced under its name comes back when its archive does. The images live as long as the
// cluster: after `down`, or when `up` had to boot anew, load again; callers simply load before each use.

import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { withLock } from './lock.ts';
import { enter } from './nodes.ts';
import { nodeState } from './paths.ts';
import { main, run } from './run.ts';
import { readRunning } from './status.ts';

/** Imports the archives on the nodes that lack them; returns how many imports that took. */
export async function loadImages(archives: readonly string[], nodes: readonly string[]): Promise<number> {
  let imports = 0;
  for (const archive of archives) {
    const digest = await sha256(archive);
    await Promise.all(
      nodes.map(async (node) => {
        const mark = join(nodeState(node), 'images', basename(archive));
        if (existsSync(mark) && (await readFile(mark, 'utf8')) === digest) return;
        await run(enter(node, ['ctr', '-n', 'k8s.io', 'images', 'import', '-']), { inputFile: archive });
        await mkdir(join(nodeState(node), 'images'), { recursive: true });
        await writeFile(mark, digest);
        imports++;
      }),
    );
  }
  return imports;
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

async function load(): Promise<void> {
  const archives = process.argv.slice(2).map((path) => resolve(path));
  if (archives.length === 0) throw new Error('usage: load.ts IMAGE.tar…');
  const running = await readRunning();
  if (!running) throw new Error('no cluster runs; start one with up.ts');
  const imports = await withLock('load', () => loadImages(archives, running.nodes));
  console.log(imports === 0 ? 'every node has these images' : `${imports} imports on ${running.nodes.length} nodes`);
}

if (import.meta.main) await main(load);
