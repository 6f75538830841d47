import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { EmptyDir } from '../split/shared-volumes.ts';
import type { Target } from './requests.ts';
import { PaperMounter } from './testdata/paper-mounter.ts';
import type { SharedVolume } from './verify-volume.ts';
import type { VolumeRecord } from './volume-record.ts';
import { VolumeStore } from './volume-store.ts';

const log = pino({ level: 'silent' });

describe('VolumeStore', () => {
  let root: string;
  let folder: string;
  let mounter: PaperMounter;
  let store: VolumeStore;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'podsplit-volumes-'));
    folder = join(root, 'volumes');
    mounter = new PaperMounter();
    store = new VolumeStore({ folder, mounter, log });
  });

  afterEach(() => rm(root, { recursive: true, force: true }));

  const volumeOf = (uid: string, emptyDir: EmptyDir = { medium: 'disk' }, name = 'logs'): SharedVolume => ({
    name,
    pod: { namespace: 'shop', name: `pod-${uid}`, uid },
    emptyDir,
    fsGroup: undefined,
    storageLimit: undefined,
  });
  const placeOf = (podUid: string, volume = 'logs'): string => join(root, 'pods', podUid, volume, 'mount');
  const target = async (podUid: string, volume = 'logs'): Promise<Target> => {
    const path = placeOf(podUid, volume);
    await mkdir(join(path, '..'), { recursive: true });
    return { path, podUid, volume };
  };
  /** Of volumes, and of those that were removed. */
  const left = async (): Promise<readonly string[]> => [
    ...(await store.primaries()),
    ...(existsSync(join(folder, '.trash')) ? await readdir(join(folder, '.trash')) : []),
  ];
  const bytesOf = async (volume: VolumeRecord): Promise<number> => {
    const measure = await store.used(volume);
    return measure?.kind === 'bytes' ? measure.bytes : expect.fail(`${measure?.kind} is no size`);
  };
  /** As it is done once the Pod has ended. */
  const removeIdle = async (): Promise<void> => {
    for (const volume of await store.idle()) await store.removeIdle(volume);
    await store.emptied();
  };
  const dataOf = (uid: string, volume = 'logs'): string => join(folder, uid, volume, 'data');

  it('shows one directory to all pieces of a Pod, and another to those of another', async () => {
    for (const piece of ['u1', 'u1-shipper']) await store.publish(volumeOf('u1'), await target(piece));
    await store.publish(volumeOf('u2'), await target('u2'));
    await writeFile(join(placeOf('u1'), 'line'), 'hello');
    expect(await readFile(join(placeOf('u1-shipper'), 'line'), 'utf8')).to.equal('hello');
    expect(await readdir(placeOf('u2'))).to.deep.equal([]);
  });

  it('gives everybody the rights of an emptyDir, and nobody a way in beside the mounts', async () => {
    await store.publish(volumeOf('u1'), await target('u1'));
    expect((await stat(dataOf('u1'))).mode & 0o7777).to.equal(0o777);
    expect((await stat(join(folder, 'u1'))).mode & 0o7777).to.equal(0o700);
  });

  it('publishes twice what is published once', async () => {
    await store.publish(volumeOf('u1'), await target('u1'));
    await writeFile(join(placeOf('u1'), 'kept'), '');
    // What users did to the directory is theirs.
    await chmod(dataOf('u1'), 0o750);
    await store.publish(volumeOf('u1'), await target('u1'));
    expect(await readdir(placeOf('u1'))).to.deep.equal(['kept']);
    expect((await stat(dataOf('u1'))).mode & 0o777).to.equal(0o750);
    expect([...mounter.mounts.keys()]).to.deep.equal([placeOf('u1')]);
  });

  it('keeps the volume when its last piece is gone, until its Pod has ended, and unpublishes twice', async () => {
    for (const piece of ['u1', 'u1-shipper']) await store.publish(volumeOf('u1'), await target(piece));
    await writeFile(join(placeOf('u1'), 'line'), 'hello');
    for (let time = 0; time < 2; time++) await store.unpublish(await target('u1'));
    expect(existsSync(placeOf('u1'))).to.equal(false);
    expect(await readFile(join(placeOf('u1-shipper'), 'line'), 'utf8')).to.equal('hello');
    expect(await store.idle(), 'one mounts it').to.deep.equal([]);
    for (let time = 0; time < 2; time++) await store.unpublish(await target('u1-shipper'));
    expect(mounter.mounts.size).to.equal(0);
    await store.publish(volumeOf('u1'), await target('u1-late'));
    expect(await readFile(join(placeOf('u1-late'), 'line'), 'utf8')).to.equal('hello');
    await removeIdle();
    expect(await left(), 'it is mounted again').to.deep.equal(['u1']);
    await store.unpublish(await target('u1-late'));
    await removeIdle();
    expect(await left()).to.deep.equal([]);
  });

  it('unpublishes what it does not know', async () => {
    await store.unpublish(await target('stranger'));
    expect(await store.primaries()).to.deep.equal([]);
  });

  it('has a tmpfs of the size for one in memory, and makes it once', async () => {
    const memory = volumeOf('u1', { medium: 'memory', sizeLimit: '8Mi', bytes: 2 ** 23 });
    for (const piece of ['u1', 'u1-shipper']) await store.publish({ ...memory, fsGroup: 2000 }, await target(piece));
    expect(mounter.mounts.get(dataOf('u1'))).to.deep.equal({ bytes: 2 ** 23, gid: 2000 });
    const [{ sizeLimit } = expect.fail('it is not there')] = await store.volumes();
    expect(sizeLimit, 'its tmpfs has the limit').to.equal(undefined);
    for (const piece of ['u1', 'u1-shipper']) await store.unpublish(await target(piece));
    await removeIdle();
    expect(mounter.mounts.size).to.equal(0);
    expect(await left()).to.deep.equal([]);
  });

  it('makes the tmpfs anew after a reboot, when the mounts are gone', async () => {
    const memory = volumeOf('u1', { medium: 'memory' });
    await store.publish(memory, await target('u1'));
    await mounter.unmount(placeOf('u1'));
    mounter.mounts.clear();
    await new VolumeStore({ folder, mounter, log }).publish(memory, await target('u1'));
    expect([...mounter.mounts.keys()]).to.deep.equal([dataOf('u1'), placeOf('u1')]);
  });

  it('goes on where an earlier process stopped', async () => {
    mounter.fail(new Error('no more mounts'));
    await store.publish(volumeOf('u1'), await target('u1')).then(
      () => expect.fail('it was published'),
      (error: unknown) => {
        expect(String(error)).to.contain('no more mounts');
      },
    );
    mounter.fail();
    const next = new VolumeStore({ folder, mounter, log });
    await next.publish(volumeOf('u1'), await target('u1'));
    await next.unpublish(await target('u1'));
    await removeIdle();
    expect(await left()).to.deep.equal([]);
  });

  it('measures what has a limit', async () => {
    await store.publish(volumeOf('u1', { medium: 'disk', sizeLimit: '1Mi', bytes: 2 ** 20 }), await target('u1'));
    await store.publish(volumeOf('u1', { medium: 'disk' }, 'other'), await target('u1', 'other'));
    const pod = { namespace: 'shop', name: 'pod-u1', uid: 'u1' };
    expect(await store.volumes()).to.deep.equal([
      { name: 'logs', pod, sizeLimit: { text: '1Mi', bytes: 2 ** 20 } },
      { name: 'other', pod },
    ]);
    const storageLimit = { text: '2Gi', bytes: 2 ** 31 };
    await store.publish({ ...volumeOf('u1', undefined, 'other'), storageLimit }, await target('u1', 'other'));
    expect((await store.volumes())[1]).to.deep.equal({ name: 'other', pod, storageLimit });
    const [limited] = await store.volumes();
    await writeFile(join(placeOf('u1'), 'large'), Buffer.alloc(3 * 2 ** 20, 1));
    expect(await bytesOf(limited!)).to.be.within(3 * 2 ** 20, 4 * 2 ** 20);
  });

  it('measures and deletes trees that are deeper than a path may be long', async () => {
    await store.publish(volumeOf('u1', { medium: 'disk', sizeLimit: '1Mi', bytes: 2 ** 20 }), await target('u1'));
    const deep =
      'n=$(printf %0200d 0); for i in $(seq 40); do mkdir $n && cd -P $n; done; head -c 3000000 /dev/urandom > big';
    execFileSync('bash', ['-c', deep], { cwd: dataOf('u1') });
    expect(await bytesOf((await store.volumes())[0]!)).to.be.greaterThan(3_000_000);
    await store.unpublish(await target('u1'));
    await removeIdle();
    expect(await left()).to.deep.equal([]);
  });

  it('measures and deletes in little memory trees that are made to exhaust it', async function () {
    this.timeout(60_000);
    await store.publish(volumeOf('u1', { medium: 'disk', sizeLimit: '1Mi', bytes: 2 ** 20 }), await target('u1'));
    const wide = 'for i in $(seq 4); do mkdir d && seq 6000 | xargs touch && cd -P d; done';
    execFileSync('bash', ['-c', wide], { cwd: dataOf('u1') });
    const memory = 3_500_000;
    const [limited] = await store.volumes();
    const small = new VolumeStore({ folder, mounter, log, bounds: { memory, cpuSeconds: 30, ms: 60_000 } });
    expect(await small.used(limited!)).to.deep.equal({ kind: 'too large' });
    expect(await bytesOf(limited!), 'with the usual bounds').to.be.greaterThan(2 ** 18);
    await store.unpublish(await target('u1'));
    await removeIdle();
    expect(await left()).to.deep.equal([]);
  });

  it('passes over a limit that was cut short, until it is written again', async () => {
    const limited = volumeOf('u1', { medium: 'disk', sizeLimit: '1Mi', bytes: 2 ** 20 });
    await store.publish(limited, await target('u1'));
    await writeFile(join(folder, 'u1', 'logs', 'volume.json'), '');
    expect(await store.volumes()).to.deep.equal([]);
    await store.publish(limited, await target('u1'));
    expect(await store.volumes()).to.have.length(1);
  });

  it('removes many at once', async () => {
    const uids = Array.from({ length: 20 }, (_, at) => `u${at}`);
    await Promise.all(uids.map(async (uid) => store.publish(volumeOf(uid), await target(uid))));
    await Promise.all(uids.map(async (uid) => store.unpublish(await target(uid))));
    const volumes = await store.idle();
    await Promise.all(volumes.map((volume) => store.removeIdle(volume)));
    await store.emptied();
    expect(await left()).to.deep.equal([]);
  });

  it('collects what nobody unpublished, but nothing that is mounted', async () => {
    await store.publish(volumeOf('u1'), await target('u1'));
    await store.publish(volumeOf('u1', { medium: 'disk' }, 'other'), await target('u1', 'other'));
    await mounter.unmount(placeOf('u1', 'other'));
    await store.collect('u1', placeOf);
    await store.emptied();
    expect(await readdir(join(folder, 'u1'))).to.deep.equal(['logs']);
    await mounter.unmount(placeOf('u1'));
    await store.collect('u1', placeOf);
    await store.collect('u1', placeOf);
    await store.emptied();
    expect(await left()).to.deep.equal([]);
  });
});
