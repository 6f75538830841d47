import { expect } from 'chai';
import { parseDenials } from './denied.ts';

// As nft 1.0.6 prints it.
const listed = {
  nftables: [
    { metainfo: { version: '1.0.6', json_schema_version: 1 } },
    { counter: { family: 'inet', name: 'denied_out', table: 'podsplit', handle: 2, packets: 4, bytes: 240 } },
    {
      set: {
        family: 'inet',
        name: 'tried4',
        table: 'podsplit',
        type: ['ifname', 'ipv4_addr', 'ipv4_addr', 'inet_proto', 'inet_service'],
        elem: [
          element(['net1', '198.18.0.3', '198.18.0.5', 'tcp', 8126], 1),
          element(['eth0', '10.244.1.9', '10.244.1.4', 6, 8126], 3),
        ],
      },
    },
    { set: { family: 'inet', name: 'peers4', table: 'podsplit', elem: ['198.18.0.3'] } },
    { set: { family: 'inet', name: 'tried6', table: 'podsplit' } },
  ],
};

function element(concat: readonly unknown[], packets: number) {
  return { elem: { val: { concat }, timeout: 3600, expires: 3590, counter: { packets, bytes: packets * 60 } } };
}

describe('denials of a piece', () => {
  it('are read from the sets that record them, the busiest first', () => {
    const seen = parseDenials(JSON.stringify(listed)).map(
      ({ interface: device, from, to, protocol, port, packets }) =>
        `${device}: ${from} -> ${to} ${protocol}/${port}, ${packets}`,
    );
    expect(seen).to.deep.equal([
      'eth0: 10.244.1.9 -> 10.244.1.4 tcp/8126, 3',
      'net1: 198.18.0.3 -> 198.18.0.5 tcp/8126, 1',
    ]);
  });

  it('are none where nobody was denied', () => {
    expect(parseDenials(JSON.stringify({ nftables: [] }))).to.deep.equal([]);
  });
});
