import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import type { Wiring } from '../rules/wiring.ts';
import { AgentError } from './agent-error.ts';
import { checkEgress, matchingEnd } from './host-ends.ts';

const eth0 = {
  ifname: 'eth0',
  ifindex: 2,
  link_index: 7,
  link_netnsid: 0,
  address: '0a:58:0a:f4:01:07',
  addr_info: [
    { family: 'inet', scope: 'global', local: '10.244.1.7' },
    { family: 'inet6', scope: 'link', local: 'fe80::7' },
  ],
};
const net1 = { ifname: 'net1', ifindex: 3, link_index: 8, link_netnsid: 0 };
const veths = [
  { ifname: 'eth0', ifindex: 2, link_index: 30 },
  { ifname: 'veth7', ifindex: 7, link_index: 2 },
  { ifname: 'veth8', ifindex: 8, link_index: 3 },
];

describe("the node's end of eth0", () => {
  it('is the veth whose peer it is', () => {
    expect(matchingEnd([net1, eth0], veths)).to.deep.equal({
      device: 'veth7',
      mac: '0a:58:0a:f4:01:07',
      linkLocal: ['fe80::7'],
    });
  });

  it('is none where eth0 is no veth', () => {
    expect(matchingEnd([net1], veths)).to.equal(undefined);
  });

  it('is not any device that has the same index in another namespace', () => {
    expect(matchingEnd([net1, { ...eth0, link_netnsid: 1 }], veths)).to.equal(undefined);
  });

  it('has to be found where it has to be, or the piece does not start', () => {
    expect(() => matchingEnd([net1, { ...eth0, link_index: 2 }], veths)).to.throw('not to be found');
    expect(() => matchingEnd([net1, eth0], [])).to.throw('not to be found');
    expect(() => matchingEnd([eth0], veths)).to.throw('there is no net1 yet');
  });
});

describe('a piece that is kept behind its proxy', () => {
  const text = readFileSync(new URL('../rules/testdata/via.web.json', import.meta.url), 'utf8');
  const { wiring } = JSON.parse(text) as { readonly wiring: Wiring };

  it('starts only where the node can filter its eth0', () => {
    expect(() => {
      checkEgress(wiring, undefined);
    }).to.throw(AgentError, 'web shall go out by cache only');
    checkEgress(wiring, { device: 'veth1', mac: '0a:58:0a:f4:01:16', linkLocal: [] });
    checkEgress({ ...wiring, piece: 'cache' }, undefined);
    checkEgress({ ...wiring, via: [] }, undefined);
  });
});
