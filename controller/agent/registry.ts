import type { Sandbox } from './sandbox.ts';
import type { SandboxFiles } from './sandbox-files.ts';

/** The sandboxes of this node, in memory and on disk. */
export class Registry {
  private readonly files: SandboxFiles;
  private readonly sandboxes = new Map<string, Sandbox>();

  constructor(files: SandboxFiles) {
    this.files = files;
  }

  async load(): Promise<void> {
    for (const sandbox of await this.files.list()) this.sandboxes.set(sandbox.id, sandbox);
  }

  get(id: string): Sandbox | undefined {
    return this.sandboxes.get(id);
  }

  list(): readonly Sandbox[] {
    return [...this.sandboxes.values()];
  }

  ofPod(uid: string): Sandbox | undefined {
    return this.list().find(({ pod }) => pod.uid === uid);
  }

  /** Of the same split Pod, sorted so that a compiled table does not depend on who came first. */
  ofSplit(split: string): readonly Sandbox[] {
    return this.list()
      .filter((sandbox) => sandbox.split === split)
      .sort((a, b) => (a.piece < b.piece ? -1 : 1));
  }

  async put(sandbox: Sandbox): Promise<void> {
    await this.files.write(sandbox);
    this.sandboxes.set(sandbox.id, sandbox);
  }

  async remove(id: string): Promise<void> {
    this.sandboxes.delete(id);
    await this.files.remove(id);
  }
}
