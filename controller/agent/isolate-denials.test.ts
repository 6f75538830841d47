import { expect } from 'chai';
import { outsider, stranger } from '../rules/isolate-model.ts';
import { byProxy } from '../rules/isolate-via.ts';
import { formatIsolateWiring } from '../rules/isolate-wiring.ts';
import type { Attempt } from './denials.ts';
import { isolateDenialOf } from './isolate-denials.ts';
import type { IsolatedSandbox } from './isolate-sandbox.ts';

const sandbox: IsolatedSandbox = {
  version: 1,
  mode: 'isolate',
  id: 'abc',
  network: 'podsplit-web-0123456789ab-isolate',
  netns: '/run/netns/abc',
  pod: { namespace: 'shop', name: 'web', uid: 'u' },
  split: 'shop/0a1b2c3d4e',
  isPrimary: true,
  wiring: formatIsolateWiring({
    version: 1,
    mode: 'isolate',
    split: '0a1b2c3d4e',
    containers: [
      { name: 'web', uid: 1001, ports: [], probes: [] },
      { name: 'cache', uid: 1002, ports: [{ port: 6379, protocol: 'tcp' }], probes: [] },
    ],
    flows: [{ from: 'web', to: 'cache', port: 8126, protocol: 'udp' }],
  }),
  local: { podIPs: ['10.244.1.7'], nodeIPs: ['10.244.1.1'] },
};

function told(mark: number, from: string, to: string, port: number): string {
  const attempt: Attempt = {
    interfaceName: String(mark),
    from,
    to,
    protocol: port === 8126 ? 'udp' : 'tcp',
    port,
    packets: 1,
    expiresIn: 1,
  };
  const denial = isolateDenialOf(attempt, sandbox, '2026-01-01T00:00:00Z');
  return `${denial.from} ${denial.to} ${denial.network} by ${denial.seenBy}`;
}

describe('what an isolated Pod was denied', () => {
  for (const [what, mark, from, to, port, expected] of [
    ['a call of a declared port', 1, '127.0.0.1', '127.0.0.1', 6379, 'web cache loopback by web'],
    [
      'a datagram that nobody answered yet, by its flow',
      1,
      '127.0.0.1',
      '127.0.0.1',
      8126,
      'web cache loopback by web',
    ],
    ['a call that another answered', 1 | (2 << 8), '10.244.1.7', '10.244.1.7', 99, 'web cache loopback by web'],
    ['a call of nobody knows whom', 2, '::1', '::1', 99, 'cache ::1 loopback by cache'],
    ['a call beyond the Pod', 2, '10.244.1.7', '192.0.2.1', 443, 'cache 192.0.2.1 pod by cache'],
    ['one that was to be carried', 2 | (byProxy << 8), '10.244.1.7', '192.0.2.1', 443, 'cache 192.0.2.1 pod by cache'],
    ['a call from beyond', outsider | (2 << 8), '192.0.2.1', '10.244.1.7', 6379, '192.0.2.1 cache pod by cache'],
    ['one that nobody answered', outsider, '192.0.2.1', '10.244.1.7', 6379, '192.0.2.1 cache pod by cache'],
    ['a user that is no container', stranger, '127.0.0.1', '127.0.0.1', 6379, 'unknown-user cache loopback by cache'],
  ] as const) {
    it(`names ${what}`, () => {
      expect(told(mark, from, to, port)).to.equal(expected);
    });
  }

  it('and what passed, though policies that audit would refuse it', () => {
    const attempt: Attempt = {
      interfaceName: '1',
      from: '10.244.1.7',
      to: '192.0.2.1',
      protocol: 'tcp',
      port: 443,
      packets: 1,
      audited: true,
      expiresIn: 1,
    };
    expect(isolateDenialOf(attempt, sandbox, '2026-01-01T00:00:00Z')).to.include({ from: 'web', audited: true });
  });
});
