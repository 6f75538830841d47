import { expect } from 'chai';
import type { IsolateWiring } from '../rules/isolate-wiring.ts';
import { markOf } from '../rules/isolate-model.ts';
import { byProxy } from '../rules/isolate-via.ts';
import type { Attempt } from './denials.ts';
import { isolateUse, parseReceivers } from './isolate-uses.ts';

const wiring: Pick<IsolateWiring, 'containers' | 'flows'> = {
  containers: [
    { name: 'web', uid: 1001, ports: [], probes: [] },
    { name: 'cache', uid: 1002, ports: [{ port: 8125, protocol: 'udp' }], probes: [] },
    { name: 'log', uid: 1003, ports: [], probes: [] },
  ],
  flows: [
    { from: 'web', to: 'cache', port: 6379, protocol: 'tcp' },
    { from: 'web', to: 'log', port: 514, protocol: 'udp' },
  ],
};
const receivers = new Map([
  [514, 1002],
  [9000, 1003],
  [9001, 0],
]);

function told(mark: number, to: string, protocol: 'tcp' | 'udp', port: number): string {
  const attempt: Attempt = { interfaceName: String(mark), from: to, to, protocol, port, packets: 1, expiresIn: 1 };
  const use = isolateUse(attempt, wiring, ['10.244.1.7'], receivers);
  return `${use.from} ${use.to} ${use.network}${use.wouldDeny ? ' would be denied' : ''}`;
}

describe('what the containers of an isolated Pod used', () => {
  for (const [what, mark, to, protocol, port, expected] of [
    ['a flow', markOf(1, 2), '127.0.0.1', 'tcp', 6379, 'web cache loopback'],
    ['what is no flow', markOf(3, 2), '10.244.1.7', 'tcp', 6379, 'log cache loopback would be denied'],
    ['a datagram of a flow', markOf(1, 0), '127.0.0.1', 'udp', 514, 'web log loopback'],
    ['one to a declared port', markOf(3, 0), '::1', 'udp', 8125, 'log cache loopback would be denied'],
    ['one to whoever has a socket there', markOf(1, 0), '::1', 'udp', 9000, 'web log loopback would be denied'],
    ['one to nobody', markOf(1, 0), '::1', 'udp', 9001, 'web ::1 loopback would be denied'],
    ['a call that is carried', markOf(1, byProxy), '192.0.2.1', 'tcp', 443, 'web 192.0.2.1 pod'],
    ['a call beyond the Pod', markOf(1, 0), '192.0.2.1', 'tcp', 443, 'web 192.0.2.1 pod'],
  ] as const) {
    it(`names ${what}`, () => {
      expect(told(mark, to, protocol, port)).to.equal(expected);
    });
  }

  it('reads whose UDP sockets there are', () => {
    const lines = [
      'UNCONN 0      0         127.0.0.54:53         0.0.0.0:*    uid:101 ino:19 sk:1 cgroup:/a <->',
      'UNCONN 0      0                  *:8125             *:*    uid:1002 ino:7 sk:3 cgroup:/b v6only:0 <->',
      'UNCONN 0      0       0.0.0.0%eth0:68         0.0.0.0:*    ino:20 sk:2 cgroup:/c <->',
      '',
    ];
    expect([...parseReceivers(lines.join('\n'))]).to.deep.equal([
      [53, 101],
      [8125, 1002],
    ]);
  });
});
