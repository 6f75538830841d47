// Builds container images without Docker: `node hack/images/build.ts [NAME...]`, all of them by default. Prints one line
// per image: its reference and the docker-archive that `ctr images import`, `docker load` or `podman load` take.
// A second run with the same inputs only compares them.

import { chmod, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packLayer, writeDockerArchive, type PackedLayer } from './archive.ts';
import { exists, imagesDir, inputKey, once } from './cache.ts';
import { unpackPackages } from './debian.ts';
import { imageReference, images, type ImageRecipe, type LayerRecipe } from './recipes.ts';

export interface BuiltImage {
  readonly name: string;
  readonly reference: string;
  readonly tar: string;
}

export async function buildImage(recipe: ImageRecipe): Promise<BuiltImage> {
  const layers: PackedLayer[] = [];
  const below: LayerRecipe[] = [];
  for (const layer of recipe.layers) {
    layers.push(await buildLayer(layer, below));
    below.push(layer);
  }
  const files = (await recipe.top?.prepare()) ?? [];
  const contents = await Promise.all(files.map((file) => readFile(file, 'latin1')));
  const reference = imageReference(recipe.name);
  const key = inputKey(reference, JSON.stringify(recipe.config), ...layers.map((layer) => layer.digest), ...contents);

  const tar = join(imagesDir(), `${recipe.name}.tar`);
  // The key is written last and removed first: a tar beside its key is the one that the key describes.
  const keyFile = join(imagesDir(), `${recipe.name}.key`);
  if ((await exists(tar)) && (await readKey(keyFile)) === key) return { name: recipe.name, reference, tar };
  await mkdir(imagesDir(), { recursive: true });
  await rm(keyFile, { force: true });
  const scratch = await mkdtemp(join(imagesDir(), `.${recipe.name}-root-`));
  try {
    const root = await rootFolder(scratch);
    await recipe.top?.fill(root, files);
    const top = recipe.top ? { root } : {};
    await writeDockerArchive({ out: tar, reference, layers, config: recipe.config, ...top });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  await writeFile(`${keyFile}.partial`, key);
  await rename(`${keyFile}.partial`, keyFile);
  return { name: recipe.name, reference, tar };
}

async function buildLayer(layer: LayerRecipe, below: readonly LayerRecipe[]): Promise<PackedLayer> {
  const lower = below.flatMap((recipe) => recipe.packages);
  const key = inputKey(
    // A layer is made anew when the way it is made changes.
    await readFile(join(import.meta.dirname, 'debian.ts'), 'utf8'),
    String(layer.finish),
    JSON.stringify([layer.packages, layer.omit, lower]),
    ...(await layer.inputs()),
  );
  const layersDir = join(imagesDir(), 'layers');
  const folder = await once(join(layersDir, `${layer.name}-${key}`), async (scratch) => {
    process.stderr.write(`layer ${layer.name}: ${layer.packages.join(' ')}\n`);
    const root = await rootFolder(scratch);
    await unpackPackages(layer, lower, root);
    await layer.finish?.(root);
    const { digest } = await packLayer(root, join(scratch, 'layer.tar'));
    await writeFile(join(scratch, 'digest'), digest);
    await rm(root, { recursive: true });
    await removeOlder(layersDir, layer.name);
  });
  return { tar: join(folder, 'layer.tar'), digest: await readFile(join(folder, 'digest'), 'utf8') };
}

/** Its mode becomes that of the container's `/`: whatever the umask, every user passes. */
async function rootFolder(scratch: string): Promise<string> {
  const root = join(scratch, 'root');
  await mkdir(root);
  await chmod(root, 0o755);
  return root;
}

/** Layers are hundreds of megabytes: of each only the latest is kept. */
async function removeOlder(layersDir: string, name: string): Promise<void> {
  const whole = new RegExp(`^${name}-[0-9a-f]{16}$`);
  const older = (await readdir(layersDir)).filter((entry) => whole.test(entry));
  await Promise.all(older.map((entry) => rm(join(layersDir, entry), { recursive: true, force: true })));
}

async function readKey(file: string): Promise<string | undefined> {
  return (await exists(file)) ? readFile(file, 'utf8') : undefined;
}

if (import.meta.main) {
  const wanted = process.argv.slice(2);
  const unknown = wanted.filter((name) => !images.some((recipe) => recipe.name === name));
  if (unknown.length > 0) {
    const known = images.map((recipe) => recipe.name).join(', ');
    process.stderr.write(`no such image: ${unknown.join(', ')}; there are ${known}\n`);
    process.exit(2);
  }
  for (const recipe of images.filter(({ name }) => wanted.length === 0 || wanted.includes(name))) {
    const built = await buildImage(recipe);
    process.stdout.write(`${built.reference} ${built.tar}\n`);
  }
}
