// Builds the cluster's binaries and its two images into the cache that all clones share:
//
//     node hack/cluster/build.ts
//
// A build's folder is named for a hash of what goes into it, so a fresh clone reuses it and a change makes a new one.
// It is filled under another name and renamed at the end: what is there is whole.

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { writeDockerArchive } from '../images/archive.ts';
import { withLock } from './lock.ts';
import { goModules, simulator, whereabouts } from './modules.ts';
import type { GoModule, ModuleName } from './modules.ts';
import { cache, here } from './paths.ts';
import { main, run } from './run.ts';

export interface Builds {
  /** Each module's folder of binaries. */
  readonly bin: Readonly<Record<ModuleName, string>>;
  /** The static `pause`: init of every Pod sandbox, and of every node. */
  readonly pause: string;
  /** Image archives that every node needs from its start. */
  readonly images: readonly string[];
  /** The archive of probeImage, for the smoke test. */
  readonly probe: string;
}

export const pauseImage = 'localhost/podsplit/pause:1';
export const corednsImage = 'localhost/podsplit/coredns:1';
export const probeImage = 'localhost/podsplit/probe:1';

const flags = ['-mod=readonly', '-trimpath', '-buildvcs=false'];

/** Builds what is missing; says what it does. To be called under the lock. */
export async function build(): Promise<Builds> {
  const version = await goVersion();
  const bin: Partial<Record<ModuleName, string>> = {};
  for (const name of Object.keys(goModules) as ModuleName[]) bin[name] = await buildModule(goModules[name], version);
  const whole = bin as Record<ModuleName, string>;

  const pause = await buildPause();
  const images = await Promise.all([
    buildImage(pauseImage, join(pause, 'pause'), { Entrypoint: ['/pause'], User: '65535:65535' }),
    buildImage(corednsImage, join(whole.coredns, 'coredns'), { Entrypoint: ['/coredns'] }),
  ]);
  const probe = await buildImage(probeImage, join(whole.probe, 'probe'), { Entrypoint: ['/probe'] });
  return { bin: whole, pause: join(pause, 'pause'), images, probe };
}

/** What a control plane with simulated nodes needs: less than half of a cluster's binaries, and one that a cluster has not. */
export interface SimulationBuilds {
  readonly kubernetes: string;
  readonly etcd: string;
  readonly kwok: string;
}

/** To be called under the lock, as `build`. */
export async function buildSimulation(): Promise<SimulationBuilds> {
  const version = await goVersion();
  return {
    kubernetes: await buildModule(goModules.kubernetes, version),
    etcd: await buildModule(goModules.etcd, version),
    kwok: await buildModule(simulator, version),
  };
}

/** One module's folder of binaries, for tests and benchmarks that need no embedded cluster. Takes the lock. */
export function buildCommands(module: GoModule): Promise<string> {
  return withLock('build', async () => buildModule(module, await goVersion()));
}

export interface WhereaboutsBuild {
  readonly version: string;
  /** The CNI plugin. */
  readonly plugin: string;
  /** The folder of what its users `kubectl apply`. */
  readonly manifests: string;
}

export async function buildWhereabouts(): Promise<WhereaboutsBuild> {
  const bin = await buildCommands(whereabouts);
  const module = await run(['go', 'mod', 'download', '-json', 'github.com/k8snetworkplumbingwg/whereabouts'], {
    cwd: join(here, 'go', whereabouts.name),
  });
  const { Dir, Version } = JSON.parse(module) as { readonly Dir: string; readonly Version: string };
  return { version: Version, plugin: join(bin, 'whereabouts'), manifests: join(Dir, 'doc/crds') };
}

async function goVersion(): Promise<string> {
  return (await run(['go', 'env', 'GOVERSION', 'GOARCH'])).trim();
}

async function buildModule(module: GoModule, goVersion: string): Promise<string> {
  const source = join(here, 'go', module.name);
  const key = createHash('sha256').update(JSON.stringify([goVersion, flags, module]));
  for (const file of (await readdir(source)).sort()) key.update(file).update(await readFile(join(source, file)));
  return once(`${module.name}-${key.digest('hex').slice(0, 16)}`, module.cold, async (out) => {
    const ldflags = `-s -w ${module.ldflags ?? ''}`;
    for (const [command, target] of Object.entries(module.commands)) {
      await run(['go', 'build', ...flags, '-ldflags', ldflags, '-o', join(out, command), target], {
        cwd: source,
        env: { ...process.env, CGO_ENABLED: '0' },
      });
    }
  });
}

/** Kubernetes' own pause.c, out of the module that is there anyway. */
async function buildPause(): Promise<string> {
  const kubernetes = (
    await run(['go', 'list', '-mod=readonly', '-m', '-f', '{{.Dir}} {{.Version}}', 'k8s.io/kubernetes'], {
      cwd: join(here, 'go', 'kubernetes'),
    })
  ).trim();
  const [source = '', version = ''] = kubernetes.split(' ');
  return once(`pause-${version}`, 'a second', async (out) => {
    const main = join(source, 'build/pause/linux/pause.c');
    await run(['gcc', '-Os', '-Wall', '-static', `-DVERSION=${version}`, '-o', join(out, 'pause'), main]);
  });
}

/** An image of one binary at its root. */
async function buildImage(
  reference: string,
  binary: string,
  config: { Entrypoint: readonly string[]; User?: string },
): Promise<string> {
  const name = `${basename(binary)}.tar`;
  const folder = await once(`image-${basename(dirname(binary))}`, 'a second', async (out) => {
    const root = join(out, 'root');
    await mkdir(root);
    await copyFile(binary, join(root, basename(binary)));
    await writeDockerArchive({ out: join(out, name), reference, root, config });
    await rm(root, { recursive: true });
  });
  return join(folder, name);
}

/** Fills the cache's folder `name`, unless it is there. What a build left that was cut off goes first. */
async function once(name: string, cold: string, fill: (out: string) => Promise<void>): Promise<string> {
  const folder = join(cache, 'cluster', name);
  if (existsSync(folder)) return folder;
  await mkdir(dirname(folder), { recursive: true });
  console.log(`building ${name} (about ${cold} when nothing is cached)`);
  const scratch = `${folder}.partial`;
  await rm(scratch, { recursive: true, force: true });
  await mkdir(scratch);
  await fill(scratch);
  await rename(scratch, folder);
  return folder;
}

if (import.meta.main) await main(() => withLock('build', build));
