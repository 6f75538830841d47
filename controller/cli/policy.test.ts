import { expect } from 'chai';
import type { ContainerNetworkPolicy } from '../api/container-network-policy.ts';
import type { Directory, PolicySubject } from '../policies/directory.ts';
import { explainPod } from '../policies/explain-pod.ts';
import { CliError } from './cli-error.ts';
import { parseQuestion, requireKnown, type Seen } from './policy-question.ts';
import { formatAnswer, formatPolicyReport, policyReport } from './policy-report.ts';
import { ran } from './testdata/ran.ts';
import { storedClient } from './testdata/stored-client.ts';
import { stored } from './testdata/stored-pods.ts';

const subject: PolicySubject = {
  namespace: 'shop',
  name: 'web-0',
  uid: 'u',
  labels: { app: 'web' },
  containers: [
    { name: 'web', ports: [{ name: 'http', port: 8080, protocol: 'tcp' }] },
    { name: 'cache', ports: [{ name: 'redis', port: 6379, protocol: 'tcp' }] },
    { name: 'log', ports: [] },
  ],
  flows: [
    { from: 'log', to: 'cache', port: 6379, protocol: 'tcp' },
    { from: 'web', to: 'cache', port: 6379, protocol: 'tcp' },
  ],
  via: [{ from: 'log', to: 'web', port: 8080, dns: 'none' }],
};
const directory: Directory = {
  pods: [
    {
      ...subject,
      podIPs: ['10.0.0.1'],
      mode: 'split',
      containers: subject.containers.map((each) => ({ ...each, podIPs: ['10.0.0.1'] })),
    },
    {
      namespace: 'mon',
      name: 'prom',
      uid: 'p',
      labels: { app: 'prom' },
      podIPs: ['10.0.0.9'],
      mode: 'plain',
      containers: [],
    },
  ],
  namespaces: new Map([
    ['shop', {}],
    ['mon', { team: 'mon' }],
  ]),
  services: [],
};

function policy(name: string, spec: Omit<ContainerNetworkPolicy['spec'], 'podSelector'>): ContainerNetworkPolicy {
  return {
    apiVersion: 'podsplit.io/v1alpha1',
    kind: 'ContainerNetworkPolicy',
    metadata: { name, namespace: 'shop' },
    spec: { podSelector: { matchLabels: { app: 'web' } }, ...spec },
  };
}

const policies = [
  policy('cache-in', {
    containers: ['cache'],
    ingress: [{ from: [{ podSelector: {}, containers: ['web'] }], ports: [{ port: 'redis' }] }],
  }),
  policy('scrape', {
    containers: ['web'],
    ingress: [
      {
        from: [{ namespaceSelector: { matchLabels: { team: 'mon' } } }],
        ports: [{ port: 'http' }, { port: 'nothing' }],
      },
    ],
  }),
  policy('look', { action: 'Audit', containers: ['log'], policyTypes: ['Egress'] }),
];

function answer(from: string, to: string, ingressVia?: string): string {
  const question = parseQuestion({ from, to }, subject);
  const explained = explainPod(subject, policies, directory, question, ingressVia);
  return formatAnswer({ namespace: 'shop', pod: 'web-0', ...question, ...explained }, false);
}

describe('kubectl podsplit policy', () => {
  it('lists what is about each container, what it leaves open, and what is wrong', () => {
    const report = policyReport({ subject, mode: 'split', policies, directory });
    expect(formatPolicyReport(report, false).split('\n')).to.deep.equal([
      'Pod shop/web-0, mode split',
      '',
      '  CONTAINER   DIRECTION   POLICIES   AUDITED BY   ON THE NETWORK OF PODS',
      '  web         ingress     scrape     -            10.0.0.9 tcp 8080',
      '  web         egress      -          -            not restricted',
      '  cache       ingress     cache-in   -            closed',
      '  cache       egress      -          -            not restricted',
      '  log         ingress     -          -            not restricted',
      '  log         egress      -          look         by web only (podsplit.io/egress-via)',
      '',
      'Between its containers',
      '',
      '  FROM   TO      PORT',
      '  web    cache   6379/tcp',
      '',
      'Problems',
      '',
      ...report.problems.map(({ path, message }) => `  scrape: ${path}: ${message} (UnknownPortName)`),
      '',
    ]);
    expect(report.problems).to.have.length(1);
  });

  it('says by whom clients come in', () => {
    const report = policyReport({ subject, mode: 'split', ingressVia: 'web', policies, directory });
    const rows = formatPolicyReport(report, false).split('\n');
    const byProxy = 'TCP by web only (podsplit.io/ingress-via)';
    expect(rows.filter((row) => row.endsWith(byProxy)).map((row) => row.trim().split(/\s+/).slice(0, 2))).to.deep.equal(
      [
        ['cache', 'ingress'],
        ['log', 'ingress'],
      ],
    );
  });

  it('answers for two containers, with the rule that decides', () => {
    expect(answer('web', 'cache:6379'))
      .to.include('allowed: web -> cache:6379/tcp\n')
      .and.include('cache-in spec.ingress[0]');
    expect(answer('log', 'cache:6379')).to.include('denied: log -> cache:6379/tcp\nPolicies select an end');
  });

  it('answers for other Pods and addresses, and names a proxy on the way', () => {
    expect(answer('mon/prom', 'web:8080'))
      .to.include('allowed: mon/prom -> web:8080/tcp')
      .and.include('scrape spec.ingress[0]');
    expect(answer('10.0.0.8', 'web:8080')).to.include('denied: 10.0.0.8 -> web:8080/tcp');
    const out = answer('log', '[2001:db8::1]:443');
    expect(out)
      .to.include('allowed: log -> [2001:db8::1]:443/tcp')
      .and.include('It goes by web:8080 and by nothing else');
    expect(out).to.include('Policies that audit would refuse it.');
    expect(out).to.include('No policy selects the container in that direction.\n').and.not.include('not restricted');
    expect(answer('web', '10.0.0.8:443')).to.include('in that direction: it is not restricted.');
  });

  it('asks the policies of the proxy where clients come in by one, and says so', () => {
    const byProxy = 'Clients come in by web (podsplit.io/ingress-via): its policies are asked';
    const ofMonitoring = answer('mon/prom', 'cache:8080', 'web');
    expect(ofMonitoring)
      .to.include('allowed: mon/prom -> cache:8080/tcp')
      .and.include('scrape spec.ingress[0]')
      .and.include(`${byProxy}, and it has to take the call to cache by a flow.`);
    expect(answer('10.0.0.8', 'cache:8080', 'web'))
      .to.include('denied:')
      .and.include(byProxy);
    // The proxy itself, what is not carried, and calls inside of the Pod.
    for (const other of [
      answer('mon/prom', 'web:8080', 'web'),
      answer('mon/prom', 'cache:8080/udp', 'web'),
      answer('web', 'cache:6379', 'web'),
    ]) {
      expect(other).not.to.include('come in by');
    }
    expect(answer('mon/prom', 'cache:8080')).to.include('denied:');
  });

  const ofOthers = { labels: {}, mode: 'plain', containers: [{ name: 'dns', ports: [], podIPs: [] }] } as const;
  const seen: Seen = {
    directory: {
      ...directory,
      pods: [
        ...directory.pods,
        { ...ofOthers, namespace: 'kube-system', name: 'coredns-7d-x7k2p', uid: 'd', podIPs: ['10.0.0.53'] },
        { ...ofOthers, namespace: 'kube-system', name: 'etcd', uid: 'e', podIPs: [] },
      ],
    },
    unseen: [],
  };
  const partly: Seen = { ...seen, unseen: ['pods'] };

  it('does not answer about Pods and containers that are not there', () => {
    const require = (from: string, to: string, given: Seen = seen) => {
      requireKnown(parseQuestion({ from, to }, subject), subject, given);
    };
    for (const to of ['cache:6379', '192.0.2.7:443', 'kube-system/coredns-7d-x7k2p/dns:53/udp', 'mon/prom:9090']) {
      expect(() => {
        require('web', to);
      }, to).not.to.throw();
    }
    expect(() => {
      require('shop/web-0/cache', 'web:8080');
    }).not.to.throw();
    for (const [from, to, why, given] of [
      ['web', 'kube-system/coredns:53/udp', 'coredns in namespace kube-system. Is it kube-system/coredns-7d-x7k2p?'],
      ['web', 'kube-system/nobody:53', 'There is no Pod nobody in namespace kube-system. A Service is named by its'],
      [
        'web',
        'kube-system/nobody:53',
        'NAMESPACE/POD, or NAMESPACE/POD/CONTAINER. Its containers are web, cache, log.',
      ],
      ['kube-system/coredns-7d-x7k2p/x', 'web:8080', 'That Pod has no such container. It has: dns.'],
      ['web', 'kube-system/coredns-7d-x7k2p/x:1', '--to kube-system/coredns-7d-x7k2p/x: That Pod has no such'],
      ['web', 'kube-system/etcd:2379', 'has no address of its own'],
      ['kube-system/coredns-7d-x7k2p/dns', 'web:8080', 'has no address of its own'],
      ['web', 'kube-system/nobody:53', 'You may not list the Pods of namespace kube-system', partly],
      ['web', 'shop/nobody:53', 'There is no Pod nobody in namespace shop.', partly],
    ] as const) {
      expect(() => {
        require(from, to, given);
      }, to).to.throw(CliError, why);
    }
  });

  for (const [from, to, why] of [
    ['web', undefined, 'Give both ends'],
    ['web', 'cache', '--to cache is not WHOM:PORT'],
    ['web', 'cache:0', '--to cache:0 is not WHOM:PORT'],
    ['web', 'cache:70000', 'with a port from 1 to 65535'],
    ['web', 'cache:1/icmp', '--to cache:1/icmp is not WHOM:PORT'],
    ['wep', 'cache:1', '--from wep is not a container of the Pod'],
    ['10.0.0.1', '10.0.0.2:1', 'One end has to be a container of Pod web-0: web, cache, log.'],
  ] as const) {
    it(`does not take ${from} -> ${to ?? 'nobody'}`, () => {
      expect(() => parseQuestion({ from, to }, subject)).to.throw(CliError, why);
    });
  }

  describe('on a cluster', () => {
    const statefulSet = {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: { name: 'web', namespace: 'shop', uid: 'uid-web' },
      spec: { selector: { matchLabels: { app: 'web' } } },
    };
    const client = storedClient({ objects: () => [...stored(), statefulSet], refused: () => undefined });
    const policyOf = (...args: readonly string[]) =>
      ran(['policy', ...args], { connect: () => Promise.resolve({ client, namespace: 'shop' }) });

    it('takes a Pod, that of a piece, and one of those of a workload', async () => {
      const named = await policyOf('web-0');
      expect(named).to.include({ exitCode: 0, stderr: '' });
      expect(named.stdout).to.contain('Pod shop/web-0, mode split');
      for (const target of ['pod/web-0', 'po/web-0-cache-5b1c9e', 'statefulset/web', 'sts/web']) {
        expect(await policyOf(target), target).to.deep.equal(named);
      }
      expect((await policyOf('sts/api')).stderr).to.contain('There is no StatefulSet api in namespace shop.');
    });

    it('tells by its exit code what is denied, and what cannot be answered', async () => {
      const ask = (to: string) => policyOf('sts/web', '--from', 'web', '--to', to);
      expect(await ask('cache:6379')).to.include({ exitCode: 0 });
      expect(await ask('cache:1')).to.include({ exitCode: 1 });
      const unknown = await ask('kube-system/coredns:53/udp');
      expect(unknown).to.include({ exitCode: 2, stdout: '' });
      expect(unknown.stderr).to.contain('There is no Pod coredns in namespace kube-system.');
    });
  });
});
