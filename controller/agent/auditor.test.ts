import { expect } from 'chai';
import { idleBridges } from './auditor.ts';

describe('idle bridges', () => {
  it('are those of ours that nothing is attached to', () => {
    const links = [
      { ifname: 'eth0' },
      { ifname: 'cni0' },
      { ifname: 'ps-0123456789ab' },
      { ifname: 'ps-ba9876543210' },
      { ifname: 'veth1', master: 'ps-0123456789ab' },
    ];
    expect(idleBridges(JSON.stringify(links))).to.deep.equal(['ps-ba9876543210']);
    expect(idleBridges('')).to.deep.equal([]);
  });
});
