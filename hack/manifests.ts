/**
 * Prints what users `kubectl apply`: crds/ and templates/ in order, as one YAML stream, with the image filled in.
 *
 *   node hack/manifests.ts [--image IMAGE] [--pull-policy POLICY] > podsplit.yaml
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isRecord } from '../controller/api/json.ts';
import { documentsOf } from '../controller/manifests/documents.ts';
import { manifestStream, renderManifests } from '../controller/manifests/render.ts';
import { readSources } from '../controller/manifests/sources.ts';
import { defaultValues, imageOf, imageValues, mergeValues } from '../controller/manifests/values.ts';

const root = join(import.meta.dirname, '..');
export const documents = documentsOf(readSources(root));
export const defaultImage = imageOf(defaultValues(documents));
export const packageVersion = versionOf(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')));

export interface ManifestOptions {
  readonly image?: string;
  readonly pullPolicy?: string;
  /** Changes with the image's content where its tag does not: Deployment and DaemonSet then roll out. */
  readonly imageKey?: string;
}

export function manifests({ image, pullPolicy, imageKey }: ManifestOptions = {}): string {
  const chosen = [
    ...(image === undefined ? [] : [imageValues(image)]),
    ...(pullPolicy === undefined ? [] : [{ image: { pullPolicy } }]),
  ];
  const values = chosen.reduce(mergeValues, defaultValues(documents));
  const text = manifestStream(renderManifests(documents, { values, version: packageVersion }));
  if (imageKey === undefined) return text;
  return text.replaceAll("prometheus.io/scrape: 'true'", `checksum/image: ${imageKey}\n        $&`);
}

function versionOf(manifest: unknown): string {
  return isRecord(manifest) ? String(manifest['version']) : '';
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { image: { type: 'string' }, 'pull-policy': { type: 'string' } } });
  const { image, 'pull-policy': pullPolicy } = values;
  process.stdout.write(
    manifests({ ...(image === undefined ? {} : { image }), ...(pullPolicy === undefined ? {} : { pullPolicy }) }),
  );
}
