import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isRecord } from '../api/json.ts';
import type { Logger } from '../observability/log.ts';
import type { Sandbox } from './sandbox.ts';

/**
 * The sandboxes of this node as files under /run: they outlive the agent, and end with the node's boot as the sandboxes do.
 * A file is written before the ADD is answered, and whole or not at all.
 */
export class SandboxFiles {
  private readonly folder: string;
  private readonly log: Logger;

  constructor(folder: string, log: Logger) {
    this.folder = folder;
    this.log = log;
  }

  async list(): Promise<readonly Sandbox[]> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    const names = await readdir(this.folder);
    const found: Sandbox[] = [];
    for (const name of names) {
      const path = join(this.folder, name);
      const sandbox = name.endsWith('.json') ? parse(await readFile(path, 'utf8')) : undefined;
      if (sandbox !== undefined) found.push(sandbox);
      else {
        // Half-written, or of a version that this one does not read: the audit finds the Pod without a sandbox.
        this.log.warn({ path }, 'a file of a sandbox does not read and is removed');
        await rm(path, { force: true });
      }
    }
    return found;
  }

  async write(sandbox: Sandbox): Promise<void> {
    const path = this.path(sandbox.id);
    await writeFile(`${path}.new`, `${JSON.stringify(sandbox)}\n`, { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  async remove(id: string): Promise<void> {
    await rm(this.path(id), { force: true });
  }

  private path(id: string): string {
    return join(this.folder, `${id}.json`);
  }
}

function parse(text: string): Sandbox | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) && value['version'] === 1 ? (value as unknown as Sandbox) : undefined;
  } catch {
    return undefined;
  }
}
