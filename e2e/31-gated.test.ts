// What admission cannot see: the Pod stays gated, says why in its condition, in its PodSplit and in an Event, runs nothing,
// and goes on by itself once the cause is gone.

import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { schedulingGate } from '../controller/api/names.ts';
import { network } from '../hack/cluster/names.ts';
import { agentProgram, agents, barePod, pair, splitMode, type Listener } from './support/agents.ts';
import { eventually } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { kubectl, TestNamespace } from './support/namespace.ts';
import { condition, type Condition, type KubeObject, type Pod } from './support/objects.ts';
import { eventOf, isReady, readySplitPods } from './support/pieces.ts';

const suffix = randomBytes(3).toString('hex');
const late = `e2e-late-${suffix}`;
const small = `e2e-small-${suffix}`;
const overlapping = ['pods', 'services', 'nodes', 'default'].map((what) => `e2e-${what}-${suffix}`);

const pieces = ['app', 'helper'];
const on = (name: string): Readonly<Record<string, string>> => ({ ...splitMode, 'podsplit.io/network': name });
const listener = (port: number): readonly Listener[] => [{ protocol: 'tcp', bind: '::', port, declared: true }];

interface SplitNetwork extends KubeObject {
  readonly status?: { readonly conditions?: readonly Condition[] };
}

describe('bad input, found after admission', () => {
  let namespace: TestNamespace;
  let quota: TestNamespace;

  before(async () => {
    [namespace, quota] = await Promise.all([TestNamespace.create('gated'), TestNamespace.create('quota')]);
    await namespace.apply(
      agentProgram,
      // One block in all.
      splitNetwork(small, { ipv4: '192.0.2.0/28', blockSize: 16 }),
      splitNetwork(overlapping[0]!, { ipv4: network.pods.v4 }),
      splitNetwork(overlapping[1]!, { ipv6: `${network.services.v6.split('/')[0]!}/112` }),
      splitNetwork(overlapping[2]!, { ipv4: '172.16.0.0/12' }),
      splitNetwork(overlapping[3]!, { ipv4: '198.19.0.0/16' }),
    );
    const limit = {
      apiVersion: 'v1',
      kind: 'ResourceQuota',
      metadata: { name: 'cpu' },
      spec: { hard: { 'requests.cpu': '200m' } },
    };
    await quota.apply(agentProgram, limit);
    // A quota admits nothing before it has counted.
    await eventually('the quota counts', async () => {
      expect(await quota.kubectl(['get', 'resourcequota', 'cpu', '-o', 'jsonpath={.status.used}'])).to.equal(
        '{"requests.cpu":"0"}',
      );
    });
    const claim = {
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      metadata: { name: 'alone' },
      spec: { accessModes: ['ReadWriteOncePod'], resources: { requests: { storage: '1Mi' } } },
    };
    await Promise.all([
      namespace.apply(
        claim,
        barePod('single', agents({ app: listener(7001) }), splitMode),
        barePod('late', pair, on(late)),
        barePod('overlapping', pair, on(overlapping[0]!)),
        barePod('first', pair, on(small)),
        barePod('claimed', withClaim('alone'), splitMode),
      ),
      quota.apply(barePod('pod', hungryThird(), splitMode)),
    ]);
  });

  after(async () => {
    await TestNamespace.deleteAll();
    await kubectl(['delete', 'splitnetwork', '--ignore-not-found', '--wait=false', late, small, ...overlapping]);
  });

  it('a Pod of one container runs as it is, and an Event says so', async () => {
    await eventually('it runs', async () => {
      expect(isReady(await namespace.get<Pod>('pods', 'single'))).to.equal(true);
    });
    expect((await eventOf(namespace, 'NotSplit', 'Pod', 'single')).message).to.contain('one container');
  });

  it('a SplitNetwork that is not there', async () => {
    expect(await waits(namespace, 'late', 'NetworkNotFound')).to.contain(`There is no SplitNetwork ${late}`);
  });

  for (const [index, what] of [
    'Pod CIDR of node',
    'Service CIDR',
    'address of node',
    'SplitNetwork default',
  ].entries()) {
    it(`a SplitNetwork that overlaps ${what}`, async () => {
      const ready = await eventually('its condition', async () => {
        const found = condition(await namespace.get<SplitNetwork>('splitNetworks', overlapping[index]!), 'Ready');
        expect(found?.status).to.equal('False');
        return found;
      });
      expect(ready?.reason).to.equal('RangeOverlaps');
      expect(ready?.message).to.contain(' overlaps ').and.to.contain(what);
    });
  }

  it('a Pod that names such a SplitNetwork', async () => {
    expect(await waits(namespace, 'overlapping', 'NetworkNotReady')).to.contain(' overlaps ');
  });

  it('a pool that is exhausted', async () => {
    await readySplitPods(namespace, 'first', 1, pieces);
    await namespace.apply(barePod('second', pair, on(small)));
    expect(await waits(namespace, 'second', 'AddressesExhausted')).to.contain(`of SplitNetwork ${small} are held`);
    expect(condition(await namespace.get<SplitNetwork>('splitNetworks', small), 'Ready')?.reason).to.equal('Exhausted');
  });

  it('a ReadWriteOncePod claim that two pieces would mount', async () => {
    expect(await waits(namespace, 'claimed', 'SharedReadWriteOncePod')).to.contain('ReadWriteOncePod');
  });

  it('a quota that admits some of the pieces: none is left', async () => {
    expect(await waits(quota, 'pod', 'PieceRefused')).to.contain('exceeded quota: cpu');
  });

  it('goes on by itself once the network is there, a block is freed, the quota is raised', async () => {
    await Promise.all([
      namespace.apply(splitNetwork(late, { ipv4: '203.0.113.0/24', ipv6: 'fd5e:9b1c:47d2:e2e::/64' })),
      namespace.kubectl(['delete', 'pod', 'first', '--wait=false']),
      quota.kubectl(['patch', 'resourcequota', 'cpu', '--type=merge', '-p', '{"spec":{"hard":{"requests.cpu":"1"}}}']),
    ]);
    await Promise.all([
      readySplitPods(namespace, 'late', 1, pieces),
      readySplitPods(namespace, 'second', 1, pieces),
      readySplitPods(quota, 'pod', 1, ['app', 'helper', 'third']),
    ]);
  });

  it('leaves no claim of a Pod that waits behind', async () => {
    await Promise.all([
      namespace.kubectl(['delete', 'pods', '--all', '--wait=false']),
      quota.kubectl(['delete', 'pods', '--all', '--wait=false']),
    ]);
    await eventually('they are gone', async () => {
      for (const one of [namespace, quota])
        expect(await one.kubectl(['get', 'pods,podsplits', '-o', 'name'])).to.equal('');
    });
    await invariantsHold();
  });
});

/** What the quota has room for, but for the last: by itself too much, whatever the quota has counted so far. */
function hungryThird(): object {
  const spec = agents({ app: listener(7001), helper: listener(7002), third: listener(7003) });
  const resources = { requests: { cpu: '250m', memory: '16Mi' } };
  return { ...spec, containers: spec.containers.map((one) => (one.name === 'third' ? { ...one, resources } : one)) };
}

/** Gated, with the reason in its condition and an Event, and without a single sibling. Returns the message. */
async function waits(namespace: TestNamespace, name: string, reason: string): Promise<string> {
  const message = await eventually(`${name} says ${reason}`, async () => {
    const pod = await namespace.get<Pod>('pods', name);
    expect(pod.spec.schedulingGates).to.deep.equal([{ name: schedulingGate }]);
    const gate = condition(pod, 'podsplit.io/pieces-ready');
    expect(gate?.reason, gate?.message).to.equal(reason);
    const siblings = (await namespace.list<Pod>('pods')).filter((one) =>
      one.metadata.ownerReferences?.some(({ uid }) => uid === pod.metadata.uid),
    );
    expect(siblings.map(({ metadata }) => metadata.name)).to.deep.equal([]);
    return gate?.message ?? '';
  });
  const event = await eventOf(namespace, reason, 'Pod', name);
  expect(event.type).to.equal('Warning');
  return message;
}

function splitNetwork(name: string, spec: object): object {
  return { apiVersion: 'podsplit.io/v1alpha1', kind: 'SplitNetwork', metadata: { name }, spec };
}

function withClaim(claimName: string): object {
  return {
    ...pair,
    containers: pair.containers.map((container) => ({
      ...container,
      volumeMounts: [...container.volumeMounts, { name: 'claim', mountPath: '/claim' }],
    })),
    volumes: [...pair.volumes, { name: 'claim', persistentVolumeClaim: { claimName } }],
  };
}
