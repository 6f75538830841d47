/**
 * Prints what users `kubectl apply`: crds/ and templates/ in order, as one YAML stream, with the image filled in.
 *
 *   node hack/manifests.ts [--image IMAGE] [--pull-policy POLICY] > podsplit.yaml
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseAllDocuments } from 'yaml';

const root = join(import.meta.dirname, '..');
export const defaultImage = 'podsplit.local/podsplit:dev';

export interface ManifestOptions {
  readonly image?: string;
  readonly pullPolicy?: string;
  /** Changes with the image's content where its tag does not: Deployment and DaemonSet then roll out. */
  readonly imageKey?: string;
}

/** CRDs first: the guards behind them name their kinds. */
export function manifests(options: ManifestOptions = {}): string {
  const documents = ['crds', 'templates'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((file) => file.endsWith('.yaml'))
      .sort()
      .map((file) => readFileSync(join(root, folder, file), 'utf8')),
  );
  let text = documents.map((document) => document.trimEnd()).join('\n---\n');
  if (options.image !== undefined) text = text.replaceAll(defaultImage, options.image);
  if (options.pullPolicy !== undefined) {
    text = text.replaceAll('imagePullPolicy: IfNotPresent', `imagePullPolicy: ${options.pullPolicy}`);
  }
  if (options.imageKey !== undefined) {
    text = text.replaceAll("prometheus.io/scrape: 'true'", `checksum/image: ${options.imageKey}\n        $&`);
  }
  for (const document of parseAllDocuments(text)) {
    const [error] = document.errors;
    if (error !== undefined) throw new Error(`crds/ or templates/: ${error.message}`);
  }
  return `${text}\n`;
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { image: { type: 'string' }, 'pull-policy': { type: 'string' } } });
  const { image, 'pull-policy': pullPolicy } = values;
  process.stdout.write(
    manifests({ ...(image === undefined ? {} : { image }), ...(pullPolicy === undefined ? {} : { pullPolicy }) }),
  );
}
