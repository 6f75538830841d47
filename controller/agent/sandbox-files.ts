import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../observability/log.ts';
import type { PodIdentity } from './cni-request.ts';
import { salvage } from './parse-sandbox.ts';

const suffix = '.json';

/** What a sandbox is filed under. */
interface Filed {
  readonly id: string;
}

/** @throws Error with all that is wrong with the text, or with its being in the file of this id */
export type Parse<S> = (text: string, id: string) => S;

export interface Found<S> {
  readonly sandboxes: readonly S[];
  readonly unread: readonly UnreadSandbox[];
}

/** A file that this version does not read. */
export interface UnreadSandbox {
  /** The container id that it is named for. */
  readonly id: string;
  /** What is wrong with it. */
  readonly why: string;
  readonly pod?: PodIdentity;
  /** What its rules were made of, if that is a text. */
  readonly wiring?: string;
}

/**
 * The sandboxes of this node as files under /run: they outlive the agent, and end with the node's boot as the sandboxes do.
 * A file is written before the ADD is answered, and whole or not at all.
 */
export class SandboxFiles<S extends Filed> {
  private readonly folder: string;
  private readonly parse: Parse<S>;
  private readonly log: Logger;

  constructor(folder: string, parse: Parse<S>, log: Logger) {
    this.folder = folder;
    this.parse = parse;
    this.log = log;
  }

  async list(): Promise<Found<S>> {
    await mkdir(this.folder, { recursive: true, mode: 0o700 });
    const sandboxes: S[] = [];
    const unread: UnreadSandbox[] = [];
    for (const name of await readdir(this.folder)) {
      const path = join(this.folder, name);
      if (!name.endsWith(suffix)) {
        // Not renamed any more: the agent ended in between, and answered nobody.
        await rm(path, { force: true, recursive: true });
        continue;
      }
      const id = name.slice(0, -suffix.length);
      const text = await readFile(path, 'utf8');
      try {
        sandboxes.push(this.parse(text, id));
      } catch (error) {
        // Of another version, or broken. Its piece runs, and the rules that it has are better than none: they stay as they
        // are until the sandbox' DEL, and so does the file, which another version may read.
        this.log.error({ path, err: error }, 'the file of a sandbox does not read: its rules stay, and are not kept');
        unread.push({ id, why: error instanceof Error ? error.message : 'it is broken', ...salvage(text) });
      }
    }
    return { sandboxes, unread };
  }

  async write(sandbox: S): Promise<void> {
    const path = this.path(sandbox.id);
    await writeFile(`${path}.new`, `${JSON.stringify(sandbox)}\n`, { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  async remove(id: string): Promise<void> {
    await rm(this.path(id), { force: true });
  }

  private path(id: string): string {
    return join(this.folder, `${id}${suffix}`);
  }
}
