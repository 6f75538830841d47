import { mkdir, rmdir, symlink, unlink } from 'node:fs/promises';
import type { Mounter, TmpfsOptions } from '../mounter.ts';

/** Mounts without root: a bind mount is a link, a tmpfs a folder that was there. */
export class PaperMounter implements Mounter {
  readonly mounts = new Map<string, 'bind' | TmpfsOptions>();
  private broken: Error | undefined;

  /** Until it is called with nothing. */
  fail(error?: Error): void {
    this.broken = error;
  }

  mountPoints(): Promise<ReadonlySet<string>> {
    return Promise.resolve(new Set(this.mounts.keys()));
  }

  async bind(from: string, to: string): Promise<void> {
    if (this.broken !== undefined) throw this.broken;
    await rmdir(to);
    await symlink(from, to);
    this.mounts.set(to, 'bind');
  }

  tmpfs(at: string, options: TmpfsOptions): Promise<void> {
    this.mounts.set(at, options);
    return Promise.resolve();
  }

  async unmount(at: string): Promise<void> {
    const mount = this.mounts.get(at);
    if (mount === undefined) throw new Error(`${at} is not mounted`);
    this.mounts.delete(at);
    if (mount !== 'bind') return;
    await unlink(at);
    await mkdir(at);
  }
}
