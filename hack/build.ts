// Bundles the programs: `dist/podsplit.js`, `dist/agent.js` and `dist/volumes.js`, which run in the cluster, and
// `dist/cli.js` with `dist/cli/`, `kubectl podsplit`. Beside them `dist/THIRD_PARTY_LICENSES`, of what is bundled.
// A bundle starts in a third of the time of its imports and holds half the memory; the image then needs no node_modules.
//
//     node hack/build.ts [podsplit] [agent] [volumes] [cli]

import { build, type BuildOptions } from 'esbuild';
import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { readSources } from '../controller/manifests/sources.ts';
import { licenseText, nodeLicense, packagesOf } from './licenses.ts';

const repository = join(import.meta.dirname, '..');

export interface Program {
  readonly entry: string;
  readonly out: string;
  /** How the kernel starts the bundle; an interpreter line takes one argument only. */
  readonly interpreter: string;
  /** Folder for what a dynamic import brings: parsed only by the command that needs it. */
  readonly chunks?: string;
  /** It prints crds/ and templates/, and fetches nothing. */
  readonly manifests?: true;
}

export const programs = {
  // The image has Node at this path and no env(1).
  podsplit: { entry: 'controller/main.ts', out: 'dist/podsplit.js', interpreter: '/usr/bin/node --enable-source-maps' },
  // Its manifest names the interpreter, with limits for the heap.
  agent: { entry: 'controller/agent/main.ts', out: 'dist/agent.js', interpreter: '/usr/bin/node' },
  // Likewise.
  volumes: { entry: 'controller/volumes/main.ts', out: 'dist/volumes.js', interpreter: '/usr/bin/node' },
  cli: {
    entry: 'controller/cli/main.ts',
    out: 'dist/cli.js',
    interpreter: '/usr/bin/env node',
    chunks: 'cli',
    manifests: true,
  },
} as const satisfies Record<string, Program>;

/** Dependencies that are CommonJS call `require` for Node's own modules, which an ES module does not have. */
const requireShim =
  "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);";

export interface BundleOptions {
  /** What the programs say of themselves. Default: that of package.json. */
  readonly version?: string;
  /** Where they are written. Default: `dist`. */
  readonly folder?: string;
}

/** Writes the programs with their source maps, and the licences of what is in them. Returns all paths. */
export async function bundle(chosen: readonly Program[], options: BundleOptions = {}): Promise<readonly string[]> {
  const { version = await packageVersion(), folder = 'dist' } = options;
  const place = { version, folder: resolve(repository, folder) };
  const built = await Promise.all(chosen.map((program) => write(program, place)));
  const packages = await packagesOf(
    built.flatMap(({ inputs }) => inputs),
    repository,
  );
  const licenses = join(place.folder, 'THIRD_PARTY_LICENSES');
  await writeFile(licenses, licenseText([...packages, await nodeLicense(repository)]));
  return [...built.flatMap(({ files }) => files), licenses];
}

async function write(
  program: Program,
  { version, folder }: Required<BundleOptions>,
): Promise<{ readonly files: readonly string[]; readonly inputs: readonly string[] }> {
  const out = join(folder, basename(program.out));
  if (program.chunks !== undefined) await rm(join(dirname(out), program.chunks), { recursive: true, force: true });
  const { metafile } = await build({ ...options(program, out, version), metafile: true });
  await chmod(out, 0o755);
  return { files: [out, `${out}.map`], inputs: Object.keys(metafile.inputs) };
}

export async function packageVersion(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8'));
  if (typeof manifest === 'object' && manifest !== null && 'version' in manifest) return String(manifest.version);
  throw new Error('package.json has no version');
}

function options(program: Program, out: string, version: string): BuildOptions {
  return {
    absWorkingDir: repository,
    entryPoints: [join(repository, program.entry)],
    ...(program.chunks === undefined
      ? { outfile: out }
      : {
          outdir: dirname(out),
          entryNames: basename(out, '.js'),
          chunkNames: `${program.chunks}/[name]-[hash]`,
          splitting: true,
        }),
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    sourcemap: 'linked',
    // A stack trace needs names and lines, not a second copy of every source.
    sourcesContent: false,
    banner: { js: `#!${program.interpreter}\n${requireShim}` },
    define: {
      'process.env.PODSPLIT_VERSION': JSON.stringify(version),
      ...(program.manifests === true && {
        'process.env.PODSPLIT_MANIFESTS': JSON.stringify(JSON.stringify(readSources(repository))),
      }),
    },
    logLevel: 'warning',
  };
}

if (import.meta.main) {
  const wanted = process.argv.slice(2);
  const chosen = Object.entries(programs).filter(([name]) => wanted.length === 0 || wanted.includes(name));
  await bundle(chosen.map(([, program]) => program));
}
