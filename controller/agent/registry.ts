import type { PodIdentity } from './cni-request.ts';
import type { SandboxFiles, UnreadSandbox } from './sandbox-files.ts';

/** Of a piece, or of an isolated Pod. */
interface Registered {
  readonly id: string;
  readonly pod: PodIdentity;
  readonly split: string;
  /** An isolated Pod has none. */
  readonly piece?: string;
}

/** The sandboxes of this node, in memory and on disk. */
export class Registry<S extends Registered> {
  private readonly files: SandboxFiles<S>;
  private readonly sandboxes = new Map<string, S>();
  /** Something is on disk of them that this version does not read. */
  private readonly unread = new Map<string, UnreadSandbox>();

  constructor(files: SandboxFiles<S>) {
    this.files = files;
  }

  async load(): Promise<void> {
    const { sandboxes, unread } = await this.files.list();
    for (const sandbox of sandboxes) this.sandboxes.set(sandbox.id, sandbox);
    for (const file of unread) this.unread.set(file.id, file);
  }

  get(id: string): S | undefined {
    return this.sandboxes.get(id);
  }

  list(): readonly S[] {
    return [...this.sandboxes.values()];
  }

  /** Of all that may have something on the node. */
  ids(): readonly string[] {
    return [...this.sandboxes.keys(), ...this.unread.keys()];
  }

  listUnread(): readonly UnreadSandbox[] {
    return [...this.unread.values()];
  }

  ofPod(uid: string): S | undefined {
    return this.list().find(({ pod }) => pod.uid === uid);
  }

  /**
   * Of the same split Pod, sorted so that a compiled table does not depend on who came first. Of an isolated Pod there may be
   * two for a moment: the one before has ended, and its DEL is on its way.
   */
  ofSplit(split: string): readonly S[] {
    return this.list()
      .filter((sandbox) => sandbox.split === split)
      .sort(({ piece: a = '' }, { piece: b = '' }) => (a < b ? -1 : a > b ? 1 : 0));
  }

  async put(sandbox: S): Promise<void> {
    await this.files.write(sandbox);
    this.sandboxes.set(sandbox.id, sandbox);
  }

  async remove(id: string): Promise<void> {
    await this.files.remove(id);
    this.sandboxes.delete(id);
    this.unread.delete(id);
  }
}
