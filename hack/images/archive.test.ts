import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packLayer, writeDockerArchive } from './archive.ts';

describe('docker archive', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'podsplit-archive-'));
    for (const name of ['base', 'top', 'unpacked']) await mkdir(join(folder, name));
    await writeFile(join(folder, 'base', 'file'), 'from base');
    await writeFile(join(folder, 'top', 'file'), 'from top');
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function build(out: string) {
    const base = await packLayer(join(folder, 'base'), join(folder, 'base.tar'));
    const image = { reference: 'podsplit.local/x:dev', root: join(folder, 'top'), layers: [base] };
    return writeDockerArchive({ ...image, out: join(folder, out), config: { User: '65532' } });
  }

  async function unpack(archive: string) {
    execFileSync('tar', ['-xf', archive, '-C', join(folder, 'unpacked')]);
    const read = async (name: string) => readFile(join(folder, 'unpacked', name));
    const [manifest] = JSON.parse((await read('manifest.json')).toString()) as {
      Config: string;
      RepoTags: string[];
      Layers: string[];
    }[];
    const config = JSON.parse((await read(manifest!.Config)).toString()) as { rootfs: { diff_ids: string[] } };
    return { manifest: manifest!, config, read };
  }

  it('names every layer by the digest of its tar, the lowest first', async () => {
    const image = await build('image.tar');
    const { manifest, config, read } = await unpack(image.out);
    expect(manifest.RepoTags).to.deep.equal(['podsplit.local/x:dev']);
    expect(manifest.Layers).to.have.length(2);
    const digests = await Promise.all(
      manifest.Layers.map(
        async (layer) =>
          `sha256:${createHash('sha256')
            .update(await read(layer))
            .digest('hex')}`,
      ),
    );
    expect(config.rootfs.diff_ids).to.deep.equal(digests);
    const contents = manifest.Layers.map((layer) =>
      execFileSync('tar', ['-xOf', join(folder, 'unpacked', layer), './file']).toString(),
    );
    expect(contents).to.deep.equal(['from base', 'from top']);
  });

  it('gives the same bytes for the same input', async () => {
    const first = await build('first.tar');
    const second = await build('second.tar');
    expect(await readFile(second.out)).to.deep.equal(await readFile(first.out));
  });

  it('leaves nothing behind when it fails', async () => {
    const out = join(folder, 'image.tar');
    const attempt = writeDockerArchive({ out, reference: 'podsplit.local/x:dev', root: join(folder, 'missing') });
    const failed = await attempt.then(
      () => false,
      () => true,
    );
    expect(failed).to.equal(true);
    expect(await readdir(folder)).to.have.members(['base', 'top', 'unpacked']);
  });
});
