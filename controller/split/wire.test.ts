import { expect } from 'chai';
import { parseWiring, formatWiring } from '../rules/wiring-json.ts';
import { split } from './split.ts';
import { buildWirings, networksAnnotation, withPrefixOf } from './wire.ts';

const plan = split(
  {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'web',
      annotations: {
        'podsplit.io/mode': 'split',
        'podsplit.io/primary': 'web',
        'podsplit.io/flows': 'web->constructor:1',
      },
    },
    spec: {
      containers: [
        { name: 'constructor', image: 'c', ports: [{ containerPort: 1 }] },
        { name: 'web', image: 'w', ports: [{ containerPort: 80 }] },
        { name: 'agent', image: 'a', ports: [{ containerPort: 2, protocol: 'UDP' }] },
      ],
    },
  },
  { image: 'podsplit:test', maxContainers: 14, install: { otherwise: 'node', byNetwork: new Map() } },
);
if (plan.kind !== 'split') throw new Error(JSON.stringify(plan));

const pool = { ipv4: '198.18.0.0/15', ipv6: 'fd00::/64' };
const addresses = {
  web: { mac: '0a:58:c6:12:00:01', ipv4: '198.18.0.1', ipv6: 'fd00::1' },
  constructor: { mac: '0a:58:c6:12:00:02', ipv4: '198.18.0.2', ipv6: 'fd00::2' },
  agent: { mac: '0a:58:c6:12:00:03', ipv4: '198.18.0.3', ipv6: 'fd00::3' },
};

describe('buildWirings', () => {
  const wirings = buildWirings({
    plan,
    splitId: 's',
    pool,
    addresses,
    podIPs: { web: ['192.0.2.1'] },
    release: 'hold',
  });

  it('makes one for each piece', () => {
    expect(Object.keys(wirings)).to.have.members(['web', 'constructor', 'agent']);
  });

  it('tells each piece of itself and of all others, sorted by name', () => {
    expect(wirings['agent']).to.deep.equal({
      version: 1,
      split: 's',
      piece: 'agent',
      role: 'sibling',
      release: 'hold',
      self: addresses.agent,
      peers: [
        { name: 'constructor', role: 'sibling', ...addresses.constructor },
        { name: 'web', role: 'primary', ...addresses.web, podIPs: ['192.0.2.1'] },
      ],
      pool,
      flows: [{ from: 'web', to: 'constructor', port: 1, protocol: 'tcp' }],
      facade: [
        { piece: 'constructor', port: 1, protocol: 'tcp' },
        { piece: 'agent', port: 2, protocol: 'udp' },
      ],
    });
    expect(wirings['web']?.role).to.equal('primary');
    expect(wirings['web']?.self.podIPs).to.deep.equal(['192.0.2.1']);
  });

  it('makes what the init container reads', () => {
    for (const wiring of Object.values(wirings)) expect(parseWiring(formatWiring(wiring))).to.deep.equal(wiring);
  });

  it('does not take addresses from where there are none', () => {
    const { constructor: _missing, ...rest } = addresses;
    expect(() => buildWirings({ plan, splitId: 's', pool, addresses: rest, release: 'go' })).to.throw(
      RangeError,
      'constructor',
    );
  });
});

describe('networksAnnotation', () => {
  it('asks for the interface, the addresses with their prefix, and the MAC', () => {
    const text = networksAnnotation({
      nad: 'podsplit-web-0123',
      ipv4Cidr: withPrefixOf(pool.ipv4, '198.18.0.1'),
      ipv6Cidr: withPrefixOf(pool.ipv6, 'fd00::1'),
      mac: '0a:58:c6:12:00:01',
    });
    expect(JSON.parse(text)).to.deep.equal([
      {
        name: 'podsplit-web-0123',
        interface: 'net1',
        ips: ['198.18.0.1/15', 'fd00::1/64'],
        mac: '0a:58:c6:12:00:01',
      },
    ]);
  });

  it('has one address where there is one family, and a namespace where it is another', () => {
    const [selection] = JSON.parse(
      networksAnnotation({ nad: 'n', namespace: 'other', ipv6Cidr: 'fd00::1/64', mac: '0a:59:00:00:00:01' }),
    ) as { ips: string[]; namespace: string }[];
    expect(selection).to.include({ namespace: 'other' }).and.to.have.deep.property('ips', ['fd00::1/64']);
  });
});
