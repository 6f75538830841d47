import { expect } from 'chai';
import type { Denial } from '../api/resources.ts';
import { formatWiring, parseWiring } from '../rules/wiring-json.ts';
import type { Peer, Wiring } from '../rules/wiring.ts';
import { denialOf, parseRecords, type Attempt } from './denials.ts';
import type { Sandbox } from './sandbox.ts';

const ends = { ...{ web: 2, cache: 3 } };

function peer(name: 'web' | 'cache'): Peer {
  const last = ends[name];
  const role = name === 'web' ? 'primary' : 'sibling';
  return { name, role, mac: `0a:58:c6:12:00:0${last}`, ipv4: `198.18.0.${last}`, ipv6: `fd99:18::${last}` };
}

function sandbox(piece: 'web' | 'cache', other: 'web' | 'cache'): Sandbox {
  const { name, role, ...self } = peer(piece);
  const wiring: Wiring = {
    version: 1,
    split: '0a1b2c3d4e',
    piece: name,
    role,
    release: 'go',
    self,
    peers: [peer(other)],
    pool: { ipv4: '198.18.0.0/15', ipv6: 'fd99:18::/64' },
    flows: [],
    facade: [],
  };
  return {
    version: 1,
    id: `${piece}0123456789`,
    network: 'podsplit-web-0123456789ab',
    netns: `/run/netns/cni-${piece}`,
    pod: { namespace: 'shop', name: piece, uid: piece },
    split: 'shop/0a1b2c3d4e',
    piece,
    isPrimary: role === 'primary',
    wiring: formatWiring(wiring),
    local: { podIPs: [`10.244.1.2${ends[piece]}`], nodeIPs: ['10.244.1.1'] },
    host: { net1: `veth${piece}` },
    links: '',
  };
}

const web = sandbox('web', 'cache');
const cache = sandbox('cache', 'web');
const now = '2026-01-02T03:04:05Z';

function attempt(changed: Partial<Attempt>): Attempt {
  return {
    interfaceName: 'net1',
    from: '',
    to: '',
    protocol: 'tcp',
    port: 6379,
    packets: 3,
    expiresIn: 3600,
    ...changed,
  };
}

describe('records of what was denied', () => {
  it('are read from what nft lists, with names and with numbers for protocols', () => {
    const element = (protocol: string | number) => ({
      elem: {
        val: { concat: ['net1', '198.18.0.2', '198.18.0.3', protocol, 6379] },
        expires: 3599,
        counter: { packets: 5, bytes: 300 },
      },
    });
    const listing = {
      nftables: [
        { metainfo: { version: '1.0.6' } },
        { counter: { name: 'wiring', packets: 0, comment: 'closed' } },
        { counter: { name: 'denied_out', packets: 7, bytes: 420 } },
        { set: { name: 'tried4', elem: [element('tcp'), element(17), element('sctp')] } },
        { set: { name: 'tried6' } },
        { set: { name: 'peer4', elem: [{ concat: ['0a:58:c6:12:00:03', '198.18.0.3'] }] } },
      ],
    };
    const { counters, attempts, full } = parseRecords(listing);
    expect(full).to.deep.equal([]);
    expect(counters).to.deep.equal({ denied_out: 7 });
    expect(attempts).to.deep.equal(
      (['tcp', 'udp'] as const).map((protocol) => ({
        interfaceName: 'net1',
        from: '198.18.0.2',
        to: '198.18.0.3',
        protocol,
        port: 6379,
        packets: 5,
        expiresIn: 3599,
      })),
    );
  });

  it('name the containers, whichever side dropped it and by whatever address it went', () => {
    const names = (one: Attempt, seenBy: Sandbox, peers: readonly Sandbox[]) => {
      const { from, to, network } = denialOf(one, seenBy, peers, now);
      return `${from}->${to} ${network}`;
    };
    expect(names(attempt({ from: '198.18.0.2', to: '198.18.0.3' }), web, [cache])).to.equal('web->cache peer');
    expect(names(attempt({ from: '198.18.0.2', to: '198.18.0.3' }), cache, [web])).to.equal('web->cache peer');
    expect(names(attempt({ from: 'fd99:18::3', to: 'fd99:18::2' }), web, [cache])).to.equal('cache->web peer');
    const byPodIP = attempt({ interfaceName: 'eth0', from: '10.244.1.23', to: '10.244.1.22' });
    expect(names(byPodIP, cache, [web])).to.equal('cache->web pod');
    expect(names(byPodIP, web, [cache])).to.equal('cache->web pod');
  });

  it('name the sibling that serves the port where another called it by their own Service', () => {
    const other: Peer = { name: 'log', role: 'sibling', mac: '0a:58:c6:12:00:04', ipv4: '198.18.0.4' };
    const read = parseWiring(web.wiring);
    const primary: Sandbox = {
      ...web,
      wiring: formatWiring({
        ...read,
        peers: [...read.peers, other],
        facade: [{ piece: 'cache', port: 6379, protocol: 'tcp' }],
      }),
    };
    const caller = { ...cache, piece: 'log', local: { ...cache.local, podIPs: ['10.244.1.24'] } };
    const call = attempt({ interfaceName: 'eth0', from: '10.244.1.24', to: '10.244.1.22' });
    const names = ({ from, to, seenBy }: Denial) => [from, to, seenBy];
    expect(names(denialOf(call, primary, [cache, caller], now))).to.deep.equal(['log', 'cache', 'web']);
    const own = denialOf({ ...call, port: 8080 }, primary, [cache, caller], now);
    expect(names(own)).to.deep.equal(['log', 'web', 'web']);
  });

  it('name nobody whom a piece called at its own loopback, unless one other container is known to serve the port', () => {
    const log: Peer = { name: 'log', role: 'sibling', mac: '0a:58:c6:12:00:04', ipv4: '198.18.0.4' };
    const read = parseWiring(web.wiring);
    const primary: Sandbox = {
      ...web,
      wiring: formatWiring({
        ...read,
        peers: [...read.peers, log],
        flows: [
          { from: 'log', to: 'cache', port: 7001, protocol: 'tcp' },
          { from: 'log', to: 'cache', port: 7002, protocol: 'tcp' },
          { from: 'cache', to: 'log', port: 7002, protocol: 'tcp' },
        ],
        facade: [{ piece: 'cache', port: 6379, protocol: 'tcp' }],
      }),
    };
    const [podIP = ''] = web.local.podIPs;
    const told = (port: number, address = '127.0.0.1', protocol: Attempt['protocol'] = 'tcp'): Denial =>
      denialOf(
        { ...attempt({ interfaceName: 'lo', from: address, to: address }), port, protocol },
        primary,
        [cache],
        now,
      );
    expect(told(9000)).to.deep.equal({
      from: 'web',
      to: '127.0.0.1',
      address: '127.0.0.1',
      port: 9000,
      protocol: 'tcp',
      network: 'loopback',
      seenBy: 'web',
      packets: 3,
      lastSeen: now,
    });
    for (const address of ['::1', podIP]) expect(told(9000, address)).to.include({ from: 'web', to: address, address });
    expect(told(6379), "at the Pod's address").to.include({ to: 'cache', address: '127.0.0.1', network: 'loopback' });
    expect(told(7001), 'in a flow of others').to.include({ to: 'cache' });
    expect(told(6379, '127.0.0.1', 'udp'), 'another protocol').to.include({ to: '127.0.0.1' });
    expect(told(7002), 'two serve it').to.include({ to: '127.0.0.1' });
  });

  it('name a stranger by its address', () => {
    const stranger = attempt({ interfaceName: 'eth0', from: '10.244.2.9', to: '10.244.1.23' });
    expect(denialOf(stranger, cache, [web], now)).to.deep.equal({
      from: '10.244.2.9',
      to: 'cache',
      address: '10.244.1.23',
      port: 6379,
      protocol: 'tcp',
      network: 'pod',
      seenBy: 'cache',
      packets: 3,
      lastSeen: now,
    });
  });
});
