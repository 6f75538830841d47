import { chmod, chown, mkdir, readdir, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyedLock } from '../kube/keyed-lock.ts';
import type { Logger } from '../observability/log.ts';
import { emptyFolder } from './empty-folder.ts';
import { unless } from './file-errors.ts';
import { measureBounds, measureTree, type Measure, type MeasureBounds } from './measure-tree.ts';
import type { Mounter } from './mounter.ts';
import type { Target } from './requests.ts';
import type { SharedVolume } from './verify-volume.ts';
import { readRecord, writeRecord, type VolumeRecord } from './volume-record.ts';

const trash = '.trash';

export interface VolumeStoreOptions {
  /** On a disk of the node; only root enters it. */
  readonly folder: string;
  readonly mounter: Mounter;
  readonly log: Logger;
  readonly bounds?: MeasureBounds;
}

/**
 * The shared volumes of this node:
 *
 *     FOLDER/PRIMARY UID/VOLUME/data              what the pieces see; in memory, a tmpfs is mounted there
 *                              /pieces/POD UID    one for each piece that has it mounted
 *                              /volume.json       whose it is, and its sizeLimit
 *
 * They outlive the driver, as its mounts do. One goes when its Pod ends, and no piece mounts it any more.
 */
export class VolumeStore {
  private readonly folder: string;
  private readonly mounter: Mounter;
  private readonly log: Logger;
  private readonly bounds: MeasureBounds;
  private readonly lock = new KeyedLock();
  private emptying: Promise<void> = Promise.resolve();

  constructor({ folder, mounter, log, bounds = measureBounds }: VolumeStoreOptions) {
    this.folder = folder;
    this.mounter = mounter;
    this.log = log;
    this.bounds = bounds;
  }

  async publish(volume: SharedVolume, target: Target): Promise<void> {
    await this.lock.run(volume.pod.uid, async () => {
      const folder = this.folderOf(volume.pod.uid, volume.name);
      const pieces = join(folder, 'pieces');
      await mkdir(this.folder, { recursive: true, mode: 0o700 });
      await mkdir(pieces, { recursive: true, mode: 0o700 });
      await writeRecord(folder, volume);
      const data = await this.prepare(folder, volume);
      // Before the mount: a mount that nobody knows of would never be let go.
      await writeFile(join(pieces, target.podUid), '');
      await this.mount(data, target.path);
    });
  }

  async unpublish(target: Target): Promise<void> {
    await this.unmountAll(target.path);
    await rmdir(target.path).catch(unless('ENOENT'));
    for (const uid of await this.primaries()) {
      const piece = join(this.folderOf(uid, target.volume), 'pieces', target.podUid);
      await this.lock.run(uid, () => rm(piece, { force: true }).catch(unless('ENOTDIR')));
    }
  }

  /** UIDs of the primaries that have a volume here. */
  async primaries(): Promise<readonly string[]> {
    return (await namesIn(this.folder)).filter((name) => name !== trash);
  }

  /**
   * Removes what no unpublish will come for: the Pod is gone, and no piece of it has the volume mounted any more.
   *
   * @param targetOf where the kubelet mounts a volume of a Pod
   */
  async collect(goneUid: string, targetOf: (podUid: string, volume: string) => string): Promise<void> {
    await this.lock.run(goneUid, async () => {
      for (const volume of await namesIn(join(this.folder, goneUid))) {
        const mounted = await this.mounter.mountPoints();
        const pieces = await namesIn(join(this.folderOf(goneUid, volume), 'pieces'));
        if (pieces.some((podUid) => mounted.has(targetOf(podUid, volume)))) continue;
        this.log.info({ uid: goneUid, volume }, 'the volume of a Pod that is gone is removed');
        await this.remove(goneUid, volume);
      }
      await rmdir(join(this.folder, goneUid)).catch(unless('ENOENT', 'ENOTEMPTY'));
    });
  }

  async volumes(): Promise<readonly VolumeRecord[]> {
    const found: VolumeRecord[] = [];
    for (const uid of await this.primaries()) {
      for (const volume of await namesIn(join(this.folder, uid))) {
        const record = await readRecord(this.folderOf(uid, volume));
        if (record !== undefined) found.push(record);
      }
    }
    return found;
  }

  /** Those that no piece mounts at this moment: all have ended, or the next one is still to come. */
  async idle(): Promise<readonly VolumeRecord[]> {
    const found: VolumeRecord[] = [];
    for (const volume of await this.volumes()) if (await this.isIdle(volume)) found.push(volume);
    return found;
  }

  /** Unless a piece mounts it by now. */
  async removeIdle(volume: VolumeRecord): Promise<void> {
    const { pod, name } = volume;
    await this.lock.run(pod.uid, async () => {
      if (await this.isIdle(volume)) await this.remove(pod.uid, name);
    });
  }

  /** What it takes on disk; undefined where it is gone. */
  async used({ pod, name }: Pick<VolumeRecord, 'pod' | 'name'>): Promise<Measure | undefined> {
    const data = join(this.folderOf(pod.uid, name), 'data');
    const measure = await measureTree(data, this.bounds);
    return measure.kind === 'bytes' || (await exists(data)) ? measure : undefined;
  }

  /** Until what was removed before is deleted. */
  async emptied(): Promise<void> {
    await this.emptying;
  }

  /** Deletes what was removed, here or by an earlier process; nobody waits for it. */
  empty(): void {
    this.emptying = this.emptying
      .then(() => this.deleteTrash())
      .catch((error: unknown) => {
        this.log.error({ err: error }, 'a removed volume could not be deleted; it is tried again');
      });
  }

  private async deleteTrash(): Promise<void> {
    const folder = join(this.folder, trash);
    if (await exists(folder)) await emptyFolder(folder);
  }

  private async isIdle({ pod, name }: VolumeRecord): Promise<boolean> {
    const folder = this.folderOf(pod.uid, name);
    return (await exists(folder)) && (await namesIn(join(folder, 'pieces'))).length === 0;
  }

  private folderOf(uid: string, volume: string): string {
    return join(this.folder, uid, volume);
  }

  /** The directory as the kubelet makes an emptyDir, with its group set once: what is in it later belongs to its writers. */
  private async prepare(folder: string, { emptyDir, fsGroup }: SharedVolume): Promise<string> {
    const data = join(folder, 'data');
    if (emptyDir.medium === 'memory') {
      await mkdir(data, { recursive: true });
      // Not there after a reboot, as an emptyDir in memory is not.
      if (!(await this.mounter.mountPoints()).has(data)) {
        await this.mounter.tmpfs(data, { bytes: emptyDir.bytes, gid: fsGroup });
      }
      return data;
    }
    if (await exists(data)) return data;
    // By rename: it is there with all its rights or not at all.
    const unready = join(folder, 'unready');
    await mkdir(unready, { recursive: true });
    if (fsGroup !== undefined) await chown(unready, 0, fsGroup);
    await chmod(unready, fsGroup === undefined ? 0o777 : 0o2777);
    await rename(unready, data);
    return data;
  }

  private async mount(data: string, target: string): Promise<void> {
    await mkdir(target, { mode: 0o750 }).catch(unless('EEXIST'));
    if ((await this.mounter.mountPoints()).has(target)) {
      const [there, wanted] = await Promise.all([stat(target), stat(data)]);
      if (there.dev === wanted.dev && there.ino === wanted.ino) return;
      await this.unmountAll(target);
    }
    await this.mounter.bind(data, target);
  }

  /** One lies on the other if two kubelets, or two drivers, once mounted at the same time. */
  private async unmountAll(path: string): Promise<void> {
    while ((await this.mounter.mountPoints()).has(path)) await this.mounter.unmount(path);
  }

  /** Out of the way at once; deleting may take its time. */
  private async remove(uid: string, volume: string): Promise<void> {
    const folder = this.folderOf(uid, volume);
    await this.unmountAll(join(folder, 'data'));
    await mkdir(join(this.folder, trash), { recursive: true, mode: 0o700 });
    await rename(folder, join(this.folder, trash, `${uid}.${volume}.${process.hrtime.bigint()}`));
    await rmdir(join(this.folder, uid)).catch(unless('ENOTEMPTY'));
    this.empty();
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return (await readdir(folder).catch(unless('ENOENT', 'ENOTDIR'))) ?? [];
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(unless('ENOENT'))) !== undefined;
}
