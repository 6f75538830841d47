import { expect } from 'chai';
import { splitId } from '../api/identity.ts';
import type { AddressBlock, Claim, SplitNetwork } from '../api/resources.ts';
import type { Pod } from '../kube/resources.ts';
import { changedClaims, onlyCountChanged, onlyStatusChanged } from './changes.ts';

function block(...claims: readonly Claim[]): AddressBlock {
  return {
    apiVersion: 'podsplit.io/v1alpha1',
    kind: 'AddressBlock',
    metadata: { name: 'default-0' },
    spec: { network: 'default', index: 0, workload: { namespace: 'ns', nad: 'podsplit-web-key' }, claims },
  };
}

function claim(uid: string, more: Partial<Claim> = {}): Claim {
  return { pod: { name: uid, uid }, offsets: { web: 2 }, ...more };
}

function keys(...uids: readonly string[]): readonly string[] {
  return uids.map((uid) => `ns/${splitId(uid)}`);
}

describe('changes', () => {
  it('of a block concern the Pods whose claims came, changed or went', () => {
    const before = block(claim('stays'), claim('changes'), claim('goes'));
    const after = block(claim('stays'), claim('changes', { releasing: true }), claim('comes'));
    expect(changedClaims(before, after)).to.have.members(keys('changes', 'changes', 'comes', 'goes'));
    expect(changedClaims(undefined, before)).to.have.members(keys('stays', 'changes', 'goes'));
    expect(changedClaims(before, before)).to.deep.equal([]);
  });

  it('of a Pod concern its workload unless only its status is another', () => {
    const pod: Pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'a', uid: 'a', resourceVersion: '1', labels: { app: 'web' } },
      spec: { containers: [] },
    };
    const changed = (more: object, metadata: object = {}) => ({
      ...pod,
      ...more,
      metadata: { ...pod.metadata, ...metadata },
    });
    expect(onlyStatusChanged(pod, changed({ status: { phase: 'Running' } }, { resourceVersion: '2' }))).to.equal(true);
    expect(onlyStatusChanged(pod, changed({}, { labels: { app: 'other' } }))).to.equal(false);
    expect(onlyStatusChanged(pod, changed({}, { annotations: { a: 'b' } }))).to.equal(false);
    expect(onlyStatusChanged(pod, changed({}, { deletionTimestamp: '2026-01-01T00:00:00Z' }))).to.equal(false);
    expect(onlyStatusChanged(pod, changed({}, { uid: 'b' }))).to.equal(false);
    expect(onlyStatusChanged(pod, changed({ spec: { containers: [], nodeName: 'n' } }))).to.equal(false);
  });

  it('of a SplitNetwork concern others unless only its count is another', () => {
    const ready = { type: 'Ready', status: 'True', reason: 'Available', message: '', lastTransitionTime: '' } as const;
    const network: SplitNetwork = {
      apiVersion: 'podsplit.io/v1alpha1',
      kind: 'SplitNetwork',
      metadata: { name: 'default', uid: 'a' },
      spec: { ipv4: '198.18.0.0/15', blockSize: 32 },
      status: { addresses: { claimed: 1 }, conditions: [ready] },
    };
    expect(
      onlyCountChanged(network, { ...network, status: { ...network.status, addresses: { claimed: 2 } } }),
    ).to.equal(true);
    const full = { ...network.status, conditions: [{ ...ready, reason: 'Exhausted' }] };
    expect(onlyCountChanged(network, { ...network, status: full })).to.equal(false);
    expect(onlyCountChanged(network, { ...network, spec: { ...network.spec, ipv4: '10.0.0.0/16' } })).to.equal(false);
  });
});
