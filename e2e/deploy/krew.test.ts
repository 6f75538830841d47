import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parse } from 'yaml';
import { buildCommands } from '../../hack/cluster/build.ts';
import { krew as module } from '../../hack/cluster/modules.ts';
import { packPlugin, type PackedPlugin } from '../../hack/krew.ts';
import { manifests, packageVersion } from '../../hack/manifests.ts';
import { objectsOf } from './objects.ts';

interface Plugin {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly version: string;
    readonly shortDescription: string;
    readonly platforms: readonly { readonly uri: string; readonly sha256: string; readonly bin: string }[];
  };
}

describe('krew', () => {
  const folder = mkdtempSync(join(tmpdir(), 'podsplit-krew-test-'));
  const url = 'https://releases.example/kubectl-podsplit.tar.gz';
  let binary = '';
  let packed: PackedPlugin;

  before(async function () {
    this.timeout(1_200_000);
    binary = join(await buildCommands(module), 'krew');
    packed = await packPlugin(join(folder, 'dist'), url);
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  /** As on a machine with Node and krew, and no clone. */
  function run(command: string, args: readonly string[]): string {
    const bin = join(folder, 'bin');
    mkdirSync(bin, { recursive: true });
    const env = {
      HOME: folder,
      KREW_ROOT: join(folder, 'krew'),
      PATH: `${bin}:${join(folder, 'krew/bin')}:/usr/bin:/bin`,
    };
    return execFileSync(command, args, { env, cwd: folder, encoding: 'utf8', stdio: 'pipe' });
  }

  it('has a manifest with the fields that krew-index asks for', () => {
    const { metadata, spec } = parse(readFileSync(packed.manifest, 'utf8')) as Plugin;
    expect(metadata.name).to.equal('podsplit');
    expect(spec.version).to.equal(`v${packageVersion}`);
    // krew-index: no longer than 50 characters, and no full stop.
    expect(spec.shortDescription).to.match(/^.{10,50}(?<!\.)$/);
    expect(spec.platforms.map(({ uri }) => uri)).to.deep.equal([url]);
    expect(readFileSync(packed.manifest, 'utf8')).not.to.match(/VERSION|SHA256|: URL/);
  });

  it('is installed by krew, which checks the digest, and runs from where krew puts it', () => {
    run(binary, ['install', `--manifest=${packed.manifest}`, `--archive=${packed.archive}`]);
    const plugin = join(folder, 'krew/bin/kubectl-podsplit');
    symlinkSync(process.execPath, join(folder, 'bin/node'));
    expect(run(plugin, ['version'])).to.equal(`${packageVersion}\n`);
    const { 'v1 ConfigMap podsplit-system/podsplit-install': record, ...printed } = objectsOf(run(plugin, ['install']));
    expect(printed).to.deep.equal(objectsOf(manifests()));
    expect(record).to.be.an('object');
  });

  it('is not installed where the archive is another one', () => {
    const forged = join(folder, 'forged.yaml');
    const text = readFileSync(packed.manifest, 'utf8').replace(/sha256: \w+/, `sha256: ${'0'.repeat(64)}`);
    writeFileSync(forged, text.replace('name: podsplit', 'name: podsplit-forged'));
    const args = ['install', `--manifest=${forged}`, `--archive=${packed.archive}`];
    expect(() => run(binary, args)).to.throw(/checksum|digest|sha256/i);
  });

  it('is packed with the same bytes again', async () => {
    const again = await packPlugin(join(folder, 'again'), url);
    expect(readFileSync(again.archive).equals(readFileSync(packed.archive))).to.equal(true);
    expect(dirname(again.manifest)).not.to.equal(dirname(packed.manifest));
    expect(readFileSync(again.manifest, 'utf8')).to.equal(readFileSync(packed.manifest, 'utf8'));
  });
});
