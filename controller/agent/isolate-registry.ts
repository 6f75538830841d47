import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../observability/log.ts';
import { parseIsolatedSandbox, type IsolatedSandbox } from './isolate-sandbox.ts';

const suffix = '.json';

/** The sandboxes of isolated Pods, in memory and as files under /run: they outlive the agent, and end with the node's boot. */
export class IsolateRegistry {
  private readonly folder: string;
  private readonly log: Logger;
  private readonly sandboxes = new Map<string, IsolatedSandbox>();

  constructor(folder: string, log: Logger) {
    this.folder = folder;
    this.log = log;
  }

  async load(): Promise<void> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(this.folder)) {
      const path = join(this.folder, name);
      if (!name.endsWith(suffix)) {
        // Not renamed any more: the agent ended in between, and answered nobody.
        await rm(path, { force: true, recursive: true });
        continue;
      }
      const id = name.slice(0, -suffix.length);
      try {
        this.sandboxes.set(id, parseIsolatedSandbox(await readFile(path, 'utf8'), id));
      } catch (error) {
        // Its Pod runs, and the rules that it has are better than none.
        this.log.error({ path, err: error }, 'the file of a sandbox does not read: its rules stay, and are not kept');
      }
    }
  }

  get(id: string): IsolatedSandbox | undefined {
    return this.sandboxes.get(id);
  }

  list(): readonly IsolatedSandbox[] {
    return [...this.sandboxes.values()];
  }

  /** For a moment there may be two: the one before has ended, and its DEL is on its way. */
  ofSplit(split: string): readonly IsolatedSandbox[] {
    return this.list().filter((sandbox) => sandbox.split === split);
  }

  ofPod(uid: string): IsolatedSandbox | undefined {
    return this.list().find(({ pod }) => pod.uid === uid);
  }

  async put(sandbox: IsolatedSandbox): Promise<void> {
    const path = this.path(sandbox.id);
    await writeFile(`${path}.new`, `${JSON.stringify(sandbox)}\n`, { mode: 0o600 });
    await rename(`${path}.new`, path);
    this.sandboxes.set(sandbox.id, sandbox);
  }

  async remove(id: string): Promise<void> {
    await rm(this.path(id), { force: true });
    this.sandboxes.delete(id);
  }

  private path(id: string): string {
    return join(this.folder, `${id}${suffix}`);
  }
}
