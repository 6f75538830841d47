// Builds every image that is not built yet and brings it to every node of the embedded cluster:
//
//     node hack/images/load.ts

import { loadImages } from '../cluster/load.ts';
import { readRunning } from '../cluster/status.ts';
import { buildImage } from './build.ts';
import { images } from './recipes.ts';

const running = await readRunning();
if (running === undefined) {
  console.error('images: the embedded cluster does not run; start it with `make cluster`');
  process.exit(1);
}
const archives: string[] = [];
for (const recipe of images) archives.push((await buildImage(recipe)).tar);
const imports = await loadImages(archives, running.nodes);
console.log(`${archives.length} images on ${running.nodes.length} nodes, ${imports} imported`);
