import { expect } from 'chai';
import type { KubeClient } from '../../controller/kube/client.ts';
import { connect } from '../../controller/kube/connect.ts';
import { systemClock } from '../../controller/kube/clock.ts';
import type { ReflectorHooks } from '../../controller/kube/reflector.ts';
import { Reflector } from '../../controller/kube/reflector.ts';
import type { ConfigMap } from '../../controller/kube/resources.ts';
import { ApiError } from '../../controller/kube/errors.ts';
import { resources } from '../../controller/kube/resources.ts';
import { byLabel } from '../../controller/kube/store.ts';
import { silentLogger } from '../../controller/observability/log.ts';
import type { TestNamespace } from './cluster.ts';
import { configMap, eventually, kubeconfig, testNamespace } from './cluster.ts';
import { CuttingProxy } from './cutting-proxy.ts';

const { configMaps } = resources;

interface Watched {
  readonly reflector: Reflector<ConfigMap>;
  readonly changes: string[];
  readonly failures: string[];
  readonly lists: number[];
}

describe('Reflector', () => {
  let test: TestNamespace;
  let client: KubeClient;
  let namespace: string;
  let proxy: CuttingProxy;
  let proxied: KubeClient;
  const started: Reflector<ConfigMap>[] = [];

  beforeEach(async () => {
    test = await testNamespace();
    ({ client, namespace } = test);
    proxy = await CuttingProxy.start(client.server);
    proxied = connect({ kubeconfig, server: proxy.url });
  });

  afterEach(async () => {
    await Promise.all(started.splice(0).map((reflector) => reflector.stop()));
    proxied.close();
    await proxy.close();
    await test.close();
  });

  function watch(through: Pick<KubeClient, 'pages' | 'watch'> = proxied, hooks: ReflectorHooks = {}): Watched {
    const failures: string[] = [];
    const lists: number[] = [];
    const changes: string[] = [];
    const reflector = new Reflector<ConfigMap>({
      client: through,
      resource: configMaps,
      namespace,
      // kube-controller-manager writes one of its own into each namespace.
      fieldSelector: 'metadata.name!=kube-root-ca.crt',
      indexes: { app: byLabel('app') },
      clock: systemClock,
      log: silentLogger,
      hooks: {
        failed: (code) => failures.push(code),
        listed: (objects) => lists.push(objects),
        ...hooks,
      },
    });
    reflector.onChange(({ kind, object }) => changes.push(`${kind} ${object.metadata.name}`));
    reflector.start();
    started.push(reflector);
    return { reflector, changes, failures, lists };
  }

  async function create(name: string, more: Partial<ConfigMap> = {}): Promise<ConfigMap> {
    return client.create(configMaps, configMap(namespace, name, more));
  }

  it('keeps a store equal to the cluster', async () => {
    await create('before', { metadata: { name: '', labels: { app: 'web' } } });
    const { reflector, changes, lists } = watch();
    await reflector.whenSynced();
    expect(reflector.hasSynced()).to.equal(true);
    expect(changes).to.deep.equal(['added before']);
    expect(reflector.store.get(`${namespace}/before`)?.metadata).not.to.have.property('managedFields');
    const after = await create('after', { metadata: { name: '', labels: { app: 'web' } } });
    await client.patch(configMaps, after.metadata, { type: 'merge', body: { metadata: { labels: { app: 'db' } } } });
    await client.delete(configMaps, { namespace, name: 'before' });
    await eventually('four changes came', () => changes.length === 4);
    expect(changes.slice(1)).to.deep.equal(['added after', 'updated after', 'deleted before']);
    expect(reflector.store.byIndex('app', 'web')).to.deep.equal([]);
    expect(reflector.store.byIndex('app', 'db').map(({ metadata }) => metadata.name)).to.deep.equal(['after']);
    expect(reflector.status()).to.deep.include({ phase: 'watching', synced: true, lastError: undefined });
    expect(lists).to.deep.equal([1]);
  });

  it('goes on where it was after its connection was cut, and misses and repeats nothing', async () => {
    const { reflector, changes, failures, lists } = watch();
    await reflector.whenSynced();
    await create('first');
    await eventually('the first came', () => changes.length === 1);
    proxy.mode = 'refuse';
    proxy.cut();
    await create('second');
    await client.delete(configMaps, { namespace, name: 'first' });
    await eventually('it backs off', () => reflector.status().phase === 'backing-off');
    expect(reflector.status().lastError).to.match(/cut|reset|socket|connect/i);
    proxy.mode = 'forward';
    await eventually('all came', () => changes.length === 3);
    expect(changes).to.deep.equal(['added first', 'added second', 'deleted first']);
    expect(failures).to.include('Unreachable');
    expect(lists, 'no second list was needed').to.have.length(1);
  });

  it('survives being cut again and again', async () => {
    const { reflector } = watch();
    await reflector.whenSynced();
    for (let round = 0; round < 5; round++) {
      proxy.cut();
      await create(`round-${round}`);
      await eventually(`round ${round}`, () => reflector.store.size === round + 1);
    }
  }).timeout(300_000);

  it('lists again when its version is gone, and reports another object of the same name as another', async () => {
    await create('kept');
    const old = await create('replaced');
    let stale = true;
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const through: Pick<KubeClient, 'pages' | 'watch'> = {
      pages: (...args) => client.pages(...args),
      // What an API server says after etcd was compacted: nobody can wait for that here.
      async *watch(resource, options) {
        if (stale) {
          stale = false;
          await gate;
          const message = 'too old resource version';
          yield {
            type: 'ERROR',
            error: new ApiError({ code: 'Gone', status: 410, message, path: '', maybeHappened: false }),
          };
        }
        yield* client.watch(resource, options);
      },
    };
    const { reflector, changes, failures, lists } = watch(through);
    const uids: (string | undefined)[] = [];
    reflector.onChange(({ object }) => uids.push(object.metadata.uid));
    await reflector.whenSynced();
    await client.delete(configMaps, old.metadata);
    const renewed = await create('replaced');
    release();
    await eventually('it listed again', () => lists.length === 2);
    expect(failures).to.deep.equal(['Gone']);
    expect(changes).to.deep.equal(['added kept', 'added replaced', 'deleted replaced', 'added replaced']);
    expect(uids.slice(-2)).to.deep.equal([old.metadata.uid, renewed.metadata.uid]);
  });

  it('is not killed by a handler that throws, and the next handler still hears', async () => {
    let thrown = 0;
    const { reflector, changes } = watch(client, { handlerFailed: () => thrown++ });
    reflector.onChange(() => {
      throw new Error('a mistake');
    });
    const later: string[] = [];
    reflector.onChange(({ object }) => later.push(object.metadata.name));
    await reflector.whenSynced();
    await create('one');
    await create('two');
    await eventually('both came', () => later.length === 2);
    expect(thrown).to.equal(2);
    expect(changes).to.have.length(2);
  });

  it('says that it never synced while the API server cannot be reached, and comes by itself', async () => {
    proxy.mode = 'refuse';
    const { reflector } = watch();
    await eventually('it backs off', () => reflector.status().phase === 'backing-off');
    expect(reflector.status()).to.deep.include({ synced: false, silentMs: undefined });
    proxy.mode = 'forward';
    await reflector.whenSynced();
    await eventually('it watches', () => reflector.status().phase === 'watching');
    expect(reflector.status().silentMs).to.be.a('number');
  });

  it('stops at once, in whatever phase, and leaves no connection', async () => {
    const { reflector } = watch();
    await reflector.whenSynced();
    await eventually('it watches', () => reflector.status().phase === 'watching');
    await reflector.stop();
    expect(reflector.status().phase).to.equal('stopped');
    proxied.close();
    await eventually('no connection is left', () => proxy.connections === 0);
    proxy.mode = 'refuse';
    const failing = watch();
    await eventually('it backs off', () => failing.reflector.status().phase === 'backing-off');
    await failing.reflector.stop();
    await failing.reflector.whenSynced();
    expect(failing.reflector.hasSynced()).to.equal(false);
  });
});
