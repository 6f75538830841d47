import { expect } from 'chai';
import { installOfNad, isIsolateNad, isolateNadName, nadName } from '../api/identity.ts';
import { isolateNad, isolateNetworks } from './isolate-nad.ts';
import { nadDifferences } from './nad.ts';

const workload = { apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'shop', name: 'web', uid: 'u' };
const owner = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'u' };

describe("the network of a workload's isolated Pods", () => {
  it('has a name of its own, and says who loads the rules', () => {
    const name = isolateNadName(workload);
    expect(isIsolateNad(name)).to.equal(true);
    expect(installOfNad(name)).to.equal('node');
    for (const install of ['node', 'init'] as const) expect(isIsolateNad(nadName(workload, install))).to.equal(false);
  });

  it("is podsplit's plugin, and nothing that makes an interface", () => {
    const nad = isolateNad(workload, owner);
    expect(JSON.parse(nad.spec.config)).to.deep.equal({
      cniVersion: '1.0.0',
      name: isolateNadName(workload),
      plugins: [{ type: 'podsplit', phase: 'isolate' }],
    });
    expect(nad.metadata.ownerReferences).to.deep.equal([owner]);
    expect(nadDifferences({ ...nad, spec: { config: '{}' } }, nad)).to.deep.equal(['spec.config']);
    expect(JSON.parse(isolateNetworks(workload))).to.deep.equal([
      { name: isolateNadName(workload), interface: 'podsplit0' },
    ]);
  });
});
