import { expect } from 'chai';
import type { KubeClient, ListOptions } from '../kube/client.ts';
import { ApiError } from '../kube/errors.ts';
import type { Pod } from '../kube/resources.ts';
import { collectVolumes, removeIdleVolumes } from './collect.ts';

/** UIDs that are collected where the store has these, and the node's primaries are those, in pages. */
async function collected(stored: readonly string[], pages: readonly (readonly string[])[]) {
  const gone: string[] = [];
  const asked: (ListOptions | undefined)[] = [];
  const seen: string[] = [];
  const client = {
    // eslint-disable-next-line @typescript-eslint/require-await -- Pages come from a server.
    pages: async function* (_: unknown, options?: ListOptions) {
      asked.push(options);
      for (const uids of pages) {
        yield { items: uids.map((uid) => ({ metadata: { name: uid, uid } })), resourceVersion: '1' };
      }
    } as unknown as KubeClient['pages'],
  };
  const store = {
    primaries: () => Promise.resolve(stored),
    empty: () => undefined,
    collect: (uid: string, targetOf: (podUid: string, volume: string) => string) => {
      gone.push(uid);
      seen.push(targetOf('p', 'logs'));
      return Promise.resolve();
    },
  };
  await collectVolumes({ store, client, node: 'node1', podsFolder: '/pods' });
  return { gone, asked, seen };
}

describe('collectVolumes', () => {
  it('removes volumes of Pods that are not on this node any more', async () => {
    const { gone, asked, seen } = await collected(['a', 'b', 'c'], [['a'], ['c', 'd']]);
    expect(gone).to.deep.equal(['b']);
    expect(seen).to.deep.equal(['/pods/p/volumes/kubernetes.io~csi/logs/mount']);
    expect(asked).to.have.length(1);
    expect(asked[0]).to.include({ labelSelector: 'podsplit.io/role=primary', fieldSelector: 'spec.nodeName=node1' });
  });

  it('asks nobody where there is nothing', async () => {
    expect(await collected([], [])).to.deep.equal({ gone: [], asked: [], seen: [] });
  });
});

describe('removeIdleVolumes', () => {
  const pod = { namespace: 'shop', name: 'web', uid: 'uid-1' };
  const running: Pod = { apiVersion: 'v1', kind: 'Pod', metadata: pod, status: { phase: 'Running' } };
  const apiError = (code: 'NotFound' | 'Timeout') =>
    new ApiError({ code, status: 0, path: 'pods/web', message: code, maybeHappened: false });

  /** Volumes that are removed where one is idle, and the API server says that of its primary. */
  async function removed(answer: Pod | ApiError): Promise<readonly string[]> {
    const names: string[] = [];
    await removeIdleVolumes({
      store: {
        idle: () => Promise.resolve([{ name: 'logs', pod }]),
        removeIdle: ({ name }) => {
          names.push(name);
          return Promise.resolve();
        },
      },
      client: {
        get: (() =>
          answer instanceof ApiError ? Promise.reject(answer) : Promise.resolve(answer)) as KubeClient['get'],
      },
    });
    return names;
  }

  it('keeps one whose Pod runs: its next piece may be still to come', async () => {
    expect(await removed(running)).to.deep.equal([]);
    expect(await removed({ ...running, status: { phase: 'Pending' } })).to.deep.equal([]);
  });

  it('removes one whose Pod has ended, is ending or is gone', async () => {
    const ended: readonly (Pod | ApiError)[] = [
      { ...running, status: { phase: 'Succeeded' } },
      { ...running, status: { phase: 'Failed' } },
      { ...running, metadata: { ...pod, deletionTimestamp: 'now' } },
      { ...running, metadata: { ...pod, uid: 'uid-2' } },
      apiError('NotFound'),
    ];
    for (const answer of ended) expect(await removed(answer), JSON.stringify(answer)).to.deep.equal(['logs']);
  });

  it('keeps it while nobody can say', async () => {
    const ended = await removed(apiError('Timeout')).catch((error: unknown) => String(error));
    expect(ended).to.contain('Timeout');
  });
});
