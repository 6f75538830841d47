import { sleep, systemClock } from '../kube/clock.ts';
import { EventRecorder } from '../kube/events.ts';
import { connectInCluster } from '../kube/in-cluster.ts';
import { runProgram, untilSignalled } from '../program.ts';
import { Rounds } from '../agent/rounds.ts';
import { startHealthServer } from '../observability/health.ts';
import type { Logger } from '../observability/log.ts';
import { version } from '../version.ts';
import { collectVolumes, removeIdleVolumes } from './collect.ts';
import { csiServices } from './driver.ts';
import { serveOn } from './grpc-server.ts';
import { systemMounter } from './mounter.ts';
import { Registration } from './registration.ts';
import { SizeLimits } from './size-limits.ts';
import { verifyVolume } from './verify-volume.ts';
import { VolumeStore } from './volume-store.ts';
import { readVolumesConfig, type VolumesConfig } from './volumes-config.ts';

const flushMs = 2_000;
/** Between a Pod's last unmount and the end of its volumes, if the API server did not say at once that it has ended. */
const idleMs = 10_000;

/** The volume driver of a node: mounts into pieces what their containers share. Returns the exit code. */
export function runVolumes(environment: NodeJS.ProcessEnv): Promise<number> {
  return runProgram('the volume driver', environment, readVolumesConfig, run);
}

async function run(config: VolumesConfig, log: Logger): Promise<number> {
  const { node, podsFolder, folder, instance } = config;
  const client = connectInCluster(version);
  log.info({ version, node, server: client.server }, 'starting');
  const common = { clock: systemClock, log };
  const events = new EventRecorder({ client, component: 'podsplit-volumes', instance, ...common });
  const store = new VolumeStore({ folder, mounter: systemMounter, log });

  const removeIdle = (): Promise<void> => removeIdleVolumes({ store, client });
  const removals = new Rounds({ name: 'removals', everyMs: idleMs, work: removeIdle, ...common });
  const driver = await serveOn(
    config.socket,
    csiServices({
      node,
      podsFolder,
      store,
      verify: (pod, volume) => verifyVolume(pod, volume, node, client),
      unpublished: () => {
        removals.soon();
      },
    }),
    log,
  );
  const registration = new Registration(config.socket, log);
  // Last: from now on the kubelet calls.
  const registrar = await serveOn(config.registrationSocket, [registration.service], log);

  const collect = (): Promise<void> => collectVolumes({ store, client, node, podsFolder });
  const collections = new Rounds({ name: 'collect', everyMs: config.collectMs, work: collect, ...common });
  const limits = new SizeLimits({ store, client, events, ...common });
  const sizes = new Rounds({ name: 'sizes', everyMs: config.sizesMs, work: () => limits.enforce(), ...common });
  removals.start();
  removals.soon();
  collections.start();
  collections.soon();
  sizes.start();
  const health = await startHealthServer({
    livez: [removals.check, collections.check, sizes.check],
    readyz: [registration.check],
    port: config.port,
    host: '127.0.0.1',
  });

  log.info({ signal: await untilSignalled() }, 'stopping');
  // The kubelet forgets the driver when its socket goes. Mounts stay: the next driver finds them.
  await registrar.close();
  await Promise.all([driver.close(), health.close(), removals.stop(), collections.stop(), sizes.stop()]);
  await Promise.race([events.flush(), sleep(systemClock, flushMs)]);
  client.close();
  log.info('stopped');
  return 0;
}
