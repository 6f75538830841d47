import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultImage } from '../manifests.ts';
import { imageReference, images, nonRootUser, packageList } from './recipes.ts';

const repository = join(import.meta.dirname, '..', '..');

describe('image recipes', () => {
  it('are named as templates/ and examples/ name them', async () => {
    expect(imageReference('podsplit')).to.equal(defaultImage);
    for (const name of ['web/web.yaml', 'agent/agent.yaml', 'agent/world.yaml']) {
      const example = await readFile(join(repository, 'examples', name), 'utf8');
      const used = new Set(Array.from(example.matchAll(/image: (\S+)/g), (match) => match[1]));
      expect([...used]).to.deep.equal([imageReference('samples')]);
    }
  });

  it('leave out comments of package lists', async () => {
    const packages = await packageList(join(import.meta.dirname, 'podsplit.packages'));
    expect(packages).to.include.members(['nftables', 'iproute2']);
    expect(packages.join()).not.to.contain('#');
  });

  it('agree with the Containerfile', async () => {
    const containerfile = await readFile(join(repository, 'Containerfile'), 'utf8');
    const recipe = images.find(({ name }) => name === 'podsplit')!;
    expect(containerfile).to.contain('hack/images/podsplit.packages');
    expect(containerfile).to.contain(`USER ${nonRootUser}:${nonRootUser}`);
    expect(containerfile).to.contain(`ENTRYPOINT ${JSON.stringify(recipe.config.Entrypoint)}`);
    expect(containerfile).to.contain(`CMD ${JSON.stringify(recipe.config.Cmd)}`);
    for (const path of ['/usr/bin/node', '/usr/lib/podsplit/', '/usr/bin/podsplit', '/usr/share/doc/podsplit/']) {
      expect(containerfile).to.contain(path);
    }
  });
});
