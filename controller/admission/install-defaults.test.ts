import { setImmediate } from 'node:timers/promises';
import { expect } from 'chai';
import type { SplitNetwork, SplitNetworkSpec } from '../api/resources.ts';
import type { KubeClient, Page, WatchEvent } from '../kube/client.ts';
import { FakeClock } from '../kube/fake-clock.ts';
import type { KubeObject } from '../kube/resources.ts';
import { silentLogger } from '../observability/log.ts';
import { WatchedInstallDefaults } from './install-defaults.ts';

function network(name: string, spec: Partial<SplitNetworkSpec>, resourceVersion: string): SplitNetwork {
  const metadata = { name, uid: name, resourceVersion };
  return { apiVersion: 'podsplit.io/v1alpha1', kind: 'SplitNetwork', metadata, spec: { blockSize: 8, ...spec } };
}

/** What an API server says of SplitNetworks: one list, then these events, one when each is asked for. */
function serverOf(listed: readonly SplitNetwork[], events: readonly Promise<SplitNetwork>[]) {
  return {
    async *pages<T extends KubeObject>() {
      await setImmediate();
      yield { items: listed, resourceVersion: '1' } as unknown as Page<T>;
    },
    async *watch<T extends KubeObject>() {
      for (const event of events) yield { type: 'MODIFIED', object: await event } as unknown as WatchEvent<T>;
      await new Promise(() => undefined);
    },
  } satisfies Pick<KubeClient, 'pages' | 'watch'>;
}

describe('install modes that SplitNetworks say', () => {
  it('are known before the replica is ready, and follow the objects', async () => {
    const changed = Promise.withResolvers<SplitNetwork>();
    const limits = { cpu: '1', memory: '64Mi' };
    const listed = [network('default', { resources: { limits } }, '1'), network('quiet', { install: 'init' }, '1')];
    const defaults = new WatchedInstallDefaults({
      client: serverOf(listed, [changed.promise]),
      clock: new FakeClock(),
      log: silentLogger,
      otherwise: 'node',
    });
    expect(defaults.check.check()).to.contain('not listed yet');

    defaults.watch.start();
    await defaults.watch.whenSynced();
    expect(defaults.check.check()).to.equal(undefined);
    expect(defaults.current()).to.deep.equal({ otherwise: 'node', byNetwork: new Map([['quiet', 'init']]) });
    expect(defaults.resourceDefaults()).to.deep.equal(new Map([['default', { requests: {}, limits }]]));

    changed.resolve(network('default', { install: 'init' }, '2'));
    while (defaults.current().byNetwork.size < 2) await setImmediate();
    expect(defaults.current().byNetwork.get('default')).to.equal('init');
  });
});
