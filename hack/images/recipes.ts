// What is in the images, as data; build.ts makes them. Layers are shared: the Debian part is unpacked once on a node,
// and a changed controller is a new top layer of a few megabytes.

import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { promisify } from 'node:util';
import { cniPluginType } from '../../controller/api/names.ts';
import { bundle, programs, type BundleOptions } from '../build.ts';
import { buildCni } from '../cni.ts';
import type { ImageConfig } from './archive.ts';
import type { PackageSet } from './debian.ts';

const run = promisify(execFile);
const repository = join(import.meta.dirname, '..', '..');

/** No registry serves this name: a cluster that lacks an image says so instead of pulling a stranger's. */
export const imageDomain = 'podsplit.local';

/** The user of the podsplit image: numeric, because `runAsNonRoot` cannot judge names. */
export const nonRootUser = '65532';

export interface LayerRecipe extends PackageSet {
  readonly name: string;
  /** All that decides the content, apart from the packages' names. */
  readonly inputs: () => Promise<readonly string[]>;
  readonly finish?: (root: string) => Promise<void>;
}

export interface ImageRecipe {
  readonly name: string;
  readonly layers: readonly LayerRecipe[];
  readonly config: ImageConfig;
  readonly top?: TopLayer;
}

/** The part that changes with the sources. */
export interface TopLayer {
  /** Makes what the layer is made of and returns the files. */
  readonly prepare: () => Promise<readonly string[]>;
  readonly fill: (root: string, files: readonly string[]) => Promise<void>;
}

/** Words of a list file: one a line, `#` starts a comment. */
export async function packageList(file: string): Promise<readonly string[]> {
  const text = await readFile(file, 'utf8');
  return text.split('\n').flatMap((line) => line.replace(/#.*/, '').trim() || []);
}

const runtime: LayerRecipe = {
  name: 'runtime',
  packages: ['libc6', 'libstdc++6'],
  omit: ['debconf'],
  // The Node that the tests run on is the Node that ships.
  inputs: async () => [await readFile(join(repository, 'node_modules/node/package.json'), 'utf8')],
  finish: async (root) => {
    await copyFile(join(repository, 'node_modules/node/bin/node'), join(root, 'usr/bin/node'));
    await chmod(join(root, 'usr/bin/node'), 0o755);
    await mkdir(join(root, 'etc'), { recursive: true });
    await writeFile(join(root, 'etc/passwd'), `root:x:0:0::/:/\nnonroot:x:${nonRootUser}:${nonRootUser}::/tmp:/\n`);
    await writeFile(join(root, 'etc/group'), `root:x:0:\nnonroot:x:${nonRootUser}:\n`);
    await mkdir(join(root, 'tmp'));
    await chmod(join(root, 'tmp'), 0o1777);
  },
};

const network: LayerRecipe = {
  name: 'network',
  packages: await packageList(join(import.meta.dirname, 'podsplit.packages')),
  // Of util-linux' dependencies those that log people in.
  omit: ['debconf', 'login', 'passwd', 'libpam-modules', 'libpam-modules-bin', 'libpam-runtime'],
  inputs: () => Promise.resolve([]),
};

const statsdFolder = join(import.meta.dirname, 'samples', 'statsd');
const statsdFiles = ['package.json', 'package-lock.json', 'statsd'];

const samples: LayerRecipe = {
  name: 'samples',
  packages: await packageList(join(import.meta.dirname, 'samples', 'samples.packages')),
  // Service managers and maintainer scripts' needs: nothing of them runs in a container.
  omit: [
    ...['adduser', 'debconf', 'dpkg', 'passwd', 'psmisc', 'systemd', 'tar'],
    ...['libcryptsetup12', 'libpam-modules', 'libpam-modules-bin', 'libpam-runtime', 'libpam0g', 'libsystemd-shared'],
    ...['libperl5.36', 'perl', 'perl-base', 'perl-modules-5.36'],
    ...['cron', 'cron-daemon-common', 'libdbi-perl', 'logrotate', 'lsb-base', 'sgml-base', 'sysvinit-utils'],
  ],
  inputs: () => Promise.all(statsdFiles.map((name) => readFile(join(statsdFolder, name), 'utf8'))),
  finish: async (root) => {
    const home = join(root, 'opt/statsd');
    await mkdir(home, { recursive: true });
    for (const name of statsdFiles) await copyFile(join(statsdFolder, name), join(home, name));
    await chmod(join(home, 'statsd'), 0o755);
    await run('npm', ['ci', '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: home });
    await symlink('../../opt/statsd/statsd', join(root, 'usr/bin/statsd'));
  },
};

const bundleLayer = (options?: BundleOptions): TopLayer => ({
  prepare: async () => [
    ...(await bundle([programs.podsplit, programs.agent, programs.volumes], options)),
    ...(await buildCni()),
    join(repository, 'LICENSE'),
  ],
  fill: async (root, files) => {
    const home = join(root, 'usr/lib/podsplit');
    await mkdir(join(home, 'cni'), { recursive: true });
    await mkdir(join(root, 'usr/bin'));
    const documents = join(root, 'usr/share/doc/podsplit');
    await mkdir(documents, { recursive: true });
    for (const file of files) await copyFile(file, join(folderOf(basename(file), home, documents), basename(file)));
    await chmod(join(home, 'cni', cniPluginType), 0o755);
    await writeFile(join(home, 'package.json'), '{ "type": "module" }\n');
    // The bundle's first line names its interpreter, so the image needs no shell.
    await symlink('../lib/podsplit/podsplit.js', join(root, 'usr/bin/podsplit'));
  },
});

function folderOf(file: string, home: string, documents: string): string {
  if (file.includes('LICENSE')) return documents;
  // The CNI plugin has no ending; the agent puts it onto the node.
  return extname(file) === '' ? join(home, 'cni') : home;
}

/** Of podsplit: what ships, or another build of it under another name. */
export function podsplitImage(name: string, options?: BundleOptions): ImageRecipe {
  return {
    name,
    layers: [runtime, network],
    top: bundleLayer(options),
    config: { Entrypoint: ['/usr/bin/podsplit'], Cmd: ['version'], User: `${nonRootUser}:${nonRootUser}` },
  };
}

export const images: readonly ImageRecipe[] = [
  podsplitImage('podsplit'),
  {
    // One image for all programs of the examples and for the tools that tests and benchmarks attack with: nodes import
    // one set of layers, and every container may try every attack.
    name: 'samples',
    layers: [runtime, network, samples],
    config: { Cmd: ['/bin/bash'], User: `${nonRootUser}:${nonRootUser}` },
  },
];

/** As templates/ and examples/ name it. */
export function imageReference(name: string): string {
  return `${imageDomain}/${name}:dev`;
}
