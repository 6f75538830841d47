import { expect } from 'chai';
import type { KubeClient } from '../../controller/kube/client.ts';
import { connect } from '../../controller/kube/connect.ts';
import type { ApiError } from '../../controller/kube/errors.ts';
import type { ConfigMap } from '../../controller/kube/resources.ts';
import { resources } from '../../controller/kube/resources.ts';
import type { TestNamespace } from './cluster.ts';
import { configMap, eventually, kubeconfig, testNamespace } from './cluster.ts';
import { CuttingProxy } from './cutting-proxy.ts';

const { configMaps } = resources;

async function failure(promise: Promise<unknown>): Promise<ApiError> {
  return promise.then(
    () => {
      throw new Error('did not fail');
    },
    (error: unknown) => error as ApiError,
  );
}

describe('client', () => {
  let test: TestNamespace;
  let client: KubeClient;
  let namespace: string;

  before(async () => {
    test = await testNamespace();
    ({ client, namespace } = test);
  });

  after(() => test.close());

  it('creates, reads, replaces and deletes', async () => {
    const created = await client.create(configMaps, configMap(namespace, 'life', { data: { a: '1' } }));
    expect(created.metadata.uid).to.be.a('string');
    expect(await client.get(configMaps, created.metadata)).to.deep.equal(created);
    const replaced = await client.replace(configMaps, { ...created, data: { a: '2' } });
    expect(replaced.data).to.deep.equal({ a: '2' });
    await client.delete(configMaps, created.metadata);
    expect(await failure(client.get(configMaps, created.metadata))).to.include({ code: 'NotFound', status: 404 });
  });

  it('patches in each way, and is named as the manager of its fields', async () => {
    const ref = { namespace, name: 'patched' };
    await client.create(configMaps, configMap(namespace, 'patched', { data: { a: '1' } }));
    await client.patch(configMaps, ref, { type: 'merge', body: { data: { b: '2' } } });
    await client.patch(configMaps, ref, { type: 'json', body: [{ op: 'add', path: '/data/c', value: '3' }] });
    await client.patch(configMaps, ref, { type: 'strategic', body: { metadata: { labels: { d: '4' } } } });
    const body = { apiVersion: 'v1', kind: 'ConfigMap', data: { a: 'mine' } };
    const conflict = await failure(
      client.patch(configMaps, ref, { type: 'apply', body }, { fieldManager: 'podsplit-other' }),
    );
    expect(conflict.code).to.equal('Conflict');
    const applied = await client.patch(
      configMaps,
      ref,
      { type: 'apply', body, force: true },
      { fieldManager: 'podsplit-other' },
    );
    expect(applied.data).to.deep.equal({ a: 'mine', b: '2', c: '3' });
    expect(applied.metadata.labels).to.deep.equal({ d: '4' });
    const { managedFields } = applied.metadata as { managedFields?: { manager: string }[] };
    expect(managedFields?.map(({ manager }) => manager)).to.include.members(['podsplit', 'podsplit-other']);
  });

  it('keeps fields of objects that no class knows', async () => {
    const data = { apiVersion: 'v1', kind: 'Pod', metadata: { namespace, name: 'raw' } };
    const spec = { containers: [{ name: 'a', image: 'a' }], schedulingGates: [{ name: 'podsplit.io/test' }] };
    const created = await client.create(resources.pods, { ...data, apiVersion: 'v1', kind: 'Pod', spec });
    expect(created.spec?.schedulingGates).to.deep.equal(spec.schedulingGates);
    const patched = await client.patch(
      resources.pods,
      created.metadata,
      { type: 'strategic', body: { status: { conditions: [{ type: 'podsplit.io/test', status: 'True' }] } } },
      { subresource: 'status' },
    );
    expect(patched.status?.conditions?.map(({ type }) => type)).to.include.members([
      'PodScheduled',
      'podsplit.io/test',
    ]);
    await client.delete(resources.pods, created.metadata, { gracePeriodSeconds: 0 });
  });

  it('lists in pages what one answer would give whole, with apiVersion and kind on each item', async () => {
    const names = Array.from({ length: 25 }, (_, index) => `page-${String(index).padStart(2, '0')}`);
    const metadata = { name: '', labels: { set: 'pages' } };
    await Promise.all(names.map((name) => client.create(configMaps, configMap(namespace, name, { metadata }))));
    const selection = { namespace, labelSelector: 'set=pages' };
    const sizes: number[] = [];
    for await (const page of client.pages(configMaps, { ...selection, pageSize: 10 })) sizes.push(page.items.length);
    expect(sizes).to.deep.equal([10, 10, 5]);
    const list = await client.list(configMaps, { ...selection, pageSize: 10 });
    expect(list.items.map((item) => item.metadata.name)).to.deep.equal(names);
    expect(new Set(list.items.map(({ apiVersion, kind }) => `${apiVersion} ${kind}`))).to.deep.equal(
      new Set(['v1 ConfigMap']),
    );
    expect(Number(list.resourceVersion)).to.be.above(0);
    const one = await client.list(configMaps, { namespace, fieldSelector: 'metadata.name=page-03' });
    expect(one.items).to.have.length(1);
  });

  it('deletes only the object that was meant', async () => {
    const created = await client.create(configMaps, configMap(namespace, 'guarded'));
    const other = { uid: '00000000-0000-0000-0000-000000000000' };
    expect((await failure(client.delete(configMaps, created.metadata, { preconditions: other }))).code).to.equal(
      'Conflict',
    );
    const { uid = '', resourceVersion = '' } = created.metadata;
    await client.delete(configMaps, created.metadata, { preconditions: { uid, resourceVersion } });
  });

  it('writes nothing in a dry run', async () => {
    await client.create(configMaps, configMap(namespace, 'dry'), { dryRun: true });
    expect((await failure(client.get(configMaps, { namespace, name: 'dry' }))).code).to.equal('NotFound');
  });

  describe('says by a stable code what went wrong', () => {
    it('AlreadyExists and Conflict, which share a status', async () => {
      const created = await client.create(configMaps, configMap(namespace, 'twice'));
      const again = await failure(client.create(configMaps, configMap(namespace, 'twice')));
      expect(again).to.include({ code: 'AlreadyExists', status: 409, maybeHappened: false });
      await client.replace(configMaps, { ...created, data: { a: '1' } });
      const stale = await failure(client.replace(configMaps, { ...created, data: { a: '2' } }));
      expect(stale).to.include({ code: 'Conflict', status: 409, maybeHappened: false });
      expect(stale.message).to.include('PUT /api/v1/namespaces/');
    });

    it('Invalid, with the field', async () => {
      const error = await failure(client.create(configMaps, configMap(namespace, 'No_Name')));
      expect(error).to.include({ code: 'Invalid', status: 422, reason: 'Invalid' });
      expect(error.details.causes?.[0]?.field).to.equal('metadata.name');
    });

    it('Forbidden, for the user it speaks for', async () => {
      const nobody = connect({ kubeconfig, as: 'system:serviceaccount:default:nobody' });
      expect(await failure(nobody.list(resources.secrets, { namespace }))).to.include({
        code: 'Forbidden',
        status: 403,
      });
      nobody.close();
    });

    it('Aborted, at once', async () => {
      const abort = new AbortController();
      const listing = failure(client.list(configMaps, { signal: abort.signal }));
      abort.abort();
      expect((await listing).code).to.equal('Aborted');
      expect((await failure(client.list(configMaps, { signal: abort.signal }))).code).to.equal('Aborted');
    });
  });

  describe('over a connection that fails', () => {
    let proxy: CuttingProxy;
    let proxied: KubeClient;

    beforeEach(async () => {
      proxy = await CuttingProxy.start(client.server);
      proxied = connect({ kubeconfig, server: proxy.url });
    });

    afterEach(async () => {
      proxied.close();
      await proxy.close();
    });

    it('Unreachable: nothing of a write can have happened', async () => {
      proxy.mode = 'refuse';
      const error = await failure(proxied.create(configMaps, configMap(namespace, 'never')));
      expect(error).to.include({ code: 'Unreachable', status: 0, maybeHappened: false });
    });

    it('Timeout: nobody knows of a write, and a read is only late', async () => {
      await proxied.get(resources.namespaces, { name: namespace });
      proxy.mode = 'silent';
      const options = { timeoutMs: 300 };
      const write = await failure(proxied.create(configMaps, configMap(namespace, 'silent'), options));
      expect(write).to.include({ code: 'Timeout', maybeHappened: true });
      const read = await failure(proxied.get(resources.namespaces, { name: namespace }, options));
      expect(read).to.include({ code: 'Timeout', maybeHappened: false });
    });

    it('a write whose answer was cut may have happened, and here it did', async () => {
      await proxied.get(resources.namespaces, { name: namespace });
      proxy.mode = 'cut-answers';
      const error = await failure(proxied.create(configMaps, configMap(namespace, 'cut')));
      expect(error).to.include({ code: 'Unreachable', maybeHappened: true });
      expect((await client.get(configMaps, { namespace, name: 'cut' })).metadata.name).to.equal('cut');
    });

    it('a read survives that its kept-alive connection was cut', async () => {
      await proxied.get(resources.namespaces, { name: namespace });
      proxy.cut();
      expect((await proxied.get(resources.namespaces, { name: namespace })).metadata.name).to.equal(namespace);
    });

    it('keeps connections, and lets them go on close', async () => {
      for (let round = 0; round < 5; round++) await proxied.get(resources.namespaces, { name: namespace });
      expect(proxy.connections).to.equal(1);
      proxied.close();
      await eventually('no connection is left', () => proxy.connections === 0);
    });
  });

  it('watches what happens, as whole objects also where they come in many chunks', async () => {
    const { resourceVersion } = await client.list(configMaps, { namespace });
    const abort = new AbortController();
    const seen: string[] = [];
    const large = 'ü'.repeat(400_000);
    const watching = (async () => {
      const options = { namespace, resourceVersion, timeoutSeconds: 60, signal: abort.signal };
      for await (const event of client.watch(configMaps, options)) {
        if (event.type === 'BOOKMARK' || event.type === 'ERROR') continue;
        const { metadata, data }: ConfigMap = event.object;
        seen.push(`${event.type} ${metadata.name} ${data?.['x'] === large ? 'whole' : ''}`);
      }
    })();
    const created = await client.create(configMaps, configMap(namespace, 'watched', { data: { x: large } }));
    await client.patch(configMaps, created.metadata, { type: 'merge', body: { metadata: { labels: { a: 'b' } } } });
    await client.delete(configMaps, created.metadata);
    await eventually('three events came', () => seen.length === 3);
    abort.abort();
    expect((await failure(watching)).code).to.equal('Aborted');
    expect(seen).to.deep.equal(['ADDED watched whole', 'MODIFIED watched whole', 'DELETED watched whole']);
  });
});
