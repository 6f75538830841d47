import { expect } from 'chai';
import type { ObservedUse } from '../api/resources.ts';
import type { Pod, Service } from '../kube/resources.ts';
import { flowsOf, formatLeastPolicy, leastPolicies, type LeastPolicyInput } from './least-policy.ts';
import { parseManifests } from './manifest-yaml.ts';

const web = pod('web-1', 'shop', { app: 'web', 'pod-template-hash': 'x', 'podsplit.io/role': 'primary' }, '10.0.0.1');
const input: LeastPolicyInput = {
  namespace: 'shop',
  pod: 'web-1',
  workload: { kind: 'Deployment', name: 'web' },
  containers: ['app', 'cache', 'log'],
  primary: web,
  pods: [
    web,
    pod('db-0', 'shop', { app: 'db', 'statefulset.kubernetes.io/pod-name': 'db-0' }, '10.0.0.2'),
    pod('bank-1', 'bank', { app: 'bank' }, '10.0.0.3'),
    { ...pod('proxy', 'kube-system', { app: 'proxy' }, '192.0.2.1'), spec: { hostNetwork: true, containers: [] } },
    pod('bare', 'shop', {}, '10.0.0.9'),
  ],
  services: [
    service('dns', 'kube-system', { 'k8s-app': 'dns' }, '10.96.0.10', [
      { name: 'dns', port: 53, protocol: 'UDP', targetPort: 'dns' },
    ]),
    service('kubernetes', 'default', undefined, '10.96.0.1', [{ port: 443, targetPort: 6443 }]),
  ],
  observed: [
    peer('app', 'cache', 6379),
    peer('app', 'cache', 6380),
    peer('cache', 'log', 8125, 'udp'),
    eth0('app', '10.96.0.10', 53, 'udp'),
    eth0('app', '10.96.0.1', 443),
    eth0('app', '10.0.0.2', 5432),
    eth0('app', '10.0.0.3', 80),
    eth0('cache', '192.0.2.1', 9100),
    eth0('cache', '10.0.0.9', 1234),
    eth0('cache', '2001:db8::9', 443),
  ],
};

describe('the least policy that fits what was seen', () => {
  const policies = leastPolicies(input);
  const own = { podSelector: { matchLabels: { app: 'web' } } };
  const port = (wanted: number | string, protocol = 'TCP') => ({ protocol, port: wanted });

  it('selects each container by its name, and the Pods by labels that last', () => {
    expect(policies.map(({ spec }) => [spec.podSelector, spec.containers, spec.policyTypes])).to.deep.equal(
      ['app', 'cache', 'log'].map((container) => [own.podSelector, [container], ['Egress']]),
    );
  });

  it('allows each container its peers, and by eth0 Pods and Services by labels, all else by address', () => {
    const at = (namespace: string) => ({
      namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
    });
    expect(policies[0]?.spec.egress).to.have.deep.members([
      { to: [{ ...own, containers: ['cache'] }], ports: [port(6379), port(6380)] },
      {
        to: [{ ...at('kube-system'), podSelector: { matchLabels: { 'k8s-app': 'dns' } } }],
        ports: [port('dns', 'UDP')],
      },
      { to: [{ ipBlock: { cidr: '10.96.0.1/32' } }], ports: [port(443)] },
      { to: [{ podSelector: { matchLabels: { app: 'db' } } }], ports: [port(5432)] },
      { to: [{ ...at('bank'), podSelector: { matchLabels: { app: 'bank' } } }], ports: [port(80)] },
    ]);
    expect(policies[1]?.spec.egress).to.have.deep.members([
      { to: [{ ...own, containers: ['log'] }], ports: [port(8125, 'UDP')] },
      { to: [{ ipBlock: { cidr: '192.0.2.1/32' } }], ports: [port(9100)] },
      { to: [{ ipBlock: { cidr: '10.0.0.9/32' } }], ports: [port(1234)] },
      { to: [{ ipBlock: { cidr: '2001:db8::9/128' } }], ports: [port(443)] },
    ]);
  });

  it('closes a container that called nobody', () => {
    expect(policies[2]?.spec.egress).to.deep.equal([]);
  });

  it('is YAML to apply, with the annotation that says the same of the peer network in a comment', () => {
    const text = formatLeastPolicy(input);
    expect(parseManifests(text)).to.deep.equal({ kind: 'documents', documents: policies });
    expect(text).to.contain(
      "#   kubectl annotate --overwrite deployment web -n shop \\\n#     podsplit.io/flows='app->cache:6379,app->cache:6380,cache->log:8125/udp'\n",
    );
    expect(formatLeastPolicy({ ...input, observed: [] })).to.contain("podsplit.io/flows='none'");
    expect(flowsOf(input.observed)).to.have.length(3);
    expect(flowsOf([peer("';reboot'", 'cache', 1)]), 'somebody pastes it into a shell').to.deep.equal([]);
  });

  it('writes no policy for Pods that no label selects', () => {
    expect(
      leastPolicies({ ...input, primary: pod('bare', 'shop', { 'pod-template-hash': 'x' }, '10.0.0.1') }),
    ).to.deep.equal([]);
  });
});

function peer(from: string, to: string, port: number, protocol: 'tcp' | 'udp' = 'tcp'): ObservedUse {
  return { from, to, port, protocol, network: 'peer', connections: 1, lastSeen: '', wouldDeny: false };
}

function eth0(from: string, to: string, port: number, protocol: 'tcp' | 'udp' = 'tcp'): ObservedUse {
  return { ...peer(from, to, port, protocol), network: 'pod' };
}

function pod(name: string, namespace: string, labels: Readonly<Record<string, string>>, ip: string): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels },
    spec: { containers: [] },
    status: { podIPs: [{ ip }] },
  };
}

function service(
  name: string,
  namespace: string,
  selector: Record<string, string> | undefined,
  address: string,
  ports: { name?: string; port: number; protocol?: 'UDP'; targetPort: number | string }[],
): Service {
  const spec = { clusterIPs: [address], ports, ...(selector && { selector }) };
  return { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace }, spec };
}
