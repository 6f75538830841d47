import { expect } from 'chai';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inputKey, once } from './cache.ts';

describe('image cache', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'podsplit-cache-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('makes a folder once', async () => {
    let made = 0;
    const make = async (scratch: string) => {
      made++;
      await writeFile(join(scratch, 'file'), 'whole');
    };
    const first = await once(join(folder, 'layer'), make);
    const second = await once(join(folder, 'layer'), make);
    expect(made).to.equal(1);
    expect(second).to.equal(first);
    expect(await readFile(join(second, 'file'), 'utf8')).to.equal('whole');
  });

  it('leaves nothing that looks whole when the work fails', async () => {
    const attempt = once(join(folder, 'layer'), async (scratch) => {
      await writeFile(join(scratch, 'file'), 'half');
      throw new Error('no space left');
    });
    const message = await attempt.then(
      () => 'made',
      (error: unknown) => String(error),
    );
    expect(message).to.contain('no space left');
    expect(await readdir(folder)).to.deep.equal([]);
  });

  it("takes the winner's folder when two make the same", async () => {
    const make = (text: string) => (scratch: string) => writeFile(join(scratch, 'file'), text);
    const paths = await Promise.all(['a', 'b'].map((text) => once(join(folder, 'layer'), make(text))));
    expect(new Set(paths).size).to.equal(1);
    expect(await readdir(folder)).to.deep.equal(['layer']);
  });

  it('tells inputs apart however they are divided', () => {
    expect(inputKey('ab', 'c')).not.to.equal(inputKey('a', 'bc'));
  });
});
