import { expect } from 'chai';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { directoryOf } from './read-directory.ts';

const nothing = { pods: [], namespaces: [], services: [], endpointSlices: [] };

function pod(
  name: string,
  labels: Record<string, string>,
  ips: readonly string[],
  more: Partial<IPod['spec']> = {},
): IPod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'shop', uid: `uid-${name}`, labels },
    spec: { containers: [{ name, ports: [{ containerPort: 80, name: 'http' }] }], ...more },
    status: { phase: 'Running', podIPs: ips.map((ip) => ({ ip })) },
  };
}

describe('what policies are resolved against', () => {
  it('has a split Pod once, with the containers of its siblings and their addresses', () => {
    const own = { 'podsplit.io/split': 'ab', 'podsplit.io/workload': 'w' };
    const primary = pod('web', { app: 'web', 'podsplit.io/role': 'primary', ...own }, ['10.0.0.1'], {
      // As admission leaves it: the siblings' ports are added to its own.
      containers: [{ name: 'web', ports: [{ containerPort: 80 }, { containerPort: 6379, name: 'redis' }] }],
    });
    const sibling = pod(
      'web-cache',
      { 'podsplit.io/role': 'sibling', 'label.podsplit.io/app': 'web', ...own },
      ['10.0.0.2'],
      {
        containers: [{ name: 'cache', ports: [{ containerPort: 6379, name: 'redis' }] }],
      },
    );
    expect(directoryOf({ ...nothing, pods: [primary, sibling] }).pods).to.deep.equal([
      {
        namespace: 'shop',
        name: 'web',
        uid: 'uid-web',
        labels: { app: 'web' },
        podIPs: ['10.0.0.1'],
        mode: 'split',
        containers: [
          { name: 'web', ports: [{ port: 80, protocol: 'tcp' }], podIPs: ['10.0.0.1'] },
          { name: 'cache', ports: [{ name: 'redis', port: 6379, protocol: 'tcp' }], podIPs: ['10.0.0.2'] },
        ],
      },
    ]);
  });

  it('does not mix the siblings of Pods in two namespaces, nor of Pods that are not wired', () => {
    const here = pod('a', { 'podsplit.io/role': 'primary' }, []);
    const sibling = pod('b', { 'podsplit.io/role': 'sibling', 'podsplit.io/split': 'ab' }, ['10.0.0.2']);
    const elsewhere = { ...sibling, metadata: { ...sibling.metadata, namespace: 'other' } };
    expect(
      directoryOf({ ...nothing, pods: [here, elsewhere] }).pods.map(({ containers }) => containers.length),
    ).to.deep.equal([1]);
  });

  it('knows how a Pod was opted in, and gives no address of one that has ended or is in the network of its node', () => {
    const pods = [
      pod('plain', {}, ['10.0.0.1']),
      pod('isolated', { 'podsplit.io/role': 'isolated' }, ['10.0.0.2']),
      { ...pod('ended', {}, ['10.0.0.3']), status: { phase: 'Succeeded' as const, podIPs: [{ ip: '10.0.0.3' }] } },
      pod('host', {}, ['172.16.0.1'], { containers: [{ name: 'host' }], hostNetwork: true }),
    ];
    expect(
      directoryOf({ ...nothing, pods }).pods.map(({ name, mode, podIPs }) => [name, mode, ...podIPs]),
    ).to.deep.equal([
      ['plain', 'plain', '10.0.0.1'],
      ['isolated', 'isolate', '10.0.0.2'],
      ['ended', 'plain'],
      ['host', 'plain'],
    ]);
  });

  it('counts native sidecars among the containers', () => {
    const more = {
      containers: [{ name: 'a' }],
      initContainers: [{ name: 'once' }, { name: 'proxy', restartPolicy: 'Always' }],
    };
    expect(
      directoryOf({ ...nothing, pods: [pod('a', {}, [], more)] }).pods[0]?.containers.map(({ name }) => name),
    ).to.deep.equal(['a', 'proxy']);
  });

  it('joins Services with their endpoints by the names of ports, and leaves out those without an address', () => {
    const metadata = { name: 'web', namespace: 'shop' };
    const slice = (
      endpoints: readonly string[],
      ports: readonly { name?: string; port: number; protocol: 'TCP' | 'UDP' }[],
    ) => ({
      apiVersion: 'discovery.k8s.io/v1' as const,
      kind: 'EndpointSlice' as const,
      metadata: { name: 'x', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
      addressType: 'IPv4' as const,
      endpoints: endpoints.map((address) => ({ addresses: [address] })),
      ports: [...ports],
    });
    const { services } = directoryOf({
      ...nothing,
      services: [
        {
          apiVersion: 'v1',
          kind: 'Service',
          metadata,
          spec: {
            clusterIPs: ['10.96.0.9', 'fd00::9'],
            ports: [
              { name: 'http', port: 80 },
              { name: 'dns', port: 53, protocol: 'UDP' },
            ],
          },
        },
        {
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name: 'headless', namespace: 'shop' },
          spec: { clusterIPs: ['None'] },
        },
      ],
      endpointSlices: [
        slice(['10.0.0.1', '10.0.0.2'], [{ name: 'http', port: 8080, protocol: 'TCP' }]),
        slice(['10.0.0.3'], [{ name: 'dns', port: 5353, protocol: 'UDP' }]),
      ],
    });
    expect(services).to.deep.equal([
      {
        namespace: 'shop',
        name: 'web',
        clusterIPs: ['10.96.0.9', 'fd00::9'],
        ports: [
          {
            port: 80,
            protocol: 'tcp',
            endpoints: [
              { address: '10.0.0.1', port: 8080 },
              { address: '10.0.0.2', port: 8080 },
            ],
          },
          { port: 53, protocol: 'udp', endpoints: [{ address: '10.0.0.3', port: 5353 }] },
        ],
      },
    ]);
  });
});
