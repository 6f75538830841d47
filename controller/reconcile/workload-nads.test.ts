import { expect } from 'chai';
import { nadName, splitId, workloadKey } from '../api/identity.ts';
import type { SplitNetwork } from '../api/resources.ts';
import type { KubeClient, ObjectRef, Patch } from '../kube/client.ts';
import { ApiError } from '../kube/errors.ts';
import { FakeClock } from '../kube/fake-clock.ts';
import type { KubeObject, NetworkAttachmentDefinition, Resource } from '../kube/resources.ts';
import { Store } from '../kube/store.ts';
import { networkAttachmentDefinition } from '../policies/nad.ts';
import { split } from '../split/split.ts';
import type { Plan } from '../split/plan.ts';
import type { LivePod } from './piece-pod.ts';
import { WorkloadNads } from './workload-nads.ts';
import { ownerReference } from './workload-of.ts';

const workload = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: 'web', uid: 'd-1' };
const key = `shop/${workloadKey(workload)}`;
const network: SplitNetwork = {
  apiVersion: 'podsplit.io/v1alpha1',
  kind: 'SplitNetwork',
  metadata: { name: 'default' },
  spec: { ipv4: '198.18.0.0/15', blockSize: 8 },
};
const wanted: NetworkAttachmentDefinition = networkAttachmentDefinition({
  workload,
  install: 'node',
  network: { name: 'default', spec: network.spec },
  owner: ownerReference(workload),
});
const replicaSet: KubeObject = {
  apiVersion: 'apps/v1',
  kind: 'ReplicaSet',
  metadata: {
    name: 'web-1',
    namespace: 'shop',
    uid: 'r-1',
    ownerReferences: [{ apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'd-1', controller: true }],
  },
};

function plan(): Plan {
  const decided = split(
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'web-1-a', annotations: { 'podsplit.io/mode': 'split' } },
      spec: { containers: [{ name: 'web' }, { name: 'cache' }] },
    },
    { image: 'podsplit:test', maxContainers: 8, install: { otherwise: 'node', byNetwork: new Map() } },
  );
  if (decided.kind !== 'split') throw new Error(JSON.stringify(decided));
  return decided;
}

function primary(deleting = false): LivePod {
  const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'web-1', uid: 'r-1', controller: true };
  return {
    namespace: 'shop',
    name: 'web-1-a',
    uid: 'p-1',
    role: 'primary',
    split: splitId('p-1'),
    container: 'web',
    workload: workloadKey(workload),
    labels: {},
    raw: {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ownerReferences: [owner], ...(deleting ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}) },
    },
  };
}

describe('the network of a workload', () => {
  let clock: FakeClock;
  let nads: WorkloadNads;
  let cluster: Map<string, KubeObject>;
  let cache: Store<NetworkAttachmentDefinition>;
  let said: string[];
  let writes: string[];
  const state = { workload, network, plans: [plan()], labels: [] };

  beforeEach(() => {
    clock = new FakeClock();
    cluster = new Map([
      ['ReplicaSet/web-1', replicaSet],
      [`NetworkAttachmentDefinition/${wanted.metadata.name}`, wanted],
    ]);
    cache = new Store({});
    said = [];
    writes = [];
    nads = new WorkloadNads({
      client: client(),
      world: { nads: { store: cache } },
      clock,
      events: {
        event: (_target, type, reason, message) => said.push(`${type} ${reason} ${message.split('. ')[0] ?? ''}`),
      },
    });
  });

  /** An API server of three calls. */
  function client(): Pick<KubeClient, 'get' | 'create' | 'patch'> {
    return {
      get: <T extends KubeObject>({ kind }: Resource<T>, { name }: ObjectRef) => {
        const found = cluster.get(`${kind}/${name}`);
        if (found !== undefined) return Promise.resolve(found as T);
        const failure = { code: 'NotFound', message: 'no', path: 'GET /', status: 404, maybeHappened: false } as const;
        return Promise.reject(new ApiError(failure));
      },
      create: <T extends KubeObject>({ kind }: Resource<T>, object: NoInfer<T>) => {
        writes.push(`create ${object.metadata.name}`);
        cluster.set(`${kind}/${object.metadata.name}`, object);
        return Promise.resolve(object);
      },
      patch: <T extends KubeObject>({ kind }: Resource<T>, { name }: ObjectRef, { body }: Patch) => {
        writes.push(`patch ${name}`);
        const patched = Object.assign({}, cluster.get(`${kind}/${name}`), body) as T;
        cluster.set(`${kind}/${name}`, patched);
        return Promise.resolve(patched);
      },
    };
  }

  const { name } = wanted.metadata;
  const deleteNad = () => cluster.delete(`NetworkAttachmentDefinition/${name}`);

  it('is named for the workload', () => {
    expect(name).to.equal(nadName(workload, 'node'));
  });

  it('is left alone while it is as it should be', async () => {
    expect(await nads.keep(key, state, [primary()])).to.equal(0);
    cache.set(wanted);
    deleteNad();
    // The cache is late: it tells of the deletion itself.
    expect(await nads.keep(key, state, [primary()])).to.equal(0);
    expect(writes).to.deep.equal([]);
  });

  it('is made for a Pod that is to be wired, at once and without a word', async () => {
    deleteNad();
    await nads.make(state);
    expect(writes).to.deep.equal([`create ${name}`]);
    expect(said).to.deep.equal([]);
  });

  it('is made again when somebody deleted it, and that is said, once', async () => {
    deleteNad();
    const wait = await nads.keep(key, state, [primary()]);
    expect(wait).to.be.greaterThan(0).and.at.most(10_000);
    expect(writes).to.deep.equal([]);
    await clock.advance(wait);
    for (let times = 0; times < 2; times++) expect(await nads.keep(key, state, [primary()])).to.equal(0);
    expect(writes).to.deep.equal([`create ${name}`]);
    expect(said).to.deep.equal(['Warning NetworkRepaired It had been deleted and is made again']);

    // The next time is another time.
    deleteNad();
    expect(await nads.keep(key, state, [primary()])).to.equal(wait);
  });

  it('is looked for once more when a reconcile comes early', async () => {
    deleteNad();
    const wait = await nads.keep(key, state, [primary()]);
    await clock.advance(wait - 1000);
    expect(await nads.keep(key, state, [primary()])).to.equal(1000);
    expect(writes).to.deep.equal([]);
  });

  it('is not made again when the workload was deleted: its Pods are ending a moment later', async () => {
    deleteNad();
    const wait = await nads.keep(key, state, [primary()]);
    await clock.advance(wait);
    expect(await nads.keep(key, state, [primary(true)])).to.equal(0);
    nads.forget(key);
    expect({ writes, said }).to.deep.equal({ writes: [], said: [] });
  });

  it('is not made again when what was between the workload and its Pods is gone, though they are there yet', async () => {
    deleteNad();
    const wait = await nads.keep(key, state, [primary()]);
    cluster.delete('ReplicaSet/web-1');
    await clock.advance(wait);
    expect(await nads.keep(key, state, [primary()])).to.equal(0);
    expect({ writes, said }).to.deep.equal({ writes: [], said: [] });
  });

  it('is left as it is when the workload was deleted and its Pods were not: it lost its owner as they did', async () => {
    const { ownerReferences: _owners, ...metadata } = wanted.metadata;
    cluster.set(`NetworkAttachmentDefinition/${name}`, { ...wanted, metadata });
    const { ownerReferences: _above, ...orphaned } = replicaSet.metadata;
    cluster.set('ReplicaSet/web-1', { ...replicaSet, metadata: orphaned });
    expect(await nads.keep(key, state, [primary()])).to.equal(0);
    expect({ writes, said }).to.deep.equal({ writes: [], said: [] });
  });

  it('is set right at once when somebody changed it', async () => {
    cluster.set(`NetworkAttachmentDefinition/${name}`, { ...wanted, spec: { config: '{}' } } as KubeObject);
    expect(await nads.keep(key, state, [primary()])).to.equal(0);
    expect(writes).to.deep.equal([`patch ${name}`]);
    expect(said).to.deep.equal(['Warning NetworkRepaired spec.config had been changed and is set right again']);
  });
});
