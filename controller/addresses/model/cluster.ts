import type { AddressBlock } from '../../api/resources.ts';
import { claimOf } from '../block.ts';
import { addressesAt, type Pool } from '../pool.ts';

/** An API server as the allocator may assume it: objects, resourceVersions, preconditions. For tests. */

export interface ModelPod {
  readonly name: string;
  readonly uid: string;
  readonly role: 'primary' | 'sibling';
  /** UID of the primary, its own for a primary. */
  readonly split: string;
  readonly workload: number;
  /** IPv4 on the peer network, once its networks annotation says so. */
  readonly address: string | undefined;
  readonly gated: boolean;
  readonly deleting: boolean;
}

export interface ModelState {
  readonly pods: ReadonlyMap<string, ModelPod>;
  readonly blocks: ReadonlyMap<string, AddressBlock>;
}

export class ModelCluster {
  readonly pods = new Map<string, ModelPod>();
  readonly blocks = new Map<string, AddressBlock>();
  readonly history: ModelState[] = [];
  private version = 0;

  remember(): void {
    this.history.push({ pods: new Map(this.pods), blocks: new Map(this.blocks) });
    if (this.history.length > 80) this.history.shift();
  }

  createBlock(block: AddressBlock) {
    if (this.blocks.has(block.metadata.name)) return { kind: 'already-exists' as const };
    return { kind: 'ok' as const, block: this.storeBlock(block, this.next('uid')) };
  }

  replaceBlock(block: AddressBlock) {
    const current = this.blocks.get(block.metadata.name);
    if (current === undefined) return { kind: 'not-found' as const };
    if (current.metadata.resourceVersion !== block.metadata.resourceVersion) return { kind: 'conflict' as const };
    return { kind: 'ok' as const, block: this.storeBlock(block, current.metadata.uid ?? '') };
  }

  deleteBlock(block: AddressBlock) {
    const current = this.blocks.get(block.metadata.name);
    if (current === undefined) return { kind: 'not-found' as const };
    if (current.metadata.resourceVersion !== block.metadata.resourceVersion) return { kind: 'conflict' as const };
    this.blocks.delete(block.metadata.name);
    return { kind: 'ok' as const };
  }

  createPod(
    pod: Omit<ModelPod, 'uid' | 'split' | 'deleting'> & { readonly split?: string },
  ): 'created' | 'already-exists' {
    if (this.pods.has(pod.name)) return 'already-exists';
    const uid = this.next('pod');
    this.pods.set(pod.name, { ...pod, uid, split: pod.split ?? uid, deleting: false });
    return 'created';
  }

  /** Lifts the gate of this very Pod. An `address` is written in the same patch. */
  lift(name: string, uid: string, address?: string): boolean {
    const pod = this.pods.get(name);
    if (pod?.uid !== uid || pod.deleting) return false;
    this.pods.set(name, { ...pod, gated: false, address: address ?? pod.address });
    return true;
  }

  /** A gated Pod goes at once, one that runs when its kubelet is done. */
  deletePod(name: string, uid: string): void {
    const pod = this.pods.get(name);
    if (pod?.uid !== uid) return;
    if (pod.gated) this.pods.delete(name);
    else this.pods.set(name, { ...pod, deleting: true });
  }

  /** Undefined if all is well. A piece is live from the lifting of its gate until its object is gone. */
  violation(pool: Pool): string | undefined {
    const holders = new Map<string, string>();
    for (const pod of this.pods.values()) {
      if (pod.gated || pod.address === undefined) continue;
      const other = holders.get(pod.address);
      if (other !== undefined) return `${pod.name} and ${other} have ${pod.address}`;
      holders.set(pod.address, pod.name);
      if (!this.covered(pod, pod.address, pool)) return `${pod.name} has ${pod.address} without a claim`;
    }
    return undefined;
  }

  private covered(pod: ModelPod, address: string, pool: Pool): boolean {
    return [...this.blocks.values()].some((block) =>
      Object.values(claimOf(block.spec, pod.split)?.offsets ?? {}).some(
        (offset) => addressesAt(pool, block.spec.index, offset).ipv4 === address,
      ),
    );
  }

  private storeBlock(block: AddressBlock, uid: string): AddressBlock {
    const stored = { ...block, metadata: { ...block.metadata, uid, resourceVersion: this.next('') } };
    this.blocks.set(block.metadata.name, stored);
    return stored;
  }

  private next(prefix: string): string {
    this.version += 1;
    return `${prefix}${this.version}`;
  }
}
