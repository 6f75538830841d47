/**
 * Packs `kubectl podsplit` for krew: dist/kubectl-podsplit.tar.gz, and the plugin manifest that names it,
 * dist/podsplit-krew.yaml. The same sources make the same bytes, so that the digest can be checked by anybody.
 *
 *   node hack/krew.ts [--url WHERE-THE-ARCHIVE-WILL-BE]
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { bundle, programs } from './build.ts';
import { packageVersion } from './manifests.ts';

const root = join(import.meta.dirname, '..');
const archiveName = 'kubectl-podsplit.tar.gz';

export interface PackedPlugin {
  readonly archive: string;
  readonly manifest: string;
}

/** @param url of the archive, once it is published */
export async function packPlugin(out: string, url = `https://example.invalid/${archiveName}`): Promise<PackedPlugin> {
  const folder = mkdtempSync(join(tmpdir(), 'podsplit-krew-'));
  try {
    await bundle([programs.cli], { folder: join(folder, 'dist') });
    // Of no use to who has not the sources, and most of the size.
    for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      if (file.endsWith('.js.map')) rmSync(join(folder, file));
    }
    cpSync(join(root, 'bin'), join(folder, 'bin'), { recursive: true });
    cpSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
    // What says to Node that the bundle is made of ES modules.
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
    return write(out, pack(folder), url);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function pack(folder: string): Buffer {
  const same = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--mode=u=rwX,go=rX'];
  const tar = execFileSync('tar', ['-C', folder, ...same, '-cf', '-', '.'], { maxBuffer: 256 * 1024 * 1024 });
  return gzipSync(tar, { level: 9 });
}

function write(out: string, packed: Buffer, url: string): PackedPlugin {
  const [archive, manifest] = [join(out, archiveName), join(out, 'podsplit-krew.yaml')];
  mkdirSync(out, { recursive: true });
  writeFileSync(archive, packed);
  const template = readFileSync(join(root, 'deploy/krew.yaml'), 'utf8');
  const text = template
    .slice(template.indexOf('apiVersion:'))
    .replace('vVERSION', `v${packageVersion}`)
    .replace('uri: URL', `uri: ${url}`)
    .replace('SHA256', createHash('sha256').update(packed).digest('hex'));
  writeFileSync(manifest, text);
  return { archive, manifest };
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { url: { type: 'string' } } });
  const { archive, manifest } = await packPlugin(join(root, 'dist'), values.url);
  console.log(`${archive}\n${manifest}`);
  if (values.url === undefined)
    console.log('The manifest names no place to fetch it from: give --url before it is published.');
}
