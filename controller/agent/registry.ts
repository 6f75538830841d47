import type { Sandbox } from './sandbox.ts';
import type { SandboxFiles, UnreadSandbox } from './sandbox-files.ts';

/** The sandboxes of this node, in memory and on disk. */
export class Registry {
  private readonly files: SandboxFiles;
  private readonly sandboxes = new Map<string, Sandbox>();
  /** Something is on disk of them that this version does not read. */
  private readonly unread = new Map<string, UnreadSandbox>();

  constructor(files: SandboxFiles) {
    this.files = files;
  }

  async load(): Promise<void> {
    const { sandboxes, unread } = await this.files.list();
    for (const sandbox of sandboxes) this.sandboxes.set(sandbox.id, sandbox);
    for (const file of unread) this.unread.set(file.id, file);
  }

  get(id: string): Sandbox | undefined {
    return this.sandboxes.get(id);
  }

  list(): readonly Sandbox[] {
    return [...this.sandboxes.values()];
  }

  /** Of all that may have something on the node. */
  ids(): readonly string[] {
    return [...this.sandboxes.keys(), ...this.unread.keys()];
  }

  listUnread(): readonly UnreadSandbox[] {
    return [...this.unread.values()];
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
    await this.files.remove(id);
    this.sandboxes.delete(id);
    this.unread.delete(id);
  }
}
