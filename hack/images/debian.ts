// Root file systems from Debian packages, without Docker and without root: apt resolves and downloads as for an empty
// system, dpkg-deb unpacks. No maintainer script runs, so a recipe names programs by the paths that packages ship.

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface PackageSet {
  readonly packages: readonly string[];
  /** Dependencies that only maintainer scripts or services need. */
  readonly omit: readonly string[];
}

/** What containers never read: two thirds of some packages. Licences (copyright files) stay. */
const unread = ['./usr/share/man', './usr/share/info', './usr/share/locale', './usr/share/lintian', './usr/share/bug'];

/** Unpacks the closure of `wanted`, less that of `below`, into `root`. */
export async function unpackPackages(wanted: PackageSet, below: readonly string[], root: string): Promise<void> {
  const apt = await emptySystem();
  try {
    const lower = below.length > 0 ? await apt.closure(below) : [];
    const skip = new Set([...lower.map((deb) => deb.name), ...wanted.omit]);
    const debs = (await apt.closure([...below, ...wanted.packages])).filter((deb) => !skip.has(deb.name));
    await apt.download([...below, ...wanted.packages]);
    await mergedUsr(root);
    for (const deb of debs) await unpack(join(apt.archives, deb.file), root);
  } finally {
    await apt.remove();
  }
}

interface Deb {
  readonly name: string;
  readonly file: string;
}

interface EmptySystem {
  readonly archives: string;
  closure(packages: readonly string[]): Promise<readonly Deb[]>;
  download(packages: readonly string[]): Promise<unknown>;
  remove(): Promise<void>;
}

/** apt with the machine's sources and lists, and a dpkg database that has nothing installed. */
async function emptySystem(): Promise<EmptySystem> {
  const folder = await mkdtemp(join(tmpdir(), 'podsplit-apt-'));
  const archives = join(folder, 'archives');
  await mkdir(join(archives, 'partial'), { recursive: true });
  await writeFile(join(folder, 'status'), '');
  const settings = {
    'Dir::State::status': join(folder, 'status'),
    'Dir::State::extended_states': join(folder, 'extended_states'),
    'Dir::Cache::archives': archives,
    'Debug::NoLocking': '1',
    'APT::Install-Recommends': '0',
    // apt's own user could not write to our folder.
    'APT::Sandbox::User': 'root',
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  const install = async (flag: string, packages: readonly string[]): Promise<string> => {
    try {
      const { stdout } = await run('apt-get', [...options, '-qq', '-y', flag, 'install', ...packages]);
      return stdout;
    } catch (error) {
      throw new Error(`apt-get found no way to get ${packages.join(' ')}: run apt-get update first?`, { cause: error });
    }
  };
  return {
    archives,
    closure: async (packages) => (await install('--print-uris', packages)).split('\n').flatMap(parseUri),
    download: (packages) => install('--download-only', packages),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}

/** `'URI' NAME_VERSION_ARCH.deb SIZE HASH`, as `apt-get --print-uris` prints it. */
function parseUri(line: string): readonly Deb[] {
  const file = line.split(' ')[1];
  const name = file?.split('_')[0];
  return file !== undefined && name !== undefined ? [{ name, file }] : [];
}

/** Debian 12 ships files in /bin and /lib and expects them to be links to /usr: each layer has to agree on that. */
async function mergedUsr(root: string): Promise<void> {
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    await mkdir(join(root, 'usr', name), { recursive: true });
    await symlink(`usr/${name}`, join(root, name));
  }
}

async function unpack(deb: string, root: string): Promise<void> {
  const excludes = unread.map((path) => `--exclude=${path}`);
  const script = 'dpkg-deb --fsys-tarfile "$0" | tar -x --keep-directory-symlink --no-same-owner -C "$@"';
  await run('bash', ['-o', 'pipefail', '-c', script, deb, root, ...excludes]);
}
