// Writes a container image as a docker-archive tar: the one format that `ctr images import`, `docker load` and
// `podman load` all read, and which needs no registry.
//
// The same input gives the same bytes: names are sorted and every mtime is 0. So an image's digest says whether
// anything changed, and a node that already holds it has nothing to import.
//
// GNU tar does the packing: it keeps owners, hard links, device nodes and long names, which Node has no calls for.
// Extended attributes (file capabilities) are left out: none of the images here needs them.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { copyFile, link, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';

/** The part of the OCI image configuration that a container runtime reads; field names are the specification's. */
export interface ImageConfig {
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  /** `NAME=value`; PATH is set to the usual folders unless given. */
  readonly Env?: readonly string[];
  /** `uid`, `uid:gid` or a name found in the image's /etc/passwd. */
  readonly User?: string;
  readonly WorkingDir?: string;
}

export interface DockerArchive {
  /** The tar file to write; it appears whole or not at all. */
  readonly out: string;
  /** For example `localhost/podsplit/pause:1`. */
  readonly reference: string;
  /** The folder that becomes the container's `/`, or the part of it that lies over `layers`. */
  readonly root?: string;
  /** Layers below `root`, the lowest first: a node that has them already unpacks only what changed. */
  readonly layers?: readonly PackedLayer[];
  readonly config?: ImageConfig;
}

export interface PackedLayer {
  readonly tar: string;
  /** SHA-256 of the tar, in hex: the layer's diff ID. */
  readonly digest: string;
}

export interface WrittenImage {
  readonly out: string;
  readonly reference: string;
  /** `sha256:…` of the image configuration, which names the layer: what Kubernetes shows as the image ID. */
  readonly imageId: string;
}

const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** Packs a folder as a layer that several images can share. The tar appears whole or not at all. */
export async function packLayer(root: string, out: string): Promise<PackedLayer> {
  const partial = `${out}.partial`;
  tar(partial, root, ['.']);
  const digest = await sha256(partial);
  await rename(partial, out);
  return { tar: out, digest };
}

/** Packs a root file system into an image: the layers given, and `root` as the topmost. */
export async function writeDockerArchive(image: DockerArchive): Promise<WrittenImage> {
  await mkdir(dirname(image.out), { recursive: true });
  // Beside the result, so that the last rename stays in one file system.
  const scratch = await mkdtemp(join(dirname(image.out), `.${basename(image.out)}-`));
  try {
    const below = image.layers ?? [];
    const top = image.root === undefined ? [] : [await packLayer(image.root, join(scratch, 'top.tar'))];
    const layers = [...below, ...top];
    const layerNames = layers.map((layer) => `${layer.digest}.tar`);
    for (const [index, layer] of layers.entries())
      await linkOrCopy(layer.tar, join(scratch, String(layerNames[index])));

    const config = JSON.stringify(imageConfiguration(image.config ?? {}, layers));
    const imageId = createHash('sha256').update(config).digest('hex');
    const configName = `${imageId}.json`;
    await writeFile(join(scratch, configName), config);

    const manifest = [{ Config: configName, RepoTags: [image.reference], Layers: layerNames }];
    await writeFile(join(scratch, 'manifest.json'), JSON.stringify(manifest));

    const whole = join(scratch, 'image.tar');
    tar(whole, scratch, ['manifest.json', configName, ...layerNames]);
    await rename(whole, image.out);
    return { out: image.out, reference: image.reference, imageId: `sha256:${imageId}` };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function imageConfiguration(config: ImageConfig, layers: readonly PackedLayer[]): object {
  const env = config.Env ?? [];
  return {
    architecture: architectures[process.arch] ?? process.arch,
    os: 'linux',
    config: { ...config, Env: env.some((e) => e.startsWith('PATH=')) ? env : [defaultPath, ...env] },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${layer.digest}`) },
  };
}

/** A second name costs nothing; across file systems it takes a copy. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch {
    await copyFile(from, to);
  }
}

function tar(out: string, folder: string, members: readonly string[]): void {
  // The gnu format, not pax: pax headers carry tar's process id in their names.
  const options = ['--format=gnu', '--sort=name', '--mtime=@0', '--numeric-owner'];
  const done = spawnSync('tar', [...options, '-C', folder, '-cf', out, ...members], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (done.error) throw done.error;
  if (done.status !== 0) throw new Error(`tar could not pack ${folder} (exit ${String(done.status)})`);
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}
