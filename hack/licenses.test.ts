import { expect } from 'chai';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { licenseText, nodeLicense, packagesOf } from './licenses.ts';

const repository = join(import.meta.dirname, '..');

describe('licences of what is bundled', () => {
  let root: string;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'podsplit-licenses-'));
  });

  afterEach(() => rm(root, { recursive: true }));

  async function install(folder: string, manifest: object, files: Readonly<Record<string, string>> = {}) {
    await mkdir(join(root, folder), { recursive: true });
    await writeFile(join(root, folder, 'package.json'), JSON.stringify(manifest));
    for (const [name, text] of Object.entries(files)) await writeFile(join(root, folder, name), text);
  }

  it('are those of the packages that the files are of, each once', async () => {
    await install('node_modules/b', { name: 'b', version: '1.0.0', license: 'MIT' }, { LICENSE: 'text of b\n' });
    const inner = 'node_modules/b/node_modules/@a/c';
    await install(
      inner,
      { name: '@a/c', version: '2.0.0', license: 'ISC' },
      { 'LICENCE.md': 'c', NOTICE: 'and so on' },
    );
    await install('node_modules/unused', { name: 'unused', version: '1.0.0' });
    const inputs = ['controller/main.ts', 'node_modules/b/lib/x.js', 'node_modules/b/lib/y.js', `${inner}/z.js`];
    expect(await packagesOf(inputs, root)).to.deep.equal([
      { name: '@a/c@2.0.0', license: 'ISC', text: 'c\n\nand so on' },
      { name: 'b@1.0.0', license: 'MIT', text: 'text of b' },
    ]);
  });

  it('are named where the package brings no text, and are not made up', async () => {
    await install('node_modules/named', { name: 'named', version: '1.0.0', license: 'MIT' });
    expect(licenseText(await packagesOf(['node_modules/named/x.js'], root))).to.contain(
      'named@1.0.0 (MIT)\n' + `${'-'.repeat(80)}\n\nThe package brings no text of its licence.`,
    );
    await install('node_modules/silent', { name: 'silent', version: '1.0.0' });
    const ended = await packagesOf(['node_modules/silent/x.js'], root).catch((error: unknown) => String(error));
    expect(ended).to.contain('silent says nothing of its licence');
  });

  it("have Node's, with what it is made of", async () => {
    const { name, text } = await nodeLicense(repository);
    expect(name).to.match(/^node-linux-\w+@24\./);
    expect(text).to.contain('OpenSSL');
  });
});
