import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseJson, record } from '../api/json.ts';
import type { PodIdentity } from '../agent/cni-request.ts';
import type { StorageLimit } from '../split/shared-volumes.ts';
import { unless } from './file-errors.ts';
import type { SharedVolume } from './verify-volume.ts';

/** What the driver keeps beside a volume, for when nobody calls: whose it is, and what it may take on disk. */
export interface VolumeRecord {
  readonly name: string;
  /** The primary. */
  readonly pod: PodIdentity;
  readonly sizeLimit?: StorageLimit;
  /** Of the whole Pod, for all of its volumes on disk together. */
  readonly storageLimit?: StorageLimit;
}

const file = 'volume.json';

export async function writeRecord(folder: string, { name, pod, emptyDir, storageLimit }: SharedVolume): Promise<void> {
  const { medium, sizeLimit, bytes } = emptyDir;
  // A tmpfs has its limit itself, and takes no storage.
  const onDisk = medium === 'disk';
  const own = sizeLimit === undefined || bytes === undefined ? undefined : { text: sizeLimit, bytes };
  // JSON leaves out what is undefined.
  const record = { name, pod, ...(onDisk ? { sizeLimit: own, storageLimit } : {}) };
  const path = join(folder, file);
  await writeFile(`${path}.new`, JSON.stringify(record));
  await rename(`${path}.new`, path);
}

/** One that does not read was cut short by a node that lost its power. It is written again when the Pod's pieces are. */
export async function readRecord(folder: string): Promise<VolumeRecord | undefined> {
  const text = await readFile(join(folder, file), 'utf8').catch(unless('ENOENT', 'ENOTDIR'));
  const value = record(parseJson(text));
  if (typeof value['name'] !== 'string') return undefined;
  const pod = podIn(value['pod']);
  const [sizeLimit, storageLimit] = [limitIn(value['sizeLimit']), limitIn(value['storageLimit'])];
  if (pod === undefined) return undefined;
  return {
    name: value['name'],
    pod,
    ...(sizeLimit === undefined ? {} : { sizeLimit }),
    ...(storageLimit === undefined ? {} : { storageLimit }),
  };
}

function podIn(value: unknown): PodIdentity | undefined {
  const { namespace, name, uid } = record(value);
  if (typeof namespace !== 'string' || typeof name !== 'string' || typeof uid !== 'string') return undefined;
  return { namespace, name, uid };
}

function limitIn(value: unknown): StorageLimit | undefined {
  const { text, bytes } = record(value);
  return typeof text === 'string' && typeof bytes === 'number' ? { text, bytes } : undefined;
}
