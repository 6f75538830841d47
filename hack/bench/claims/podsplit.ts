// podsplit's allocator as its controller runs it: over the watch caches, with as many workers, with the live reads that
// follow a claim, and with the rights of its ServiceAccount. The rest of the wiring is left out, and so is the controller.

import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { sameJson } from '../../../controller/api/same-json.ts';
import { systemClock } from '../../../controller/kube/clock.ts';
import { connect } from '../../../controller/kube/connect.ts';
import { resourcePath, resources } from '../../../controller/kube/resources.ts';
import { silentLogger } from '../../../controller/observability/log.ts';
import { AddressBook, type AddressesByContainer } from '../../../controller/reconcile/address-book.ts';
import { World } from '../../../controller/reconcile/world.ts';
import { until } from '../../cluster/run.ts';
import type { SimulatedCluster } from '../../simulation/cluster.ts';
import { controllerAccount } from '../../simulation/podsplit.ts';
import { userName, writeKubeconfig } from '../../simulation/service-account.ts';
import { sideBySide } from '../side-by-side.ts';
import type { Allocator, Claimed, WiredPod } from './allocator.ts';

/** The controller's default (PODSPLIT_WORKERS). */
const workers = 16;
/** Of the claim: before the primary's gate is lifted, and before the siblings' (docs/decisions/0004-address-claims.md). */
const liveReads = 2;
/** The controller tries again for ever; a benchmark does not. */
const attempts = 10;

export interface OwnAllocator extends Allocator {
  stop(): Promise<void>;
}

/** The controller that made the Pods must be gone: it would claim as well. */
export async function podsplitAllocator(cluster: SimulatedCluster): Promise<OwnAllocator> {
  const kubeconfig = join(cluster.folder, 'allocator.kubeconfig');
  await writeKubeconfig(kubeconfig, controllerAccount, cluster);
  const client = connect({ kubeconfig });
  const world = new World({ client, clock: systemClock, log: silentLogger });
  const stop = async (): Promise<void> => {
    await world.stop();
    client.close();
  };
  try {
    await world.start();
  } catch (error) {
    await stop();
    throw error;
  }

  return {
    name: 'podsplit',
    user: userName(controllerAccount),
    async claim(pods) {
      const book = new AddressBook(client, world);
      const claimed: Claimed[] = [];
      await sideBySide(workers, pods, async (pod) => {
        const started = performance.now();
        const addresses = await claimOne(book, world, pod);
        const afterMs = performance.now() - started;
        claimed.push(...Object.values(addresses).map(({ ipv4 = '' }) => ({ address: ipv4, afterMs })));
      });
      return claimed;
    },
    async clear() {
      await cluster.client.raw({ method: 'DELETE', path: resourcePath(resources.addressBlocks, {}) });
      await until('the end of all address blocks', 60, () => Promise.resolve(world.blocks.store.size === 0));
    },
    stop,
  };
}

async function claimOne(book: AddressBook, world: World, pod: WiredPod): Promise<AddressesByContainer> {
  const { primary, pieces, workload } = pod;
  const network = world.networks.store.get('default');
  if (network === undefined) throw new Error('there is no SplitNetwork default');
  const containers = pieces.map(({ container }) => container);
  for (let attempt = 1; ; attempt++) {
    const result = await book.claim({ network, workload, pod: primary, containers });
    if (result.kind === 'claimed') {
      for (let read = 0; read < liveReads; read++) {
        if (!sameJson(await book.held(primary, result.block), result.addresses)) {
          throw new Error(`${primary.name} does not hold what it has claimed`);
        }
      }
      return result.addresses;
    }
    const { reason, message, retryMs } = result.obstacle;
    // As the controller does: the Pod comes again.
    if (reason !== 'ClaimReleasing' || retryMs === undefined || attempt === attempts) {
      throw new Error(`${reason}: ${message}`);
    }
    await pause(retryMs);
  }
}
