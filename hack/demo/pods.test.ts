import { expect } from 'chai';
import { execArguments, findWebPods } from './pods.ts';

const meta = (name: string, labels: Record<string, string>) => ({ name, labels });
const running = (...ips: string[]) => ({ phase: 'Running', podIPs: ips.map((ip) => ({ ip })) });
const containers = (...names: string[]) => ({ containers: names.map((name) => ({ name })) });

const whole = {
  metadata: meta('web-1', { app: 'web' }),
  spec: containers('nginx', 'statsd'),
  status: running('10.0.0.1', 'fd00::1'),
};
const split = {
  primary: {
    metadata: meta('web-2', { app: 'web', 'podsplit.io/split': 'abc', 'podsplit.io/role': 'primary' }),
    spec: containers('nginx'),
    status: running('fd00::2'),
  },
  sibling: {
    metadata: {
      ...meta('web-2-statsd', { 'podsplit.io/split': 'abc', 'podsplit.io/role': 'sibling' }),
      annotations: {
        'k8s.v1.cni.cncf.io/network-status': JSON.stringify([
          { name: 'cbr0', interface: 'eth0', ips: ['10.0.0.3'] },
          { name: 'demo/podsplit-web', interface: 'net1', ips: ['198.18.0.3', 'fd01::3'] },
        ]),
      },
    },
    spec: containers('statsd'),
    status: running('10.0.0.3'),
  },
};
const client = { metadata: meta('client', { app: 'client' }), spec: containers('client'), status: running('10.0.0.9') };

const anywhere = { from: 'nginx', argv: ['try', '{addresses of statsd}'] } as const;

describe('pods of the demo', () => {
  it('finds the containers of a whole Pod', () => {
    const [pod] = findWebPods([whole, client]);
    expect(execArguments('ns', pod!, anywhere)).to.deep.equal([
      '-n',
      'ns',
      'exec',
      'web-1',
      '-c',
      'nginx',
      '--',
      'try',
      '127.0.0.1',
      '::1',
      '10.0.0.1',
      'fd00::1',
    ]);
  });

  it('finds the pieces of a split Pod, and every address of theirs', () => {
    const pods = findWebPods([client, split.sibling, split.primary]);
    expect(pods).to.have.length(1);
    expect(execArguments('ns', pods[0]!, { ...anywhere, from: 'statsd' })).to.deep.equal([
      ...['-n', 'ns', 'exec', 'web-2-statsd', '-c', 'statsd', '--', 'try'],
      ...['127.0.0.1', '::1', 'fd00::2', '10.0.0.3', '198.18.0.3', 'fd01::3'],
    ]);
  });

  it('puts an IPv6 host into brackets, and runs the client in its own Pod', () => {
    const [pod] = findWebPods([split.primary, split.sibling]);
    expect(execArguments('ns', pod!, { from: 'client', argv: ['curl', 'http://{host}:8080/'] })).to.deep.equal([
      '-n',
      'ns',
      'exec',
      'client',
      '--',
      'curl',
      'http://[fd00::2]:8080/',
    ]);
  });

  it('passes over Pods that are on their way out', () => {
    const leaving = { ...whole, metadata: { ...whole.metadata, deletionTimestamp: '2030-01-01T00:00:00Z' } };
    expect(findWebPods([leaving])).to.deep.equal([]);
  });
});
