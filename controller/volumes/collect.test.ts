import { expect } from 'chai';
import type { KubeClient, ListOptions } from '../kube/client.ts';
import { collectVolumes } from './collect.ts';

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
