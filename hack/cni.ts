// Builds `dist/cni/podsplit`, the CNI plugin. It is static, because it runs on the host, whose C library nobody knows.
//
//     node hack/cni.ts              builds it, and dist/THIRD_PARTY_LICENSES.cni, of what is linked in
//     node hack/cni.ts --lint       gofmt and go vet
//     node hack/cni.ts --test       its tests, which start the binary as a runtime does

import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageVersion } from './build.ts';
import { main, run } from './cluster/run.ts';
import { licenseIn, licenseText, type ThirdParty } from './licenses.ts';

const repository = join(import.meta.dirname, '..');
const source = join(repository, 'cni');

/** Returns the paths of the binary and of the licences of what is linked in. Go's own cache makes a build without changes a matter of a second. */
export async function buildCni(): Promise<readonly string[]> {
  const out = join(repository, 'dist/cni/podsplit');
  const ldflags = `-s -w -X main.version=${await packageVersion()}`;
  await run(['go', 'build', '-mod=readonly', '-trimpath', '-buildvcs=false', '-ldflags', ldflags, '-o', out, '.'], {
    cwd: source,
    env: { ...process.env, CGO_ENABLED: '0' },
  });
  const licenses = join(repository, 'dist/THIRD_PARTY_LICENSES.cni');
  await writeFile(licenses, licenseText(await linkedIn()));
  return [out, licenses];
}

/** The modules that packages of the plugin come from, and Go's own library. */
async function linkedIn(): Promise<readonly ThirdParty[]> {
  const format = '{{with .Module}}{{if .Version}}{{.Path}}@{{.Version}} {{.Dir}}{{end}}{{end}}';
  const listed = await run(['go', 'list', '-mod=readonly', '-deps', '-f', format, '.'], { cwd: source });
  const modules = [...new Set(listed.split('\n'))].flatMap((line) => {
    const [name = '', folder = ''] = line.split(' ');
    return folder === '' ? [] : [{ name, folder }];
  });
  const [version = '', root = ''] = (await run(['go', 'env', 'GOVERSION', 'GOROOT'], { cwd: source })).split('\n');
  return Promise.all(
    [...modules, { name: `go@${version}`, folder: root }].map(async ({ name, folder }) => {
      const text = await licenseIn(folder);
      if (text === '') throw new Error(`${folder} has no text of the licence of ${name}`);
      return { name, license: '', text };
    }),
  );
}

async function lint(): Promise<void> {
  const unformatted = (await run(['gofmt', '-l', source])).trim();
  if (unformatted !== '') throw new Error(`not as gofmt has it: ${unformatted}`);
  await run(['go', 'vet', '-mod=readonly', './...'], { cwd: source });
}

/** Go says on standard output what failed. */
function test(): void {
  const { status } = spawnSync('go', ['test', '-mod=readonly', '-count=1', './...'], { cwd: source, stdio: 'inherit' });
  if (status !== 0) throw new Error('the tests of the plugin failed');
}

if (import.meta.main) {
  await main(async () => {
    switch (process.argv[2]) {
      case '--lint':
        return lint();
      case '--test':
        test();
        return;
      default:
        console.log((await buildCni())[0]);
    }
  });
}
