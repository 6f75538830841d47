import { expect } from 'chai';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emptyFolder } from './empty-folder.ts';

describe('emptyFolder', () => {
  let root: string;
  let folder: string;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'podsplit-empty-'));
    folder = join(root, 'trash');
    await mkdir(folder);
  });

  afterEach(() => rm(root, { recursive: true, force: true }));

  const make = (script: string): void => {
    execFileSync('bash', ['-ec', script], { cwd: folder });
  };

  it('deletes files, folders and what has a name that is no text', async () => {
    make(
      String.raw`mkdir -p a/b/c "$(printf '\xff')"; touch x a/y a/b/c/z "$(printf '\xff/\xc3\xbc\xfe')"; mkfifo a/p`,
    );
    await emptyFolder(folder);
    expect(await readdir(folder)).to.deep.equal([]);
  });

  it('deletes links, and nothing that they lead to', async () => {
    await mkdir(join(root, 'others'));
    await writeFile(join(root, 'others', 'file'), '');
    make('mkdir a; ln -s ../others b; ln -s ../../others a/c; ln -s ../../others/file a/d; ln ../others/file a/e');
    await emptyFolder(folder);
    expect(await readdir(folder)).to.deep.equal([]);
    expect(await readdir(join(root, 'others'))).to.deep.equal(['file']);
  });

  it('holds no more of a tree for its width and depth, as rm does', async function () {
    this.timeout(60_000);
    make('for i in $(seq 4); do mkdir d && seq 6000 | xargs touch && cd -P d; done');
    const rmWith = (memory: number) => spawnSync('prlimit', [`--as=${memory}`, 'rm', '-rf', join(folder, 'd')]);
    expect(rmWith(3_500_000).stderr.toString()).to.contain('allocate memory');
    expect(existsSync(join(folder, 'd'))).to.equal(true);
    await emptyFolder(folder);
    expect(await readdir(folder)).to.deep.equal([]);
  });

  it('leaves alone what is mounted, deletes the rest, and says so', function () {
    if (process.getuid?.() !== 0) this.skip();
    make('mkdir -p a/b/mounted a/c z; touch a/b/x a/c/y z/z');
    const mounted = join(folder, 'a', 'b', 'mounted');
    const script = `
      mount -t tmpfs tmpfs ${mounted} && touch ${mounted}/kept || exit 99
      node --input-type=module -e "
        import { emptyFolder } from '${import.meta.dirname}/empty-folder.ts';
        await emptyFolder('${folder}').catch((error) => { console.log(error.code); });"
      find ${folder} -name kept; find ${folder} -type f | wc -l`;
    const { status, stdout, stderr } = spawnSync('unshare', ['--mount', 'bash', '-c', script]);
    // Where nobody may mount there is nothing to leave alone.
    if (status === 99) this.skip();
    expect(stdout.toString().split('\n')[0], stderr.toString()).to.equal('EBUSY');
    expect(stdout.toString()).to.match(/\/mounted\/kept\n1\n$/);
  });
});
