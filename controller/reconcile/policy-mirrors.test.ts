import { expect } from 'chai';
import type { INetworkPolicySpec } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicySpec';
import type { ObjectRef, Patch } from '../kube/client.ts';
import { ApiError } from '../kube/errors.ts';
import { FakeClock } from '../kube/fake-clock.ts';
import type { KubeObject, NetworkPolicy, Pod, Resource } from '../kube/resources.ts';
import { objectKey, Store } from '../kube/store.ts';
import { silentLogger } from '../observability/log.ts';
import { readPod, type LivePod } from './piece-pod.ts';
import { policyIndexes } from './policy-indexes.ts';
import { inexactPolicies, PolicyMirrors } from './policy-mirrors.ts';

describe('mirrors of policies for peers', () => {
  let clock: FakeClock;
  let pods: Store<Pod>;
  let policies: Store<NetworkPolicy>;
  let said: string[];
  let writes: string[];
  let refusal: ApiError | undefined;
  let mirrors: PolicyMirrors;

  beforeEach(() => {
    clock = new FakeClock();
    pods = new Store<Pod>({});
    policies = new Store<NetworkPolicy>(policyIndexes);
    said = [];
    writes = [];
    refusal = undefined;
    mirrors = new PolicyMirrors({
      world: { pods: { store: pods }, networkPolicies: { store: policies } },
      clock,
      log: silentLogger,
      events: { event: (target, _type, reason, message) => said.push(`${target.name}: ${reason}: ${message}`) },
      client: {
        create: <T extends KubeObject>(_resource: Resource<T>, object: NoInfer<T>): Promise<T> => {
          if (refusal !== undefined) return Promise.reject(refusal);
          writes.push(`create ${objectKey(object)}`);
          const made = { ...object, metadata: { ...object.metadata, uid: `uid-${object.metadata.name}` } };
          policies.set(made as unknown as NetworkPolicy);
          return Promise.resolve(made);
        },
        patch: <T extends KubeObject>(_resource: Resource<T>, ref: ObjectRef, patch: Patch): Promise<T> => {
          const key = `${ref.namespace ?? ''}/${ref.name}`;
          writes.push(`patch ${key}`);
          const found = policies.get(key)!;
          const [first] = patch.body as readonly { readonly value: INetworkPolicySpec }[];
          const changed = { ...found, spec: first!.value };
          policies.set(changed);
          return Promise.resolve(changed as unknown as T);
        },
        delete: (_resource: Resource, ref: ObjectRef): Promise<void> => {
          writes.push(`delete ${ref.namespace ?? ''}/${ref.name}`);
          policies.delete(`${ref.namespace ?? ''}/${ref.name}`);
          return Promise.resolve();
        },
      },
    });
  });

  it('are made before a Pod may start, in whatever namespace the policy is', async () => {
    policies.set(letsIn('bank', 'clients', { podSelector: { matchLabels: { app: 'web' } }, namespaceSelector: {} }));
    policies.set(letsIn('shop', 'others', { podSelector: { matchLabels: { app: 'db' } } }));
    await mirrors.ensure(arrive('web'));
    expect(writes).to.have.lengthOf(1);
    expect(writes[0]).to.match(/^create bank\/podsplit-peers-clients-/);
    await mirrors.ensure(arrive('web'));
    expect(writes, 'once').to.have.lengthOf(1);
  });

  it('hold no Pod back whose mirrors another namespace refuses, and say so there', async () => {
    policies.set(letsIn('bank', 'clients', { podSelector: { matchLabels: { app: 'web' } }, namespaceSelector: {} }));
    refusal = new ApiError({
      code: 'Forbidden',
      status: 403,
      message: 'exceeded quota: few',
      path: 'POST /',
      maybeHappened: false,
    });
    await mirrors.ensure(arrive('web'));
    expect(said.join()).to.match(/^clients: NotMirrored: .*exceeded quota: few/);
  });

  it('follow the original, and go with it at once', async () => {
    arrive('web');
    policies.set(letsIn('shop', 'clients', { podSelector: { matchLabels: { app: 'web' } } }));
    await mirrors.reconcile('shop/clients');
    policies.set(letsIn('shop', 'clients', { podSelector: { matchLabels: { app: 'web', tier: 'x' } } }));
    arrive('web', { tier: 'x' });
    await mirrors.reconcile('shop/clients');
    policies.delete('shop/clients');
    await mirrors.reconcile('shop/clients');
    expect(writes.map((write) => write.split(' ')[0])).to.deep.equal(['create', 'patch', 'delete']);
  });

  it('stay for the next Pod of a rollout, and go when nobody comes', async () => {
    const pod = arrive('web');
    policies.set(letsIn('shop', 'clients', { podSelector: { matchLabels: { app: 'web' } } }));
    await mirrors.reconcile('shop/clients');
    expect(mirrors.keysFor(pod, false), 'nothing to do as long as there is one').to.deep.equal([]);
    pods.delete(`shop/${pod.name}`);
    expect(mirrors.keysFor(pod, true)).to.deep.equal(['shop/clients']);
    expect(await mirrors.reconcile('shop/clients')).to.deep.equal({ kind: 'requeue', afterMs: 10_000 });
    await clock.advance(10_000);
    await mirrors.reconcile('shop/clients');
    expect(writes.map((write) => write.split(' ')[0])).to.deep.equal(['create', 'delete']);
  });

  it('are not what selectors by absence mean, which is said once, on the policy and of the Pod', async () => {
    const pod = arrive('web');
    const podSelector = { matchExpressions: [{ key: 'app', operator: 'NotIn' as const, values: ['web'] }] };
    policies.set(letsIn('shop', 'all-but-web', { podSelector }));
    await mirrors.reconcile('shop/all-but-web');
    await mirrors.reconcile('shop/all-but-web');
    expect(said).to.have.lengthOf(1);
    expect(said[0]).to.match(/^all-but-web: NotMirroredExactly: It lets in siblings .* Pods: shop\/web-1\.$/);
    expect(inexactPolicies(policies, pod)).to.deep.equal([
      'NetworkPolicy shop/all-but-web lets in siblings whose Pod it does not let in.',
    ]);
    expect(inexactPolicies(policies, { ...pod, namespace: 'bank' })).to.deep.equal([]);
  });

  let arrived = 0;
  beforeEach(() => {
    arrived = 0;
  });

  function arrive(app: string, more: Readonly<Record<string, string>> = {}): LivePod {
    arrived += 1;
    const labels = { app, ...more, 'podsplit.io/role': 'primary' };
    const name = `${app}-${arrived}`;
    const pod = {
      apiVersion: 'v1' as const,
      kind: 'Pod' as const,
      metadata: { name, namespace: 'shop', uid: `uid-${name}`, labels },
      spec: { containers: [{ name: 'app' }], readinessGates: [{ conditionType: 'podsplit.io/pieces-ready' }] },
    };
    pods.set(pod);
    return readPod(pod)!;
  }
});

type Peer = NonNullable<NonNullable<INetworkPolicySpec['ingress']>[number]['from']>[number];

function letsIn(namespace: string, name: string, ...from: Peer[]): NetworkPolicy {
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name, namespace, uid: `uid-${name}` },
    spec: { podSelector: { matchLabels: { app: 'db' } }, policyTypes: ['Ingress'], ingress: [{ from }] },
  };
}
