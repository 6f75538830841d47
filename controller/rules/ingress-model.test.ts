import { expect } from 'chai';
import { ingressElements } from './ingress-model.ts';
import type { Wiring } from './wiring.ts';

const podIPs = ['10.0.0.1', 'fd00::1'];

/** A primary whose clients enter by its sibling. */
function primary(ipv6: boolean): Wiring {
  const address = (n: number) => ({
    mac: `0a:00:00:00:00:0${n}`,
    ipv4: `198.18.0.${n}`,
    ...(ipv6 ? { ipv6: `fd99::${n}` } : {}),
  });
  return {
    version: 1,
    split: '0a1b2c3d4e',
    piece: 'app',
    role: 'primary',
    release: 'go',
    self: address(1),
    peers: [{ name: 'proxy', role: 'sibling', ...address(2) }],
    pool: { ipv4: '198.18.0.0/15', ...(ipv6 ? { ipv6: 'fd99::/64' } : {}) },
    flows: [],
    facade: [{ piece: 'proxy', port: 8443, protocol: 'tcp' }],
    ingressVia: { to: 'proxy', port: 15006, direct: [8443], probes: [] },
  };
}

describe('clients that enter by a proxy', () => {
  it("reach the proxy's own ports by themselves", () => {
    for (const family of ['ipv4', 'ipv6'] as const) {
      expect(ingressElements(family, primary(true), podIPs, []).direct).to.deep.equal(['tcp . 8443']);
    }
  });

  it('reach nobody else there in a family that the peer network lacks', () => {
    const { enters, direct } = ingressElements('ipv6', primary(false), podIPs, []);
    expect({ enters, direct }).to.deep.equal({ enters: ['tcp'], direct: [] });
    expect(ingressElements('ipv4', primary(false), podIPs, []).direct).to.deep.equal(['tcp . 8443']);
  });
});
