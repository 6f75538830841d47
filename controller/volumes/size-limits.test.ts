import { expect } from 'chai';
import { pino } from 'pino';
import type { KubeClient } from '../kube/client.ts';
import { ApiError } from '../kube/errors.ts';
import type { Pod } from '../kube/resources.ts';
import { SizeLimits } from './size-limits.ts';
import type { Measure } from './measure-tree.ts';
import type { VolumeRecord } from './volume-record.ts';

const volume: VolumeRecord = {
  name: 'logs',
  pod: { namespace: 'shop', name: 'web', uid: 'uid-1' },
  sizeLimit: { text: '1Mi', bytes: 2 ** 20 },
};
const running: Pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace: 'shop', name: 'web', uid: 'uid-1', resourceVersion: '7' },
  status: { phase: 'Running' },
};
const message = 'Usage of EmptyDir volume "logs" exceeds the limit "1Mi". ';

const bytes = (count: number): Measure => ({ kind: 'bytes', bytes: count });

function apiError(code: 'NotFound' | 'Conflict'): ApiError {
  return new ApiError({ code, status: 0, path: 'pods/web', message: code, maybeHappened: false });
}

/** What is written of a Pod whose volume takes so much. */
async function written(used: Measure | undefined, pod: Pod | 'gone' = running, answer?: ApiError, volumes = [volume]) {
  const patches: unknown[] = [];
  const events: unknown[] = [];
  await new SizeLimits({
    store: { volumes: () => Promise.resolve(volumes), used: () => Promise.resolve(used) },
    client: {
      get: (() => (pod === 'gone' ? Promise.reject(apiError('NotFound')) : Promise.resolve(pod))) as KubeClient['get'],
      patch: ((...call: unknown[]) => {
        patches.push(call.slice(1));
        return answer === undefined ? Promise.resolve(pod) : Promise.reject(answer);
      }) as KubeClient['patch'],
    },
    events: { event: (...event) => events.push(event) },
    clock: { now: () => 0, monotonic: () => 0 },
    log: pino({ level: 'silent' }),
  }).enforce();
  return { patches, events };
}

describe('SizeLimits', () => {
  it('fails a Pod whose volume exceeds its limit, in the words of the kubelet', async () => {
    const { patches, events } = await written(bytes(2 ** 20 + 1));
    const condition = { type: 'DisruptionTarget', status: 'True', reason: 'SizeLimitExceeded', message };
    const body = {
      metadata: { uid: 'uid-1', resourceVersion: '7' },
      status: {
        phase: 'Failed',
        reason: 'Evicted',
        message,
        conditions: [{ ...condition, lastTransitionTime: '1970-01-01T00:00:00Z' }],
      },
    };
    expect(patches).to.deep.equal([
      [volume.pod, { type: 'strategic', body }, { subresource: 'status', fieldManager: 'podsplit-volumes' }],
    ]);
    expect(events).to.deep.equal([[{ apiVersion: 'v1', kind: 'Pod', ...volume.pod }, 'Warning', 'Evicted', message]]);
  });

  const spared: readonly (readonly [string, Measure | undefined, Pod | 'gone'])[] = [
    ['up to its limit', bytes(2 ** 20), running],
    ['that could not be measured in time', { kind: 'too slow' }, running],
    ['that is gone', undefined, running],
    ['of a Pod that is gone', bytes(2 ** 21), 'gone'],
    ['of an earlier Pod of the name', bytes(2 ** 21), { ...running, metadata: { ...running.metadata, uid: 'uid-2' } }],
    [
      'of a Pod that is ending',
      bytes(2 ** 21),
      { ...running, metadata: { ...running.metadata, deletionTimestamp: 'now' } },
    ],
    ['of a Pod that has ended', bytes(2 ** 21), { ...running, status: { phase: 'Succeeded' } }],
  ];
  for (const [what, used, pod] of spared) {
    it(`leaves alone one ${what}`, async () => {
      expect(await written(used, pod)).to.deep.equal({ patches: [], events: [] });
    });
  }

  it('says nothing that did not happen', async () => {
    const { events } = await written(bytes(2 ** 21), running, apiError('Conflict'));
    expect(events).to.deep.equal([]);
  });

  it("adds up what a Pod's volumes take, and leaves those of other Pods out", async () => {
    const storageLimit = { text: '3Mi', bytes: 3 * 2 ** 20 };
    const of = (uid: string, name: string): VolumeRecord => ({ name, pod: { ...volume.pod, uid }, storageLimit });
    const one = await written(bytes(2 ** 21), running, undefined, [of('uid-1', 'a'), of('uid-2', 'b')]);
    expect(one.events).to.deep.equal([]);
    const two = await written(bytes(2 ** 21), running, undefined, [of('uid-1', 'a'), of('uid-1', 'b')]);
    const said = 'Pod ephemeral local storage usage exceeds the total limit of containers 3Mi. ';
    expect(two.events).to.deep.equal([[{ apiVersion: 'v1', kind: 'Pod', ...volume.pod }, 'Warning', 'Evicted', said]]);
  });

  it('takes turns where a round has not the time for all', async () => {
    const measured: string[] = [];
    let now = 0;
    const names = ['a', 'b', 'c', 'd', 'e'];
    const limits = new SizeLimits({
      store: {
        volumes: () => Promise.resolve(names.map((name) => ({ ...volume, pod: { ...volume.pod, uid: name } }))),
        used: ({ pod }) => {
          measured.push(pod.uid);
          now += 2 * 60_000;
          return Promise.resolve({ kind: 'too slow' });
        },
      },
      client: { get: () => Promise.reject(apiError('NotFound')), patch: () => Promise.reject(apiError('NotFound')) },
      events: { event: () => undefined },
      clock: { now: () => 0, monotonic: () => now },
      log: pino({ level: 'silent' }),
    });
    await limits.enforce();
    expect(measured).to.deep.equal(['a', 'b', 'c']);
    await limits.enforce();
    expect(measured.splice(0)).to.deep.equal(['a', 'b', 'c', 'd', 'e', 'a']);
    // The one whose turn it is has gone.
    names.splice(1, 1);
    await limits.enforce();
    expect(measured).to.deep.equal(['a', 'c', 'd']);
  });

  it('goes on with the other Pods when one fails', async () => {
    const measured: string[] = [];
    await new SizeLimits({
      store: {
        volumes: () => Promise.resolve([volume, { ...volume, name: 'other', pod: { ...volume.pod, uid: 'uid-2' } }]),
        used: ({ name }) => {
          measured.push(name);
          return name === 'logs' ? Promise.reject(new Error('no du here')) : Promise.resolve(bytes(0));
        },
      },
      client: { get: () => Promise.reject(apiError('NotFound')), patch: () => Promise.reject(apiError('NotFound')) },
      events: { event: () => undefined },
      clock: { now: () => 0, monotonic: () => 0 },
      log: pino({ level: 'silent' }),
    }).enforce();
    expect(measured).to.deep.equal(['logs', 'other']);
  });
});
