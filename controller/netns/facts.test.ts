import { expect } from 'chai';
import {
  checkPeerLink,
  describesThisSandbox,
  localFacts,
  parseGateways,
  parseHostIPs,
  parseInterfaces,
  peerLink,
} from './facts.ts';
import { parseWiring } from '../rules/wiring-json.ts';
import { readFileSync } from 'node:fs';

/** As `ip -json address show` of iproute2 6.1 prints it, shortened. */
const addresses = JSON.stringify([
  {
    ifname: 'lo',
    mtu: 65536,
    address: '00:00:00:00:00:00',
    addr_info: [{ family: 'inet', local: '127.0.0.1', scope: 'host' }],
  },
  {
    ifname: 'eth0',
    mtu: 1450,
    address: '0a:00:c6:12:00:03',
    addr_info: [
      { family: 'inet', local: '10.244.1.23', prefixlen: 24, scope: 'global' },
      { family: 'inet6', local: 'fd00:10:244:1::23', prefixlen: 64, scope: 'global' },
      { family: 'inet6', local: 'fe80::1', prefixlen: 64, scope: 'link' },
    ],
  },
  {
    ifname: 'net1',
    mtu: 65535,
    address: '0a:58:c6:12:00:03',
    addr_info: [
      { family: 'inet', local: '198.18.0.3', scope: 'global' },
      { family: 'inet6', local: 'fd99:18::3', scope: 'global' },
    ],
  },
  {},
]);
const { wiring: cache } = JSON.parse(
  readFileSync(new URL('../rules/testdata/dual-stack.cache.json', import.meta.url), 'utf8'),
) as { wiring: object };
const wiring = parseWiring(JSON.stringify(cache));

describe('podsplit init, what it reads', () => {
  const interfaces = parseInterfaces(addresses);

  it("takes eth0's global addresses and its MTU", () => {
    expect(localFacts(interfaces, ['10.244.1.1', '10.244.1.1'])).to.deep.equal({
      podIPs: ['10.244.1.23', 'fd00:10:244:1::23'],
      nodeIPs: ['10.244.1.1'],
      mtu: 1450,
    });
  });

  it('takes gateways of single, multipath and other-family next hops, and of no route at all', () => {
    const routes = [
      { dst: 'default', gateway: '10.244.1.1', dev: 'eth0' },
      { dst: 'default', nexthops: [{ gateway: '10.0.0.1' }, { gateway: '10.0.0.2' }] },
      { dst: 'default', via: { family: 'inet6', host: 'fe80::1' } },
      { dst: 'default', dev: 'eth0' },
    ];
    expect(parseGateways(JSON.stringify(routes))).to.deep.equal(['10.244.1.1', '10.0.0.1', '10.0.0.2', 'fe80::1']);
    expect(parseGateways('\n')).to.deep.equal([]);
  });

  it('takes the node addresses of HOST_IPS, in canonical form', () => {
    expect(parseHostIPs('192.168.1.11,FD00::0:11')).to.deep.equal(['192.168.1.11', 'fd00::11']);
    expect(parseHostIPs('')).to.deep.equal([]);
    expect(() => parseHostIPs('node-1')).to.throw('HOST_IPS: node-1 is no IP address');
  });

  it('wants net1 with the address and MAC that the wiring promises', () => {
    expect(() => {
      checkPeerLink(peerLink(interfaces), wiring);
    }).not.to.throw();
    expect(() => peerLink(interfaces.filter(({ name }) => name !== 'net1'))).to.throw('no net1 among lo, eth0');
    expect(() => {
      checkPeerLink({ ...peerLink(interfaces), addresses: ['198.18.0.3'] }, wiring);
    }).to.throw('the wiring promises fd99:18::3, but net1 has 0a:58:c6:12:00:03, 198.18.0.3');
    expect(() => {
      checkPeerLink({ ...peerLink(interfaces), mac: '0a:58:c6:12:00:09' }, wiring);
    }).to.throw('the wiring promises 0a:58:c6:12:00:03, but');
  });

  it('knows a wiring of an earlier sandbox by its Pod IPs, in any order', () => {
    const podIPs = ['fd00:10:244:1::23', '10.244.1.23'];
    expect(describesThisSandbox(wiring, { podIPs, nodeIPs: [] })).to.equal(true);
    expect(describesThisSandbox(wiring, { podIPs: ['10.244.1.99'], nodeIPs: [] })).to.equal(false);
    const { podIPs: _untold, ...self } = wiring.self;
    expect(describesThisSandbox({ ...wiring, self }, { podIPs: ['10.244.1.99'], nodeIPs: [] })).to.equal(true);
  });
});
