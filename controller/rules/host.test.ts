import { expect } from 'chai';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { hostLinks } from './host-links.ts';
import { compileHost, hostTable, hostTableName, type HostSide } from './host.ts';
import { parseWiring } from './wiring-json.ts';
import type { Local } from './wiring.ts';

const testdata = new URL('testdata/', import.meta.url);
const golden = new URL('host/', testdata);

/** The node's side of the piece of testdata/NAME.json. */
function side(name: string, changed: Partial<HostSide> = {}): HostSide {
  const input = JSON.parse(readFileSync(new URL(`${name}.json`, testdata), 'utf8')) as { wiring: object; local: Local };
  const wiring = parseWiring(JSON.stringify(input.wiring));
  return {
    sandbox: '5c1d0f2a9b7e',
    wiring,
    net1: { device: 'veth1a2b3c4d' },
    eth0: {
      device: 'veth5e6f7a8b',
      mac: '0a:58:0a:f4:01:16',
      podIPs: wiring.self.podIPs ?? [],
      nodeIPs: input.local.nodeIPs,
    },
    peerDevices: Object.fromEntries(wiring.peers.map(({ name: peer }) => [peer, `veth-${peer}`])),
    link: 'fwd',
    ...changed,
  };
}

function withoutEth0({ eth0: _eth0, ...rest }: HostSide): HostSide {
  return rest;
}

const cases: Readonly<Record<string, HostSide>> = {
  'dual-stack.web': side('dual-stack.web'),
  'dual-stack.cache.bridge': side('dual-stack.cache', { link: 'bridge' }),
  'ipv4.cache.nobody-there': withoutEth0(side('ipv4.cache', { peerDevices: {} })),
  'ipv6.statsd': side('ipv6.statsd'),
  'via.web': side('via.web'),
  'via.cache': side('via.cache'),
  'via-explicit.statsd': side('via-explicit.statsd'),
  'ingress-via.web': side('ingress-via.web'),
  'ingress-via.cache': side('ingress-via.cache'),
};

describe('compileHost', () => {
  for (const [name, input] of Object.entries(cases)) {
    it(`makes testdata/host/${name}.nft`, () => {
      const file = new URL(`${name}.nft`, golden);
      if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, compileHost(input));
      expect(existsSync(file), `no testdata/host/${name}.nft: make it with UPDATE_GOLDEN=1`).to.equal(true);
      expect(compileHost(input)).to.equal(readFileSync(file, 'utf8'));
    });
  }

  it('has no golden file that nothing makes', () => {
    const made = Object.keys(cases).map((name) => `${name}.nft`);
    expect(readdirSync(golden).filter((file) => !made.includes(file))).to.deep.equal([]);
  });

  it('has a marker for each input, in whatever order the devices were found', () => {
    const { marker } = hostTable(side('dual-stack.web'));
    const devices = { cache: 'veth-cache', statsd: 'veth-statsd' };
    const reversed = Object.fromEntries(Object.entries(devices).toReversed());
    const markerOf = (changed: Partial<HostSide>): string => hostTable(side('dual-stack.web', changed)).marker;
    expect(markerOf({ peerDevices: devices })).to.equal(marker);
    expect(markerOf({ peerDevices: reversed })).to.equal(marker);
    for (const changed of [
      { link: 'bridge' },
      { sandbox: '0' },
      { peerDevices: {} },
      { net1: { device: 'veth2' } },
    ] as const) {
      expect(markerOf(changed)).not.to.equal(marker);
    }
  });

  it('does not take a piece for a device because of its name', () => {
    const { wiring } = side('dual-stack.web');
    const [first = expect.fail(), ...others] = wiring.peers;
    const table = hostTable(
      side('dual-stack.web', { wiring: { ...wiring, peers: [{ ...first, name: 'constructor' }, ...others] } }),
    );
    expect(table.sets.find(({ name }) => name === 'peer_device')?.elements).to.have.length(others.length);
  });

  it('lets no name become a rule', () => {
    expect(() => compileHost(side('ipv4.cache', { net1: { device: 'a" accept' } }))).to.throw(TypeError, 'a" accept');
    expect(() => compileHost(side('ipv4.cache', { peerDevices: { web: 'veth*' } }))).to.throw(TypeError);
    expect(() => hostTableName('a b')).to.throw(TypeError);
  });
});

describe('hostLinks', () => {
  it('tells the bridge who is behind a port, and to flood nothing to it', () => {
    expect(hostLinks(side('ipv4.web'))).to.deep.equal([
      'link set dev veth1a2b3c4d learning off flood off mcast_flood off bcast_flood off',
      'fdb replace 0a:58:c6:12:00:02 dev veth1a2b3c4d master static',
    ]);
  });
});
