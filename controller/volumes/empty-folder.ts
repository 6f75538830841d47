import { constants } from 'node:fs';
import { open, opendir, rename, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';

const atATime = 64;

/**
 * Deletes what is in a folder that only this process can enter, however deep and wide the trees are that others left there.
 *
 * `rm -r` holds the names of every folder that it is inside of, and whoever made the tree can make those as many as he likes.
 * Here a folder's folders are moved up into `folder` before it is deleted. So one open folder is all that there ever is to
 * hold, no path is longer than two names, and a process that is stopped leaves less for the next one. What is mounted
 * somewhere in a tree can be neither moved nor deleted, and is not entered; nor is what a link leads to.
 *
 * Others may move more into it meanwhile.
 *
 * @throws the first error, once nothing more can be deleted
 */
export async function emptyFolder(folder: string): Promise<void> {
  for (;;) {
    const pass = new Pass();
    for await (const entries of entriesOf(folder)) {
      for (const { name, directory } of entries) {
        const path = below(folder, name);
        await (directory ? deleteFolder(path, folder, pass).catch(pass.fail) : pass.step(unlink(path)));
      }
    }
    if (pass.steps > 0) continue;
    pass.expectSound();
    return;
  }
}

/** What cannot be done does not keep the rest. */
class Pass {
  steps = 0;
  private failures: readonly unknown[] = [];

  /** One says as much as thousands. */
  readonly fail = (error: unknown): void => {
    if (this.failures.length === 0) this.failures = [error];
  };

  expectSound(): void {
    for (const failure of this.failures) throw failure;
  }

  async step(work: Promise<unknown>): Promise<void> {
    await work.then(() => this.steps++, this.fail);
  }
}

let moved = 0;

async function deleteFolder(path: Buffer, into: string, pass: Pass): Promise<void> {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
  const handle = await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    // The folder that was opened, whatever its name leads to by now: as openat(2) would.
    const here = `/proc/self/fd/${handle.fd}`;
    const moveOut = ({ name, directory }: Entry): Promise<void> => {
      const elsewhere = join(into, `.${process.pid}.${process.hrtime.bigint()}.${moved++}`);
      return pass.step(directory ? rename(below(here, name), elsewhere) : unlink(below(here, name)));
    };
    for await (const entries of entriesOf(here)) await Promise.all(entries.map(moveOut));
  } finally {
    await handle.close();
  }
  await pass.step(rmdir(path));
}

function below(folder: string, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${folder}/`), name]);
}

interface Entry {
  /** Bytes: not all names that a program makes are UTF-8. */
  readonly name: Buffer;
  readonly directory: boolean;
}

/** As the kernel gives them, some at a time. */
async function* entriesOf(folder: string): AsyncGenerator<readonly Entry[]> {
  let entries: Entry[] = [];
  for await (const entry of await opendir(folder, { encoding: 'latin1', bufferSize: atATime })) {
    entries.push({ name: Buffer.from(entry.name, 'latin1'), directory: entry.isDirectory() });
    if (entries.length < atATime) continue;
    yield entries;
    entries = [];
  }
  yield entries;
}
