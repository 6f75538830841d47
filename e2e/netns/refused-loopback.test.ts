// What the kernel refuses inside of a piece is recorded, and nothing else that happens on its loopback is.

import { expect } from 'chai';
import { parseRecords, type Attempt } from '../../controller/agent/denials.ts';
import type { Flow } from '../../controller/api/flow.ts';
import { recordSize } from '../../controller/rules/redirect-sets.ts';
import { flows, Lab, node, sites, type PieceName } from './lab.ts';
import type { Namespace } from './namespace.ts';

const { web, cache } = sites;
const refused = { error: 'ECONNREFUSED' };
const denied = { error: 'ETIMEDOUT' };
const patience = 0.2;
const protocols = ['tcp', 'udp'] as const;
const loopback = ['127.0.0.1', '::1'] as const;

/** Ports of nobody, but for those that it listens at in the course of a test. */
const closed = 9000;
const own = 9301;
const aborted = 9302;
/** In a flow from web to cache, or to web; nobody listens at either. */
const silent = 6400;
const declared = 9401;

const wired: readonly Flow[] = [
  ...flows,
  ...protocols.flatMap((protocol): readonly Flow[] => [
    { from: 'web', to: 'cache', port: silent, protocol },
    { from: 'statsd', to: 'web', port: declared, protocol },
  ]),
];

describe('what a piece calls at its own loopback, in network namespaces', function () {
  this.timeout(120_000);
  let lab: Lab;

  before(async () => {
    lab = Lab.start();
    await lab.cache.listen('tcp', '::', 6303, true);
    await lab.cache.listen('udp', '::', 6303, true);
  });

  beforeEach(() => {
    // A new table has new sets.
    for (const piece of lab.pieces()) lab.wire(piece, { flows: wired });
  });

  after(() => {
    lab.end();
  });

  for (const piece of ['web', 'statsd'] as const) {
    it(`is refused at once as ever and recorded, by whatever address it called: ${piece}`, async () => {
      const addresses = [...loopback, ...sites[piece].podIPs];
      for (const proto of protocols) {
        for (const host of addresses) {
          expect(await lab[piece].call({ proto, host, port: closed }), `${proto} ${host}`).to.deep.equal(refused);
        }
      }
      const expected = addresses.flatMap((address) =>
        protocols.map((protocol) => `${address} ${closed}/${protocol} 1`),
      );
      expect(told(piece).sort()).to.deep.equal(expected.sort());
      expect(lab.counter(piece, 'refused_loopback')).to.equal(expected.length);
      // The caller's address is its own, so it cannot be taken for somebody else's.
      for (const { from, to } of ownLoopback(piece)) expect(from).to.equal(to);
    });
  }

  it('is counted', async () => {
    for (let calls = 0; calls < 3; calls++) await lab.web.call({ proto: 'tcp', host: '127.0.0.1', port: closed });
    expect(told('web')).to.deep.equal([`127.0.0.1 ${closed}/tcp 3`]);
  });

  it('is not recorded where a flow carries it, whether somebody listens there or not', async () => {
    for (const host of loopback) {
      for (const proto of protocols) {
        expect(await lab.web.call({ proto, host, port: 6303 })).to.have.property('server', 'cache');
        expect(await lab.web.call({ proto, host, port: silent }), `${host} ${proto}`).to.deep.equal(refused);
      }
    }
    for (const piece of lab.pieces()) expect(records(piece), piece).to.deep.equal([]);
  });

  it('is not recorded at a port that the piece declares, where it does not listen yet', async () => {
    for (const host of [...loopback, ...web.podIPs]) {
      for (const proto of protocols) {
        expect(await lab.web.call({ proto, host, port: declared }), `${host} ${proto}`).to.deep.equal(refused);
      }
    }
    expect(records('web')).to.deep.equal([]);
    expect(lab.counter('web', 'refused_loopback')).to.equal(0);
  });

  it('is forgotten once the port answers: the piece was early at a port of its own', async () => {
    for (const host of [...loopback, ...web.podIPs]) {
      expect(await lab.web.call({ proto: 'tcp', host, port: own })).to.deep.equal(refused);
    }
    await lab.web.call({ proto: 'tcp', host: '127.0.0.1', port: closed });
    expect(told('web')).to.have.length(5);
    await lab.web.listen('tcp', '::', own, true);
    for (const host of [...loopback, ...web.podIPs]) {
      expect(await lab.web.call({ proto: 'tcp', host, port: own })).to.have.property('server', 'web');
    }
    expect(told('web')).to.deep.equal([`127.0.0.1 ${closed}/tcp 1`]);
    await lab.web.must('unlisten', { port: own });
  });

  it('is not recorded where an open connection is aborted', async () => {
    await lab.web.listen('tcp', '::', aborted, true);
    for (const host of loopback) {
      expect(await lab.web.open('aborted', { proto: 'tcp', host, port: aborted })).to.have.property('server', 'web');
      const before = resets(lab.web);
      await lab.web.must('abort', { key: 'aborted' });
      expect(resets(lab.web), 'a reset was sent').to.be.greaterThan(before);
    }
    await lab.web.must('unlisten', { port: aborted });
    expect(records('web')).to.deep.equal([]);
  });

  it('is not recorded of an answer to who is gone: nobody called that port', () => {
    lab.web.run(['python3', '-c', answerTheGone]);
    expect(records('web')).to.deep.equal([]);
  });

  it('is told apart from what the rules drop, and from what others call here', async () => {
    for (const host of [cache.ipv4, cache.ipv6]) {
      expect(await lab.web.call({ proto: 'tcp', host, port: closed, timeout: patience })).to.deep.equal(denied);
    }
    for (const host of web.podIPs) {
      expect(await lab.node.call({ proto: 'tcp', host, port: closed }), node.ipv4).to.deep.equal(refused);
      expect(await lab.other.call({ proto: 'tcp', host, port: closed })).to.deep.equal(refused);
    }
    const at = records('web').map(({ interfaceName, to }) => `${interfaceName} ${to}`);
    expect(at.sort()).to.deep.equal([`net1 ${cache.ipv4}`, `net1 ${cache.ipv6}`]);
    expect(told('web')).to.deep.equal([]);
    expect(lab.counter('web', 'refused_loopback')).to.equal(0);
  });

  it('fills no more than the set, at a bounded rate, and is refused all the same', async () => {
    const [atOnce, slowly] = [flood(0), flood(0.01)].map((script) => ['python3', '-c', script]);
    lab.web.run(atOnce!);
    expect(told('web').length).to.be.within(50, 200);
    lab.web.run(slowly!);
    expect(records('web')).to.have.length(recordSize);
    expect(lab.counter('web', 'refused_loopback')).to.equal(2000);
    expect(await lab.web.call({ proto: 'tcp', host: '127.0.0.1', port: closed })).to.deep.equal(refused);
    expect(await lab.web.call({ proto: 'tcp', host: '127.0.0.1', port: 6303 })).to.have.property('server', 'cache');
  });

  function records(piece: PieceName): readonly Attempt[] {
    return parseRecords(JSON.parse(lab[piece].run(['nft', '-j', 'list', 'table', 'inet', 'podsplit']))).attempts;
  }

  function ownLoopback(piece: PieceName): readonly Attempt[] {
    return records(piece).filter(({ interfaceName }) => interfaceName === 'lo');
  }

  function told(piece: PieceName): string[] {
    return ownLoopback(piece).map(({ to, port, protocol, packets }) => `${to} ${port}/${protocol} ${packets}`);
  }
});

/** Segments with RST that the namespace has sent. */
function resets(where: Namespace): number {
  const [names = '', values = ''] = where.run(['grep', '^Tcp:', '/proc/net/snmp']).trim().split('\n');
  return Number(values.split(' ')[names.split(' ').indexOf('OutRsts')]);
}

/** A server that answers a datagram after its sender has closed the socket. */
const answerTheGone = `
import socket
for family, host in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):
    server, client = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_DGRAM)
    server.bind((host, 9303))
    client.sendto(b'hello', (host, 9303))
    client.close()
    _, peer = server.recvfrom(100)
    server.sendto(b'too late', peer)
`;

function flood(pause: number): string {
  return `
import socket, time
for port in range(20000, 21000):
    with socket.socket() as sock:
        assert sock.connect_ex(('127.0.0.1', port)) == 111
    time.sleep(${pause})
`;
}
