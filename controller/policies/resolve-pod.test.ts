import { expect } from 'chai';
import type { ContainerNetworkPolicy, ContainerNetworkPolicySpec } from '../api/container-network-policy.ts';
import { formatFlow } from '../api/flow.ts';
import { maxAllowed } from '../rules/wiring-json.ts';
import type { Directory, DirectoryPod, PolicySubject } from './directory.ts';
import { resolvePod, type ResolvedPod } from './resolve-pod.ts';

const subject: PolicySubject = {
  namespace: 'shop',
  name: 'web-0',
  uid: 'uid-web-0',
  labels: { app: 'web' },
  containers: [
    { name: 'web', ports: [{ name: 'http', port: 8080, protocol: 'tcp' }] },
    { name: 'cache', ports: [{ name: 'redis', port: 6379, protocol: 'tcp' }] },
    { name: 'statsd', ports: [{ port: 8125, protocol: 'udp' }] },
  ],
  flows: [
    { from: 'web', to: 'cache', port: 6379, protocol: 'tcp' },
    { from: 'web', to: 'statsd', port: 8125, protocol: 'udp' },
  ],
  via: [],
};

function pod(name: string, last: number, changed: Partial<DirectoryPod> = {}): DirectoryPod {
  const podIPs = [`10.0.0.${last}`];
  const containers = [{ name: 'app', ports: [{ name: 'http', port: 80, protocol: 'tcp' as const }], podIPs }];
  return {
    namespace: 'shop',
    name,
    uid: `uid-${name}`,
    labels: { app: name },
    podIPs,
    mode: 'plain',
    containers,
    ...changed,
  };
}

const directory: Directory = {
  pods: [
    pod('web-0', 1, {
      labels: { app: 'web' },
      mode: 'split',
      containers: subject.containers.map(({ name, ports }, i) => ({ name, ports, podIPs: [`10.0.0.${1 + i}`] })),
    }),
    pod('db', 9),
    pod('client', 10, { namespace: 'other' }),
    pod('two', 11, {
      containers: ['app', 'side'].map((name) => ({ name, ports: [], podIPs: ['10.0.0.11'] })),
    }),
  ],
  namespaces: new Map([
    ['shop', { 'kubernetes.io/metadata.name': 'shop' }],
    ['other', { 'kubernetes.io/metadata.name': 'other' }],
  ]),
  services: [
    {
      namespace: 'shop',
      name: 'db',
      clusterIPs: ['10.96.0.5'],
      ports: [
        {
          port: 5432,
          protocol: 'tcp',
          endpoints: [
            { address: '10.0.0.9', port: 80 },
            { address: '10.0.0.11', port: 80 },
          ],
        },
      ],
    },
  ],
};

function policy(spec: Partial<ContainerNetworkPolicySpec>, name = 'guard'): ContainerNetworkPolicy {
  return {
    apiVersion: 'podsplit.io/v1alpha1',
    kind: 'ContainerNetworkPolicy',
    metadata: { name, namespace: 'shop' },
    spec: { podSelector: { matchLabels: { app: 'web' } }, ...spec },
  };
}

function resolve(...specs: readonly Partial<ContainerNetworkPolicySpec>[]): ResolvedPod {
  return resolvePod(
    subject,
    specs.map((spec, i) => policy(spec, i === 0 ? 'guard' : `guard-${i}`)),
    directory,
  );
}

/** As a user may have written it past the schema. */
function written(spec: string): ResolvedPod {
  const given: unknown = JSON.parse(spec);
  return resolve({ ...(given as ContainerNetworkPolicySpec) });
}

const flowsOf = ({ flows }: ResolvedPod): readonly string[] => flows.map(formatFlow);
const codesOf = ({ problems }: ResolvedPod): readonly string[] => problems.map(({ code, path }) => `${code} ${path}`);
const anyone = [{ podSelector: {} }];

describe('what policies make of a Pod', () => {
  it('is what its annotations make of it where none selects it', () => {
    for (const policies of [
      [],
      [policy({ podSelector: { matchLabels: { app: 'db' } }, ingress: [] })],
      [{ ...policy({ podSelector: {} }), metadata: { name: 'elsewhere', namespace: 'other' } }],
    ]) {
      const resolved = resolvePod(subject, policies, directory);
      const { unselected: _unselected, ...made } = resolved;
      expect(made).to.deep.equal({
        flows: subject.flows,
        auditedFlows: [],
        podNetwork: new Map(),
        via: [],
        problems: [],
      });
    }
  });

  for (const [what, spec, flows] of [
    ['closes what it selects', { containers: ['cache'], ingress: [] }, ['web->statsd:8125/udp']],
    ['closes the way out, and leaves the way in', { containers: ['web'], policyTypes: ['Egress'] }, []],
    [
      'opens declared ports to named peers',
      { containers: ['cache'], ingress: [{ from: [{ podSelector: {}, containers: ['statsd'] }] }] },
      ['web->statsd:8125/udp', 'statsd->cache:6379'],
    ],
    [
      'opens a port that nobody declares where it names whose it is',
      { containers: ['cache'], ingress: [{ from: anyone, ports: [{ port: 7000 }] }] },
      ['web->cache:7000', 'web->statsd:8125/udp', 'statsd->cache:7000'],
    ],
    [
      'opens a named port, and a range where somebody declares a port of it',
      {
        containers: ['cache', 'statsd'],
        ingress: [{ ports: [{ port: 'redis' }, { protocol: 'UDP', port: 8000, endPort: 9000 }] }],
      },
      ['web->cache:6379', 'web->statsd:8125/udp', 'cache->statsd:8125/udp', 'statsd->cache:6379'],
    ],
    [
      'does not take a DNS rule for a redirect of port 53 to whoever there is',
      { containers: ['web'], policyTypes: ['Egress'], egress: [{ ports: [{ protocol: 'UDP', port: 53 }] }] },
      [],
    ],
    [
      'opens nothing inside by addresses',
      { containers: ['web'], policyTypes: ['Egress'], egress: [{ to: [{ ipBlock: { cidr: '0.0.0.0/0' } }] }] },
      [],
    ],
  ] satisfies readonly (readonly [string, Partial<ContainerNetworkPolicySpec>, readonly string[]])[]) {
    it(what, () => {
      expect(flowsOf(resolve(spec))).to.deep.equal(flows);
    });
  }

  it('opens no port twice for one source, and says why', () => {
    const open = (container: string): Partial<ContainerNetworkPolicySpec> => ({
      containers: [container],
      ingress: [{ from: [{ podSelector: {}, containers: ['web'] }], ports: [{ port: 7000 }, { port: 8080 }] }],
    });
    const resolved = resolve(open('cache'), open('statsd'));
    expect(flowsOf(resolved)).to.deep.equal([]);
    expect(resolved.problems.map(({ policy: name, code, message }) => `${name} ${code} ${message}`)).to.deep.equal([
      'guard PortTaken neither is opened: web declares 8080/tcp itself, web->cache:8080, web->statsd:8080',
      'guard PortTaken neither is opened: web->cache:7000, web->statsd:7000',
      'guard-1 PortTaken neither is opened: web declares 8080/tcp itself, web->cache:8080, web->statsd:8080',
      'guard-1 PortTaken neither is opened: web->cache:7000, web->statsd:7000',
    ]);
  });

  it('records what one that audits would refuse, and refuses nothing', () => {
    const audit = {
      action: 'Audit',
      containers: ['cache'],
      ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0/8' } }] }],
    } as const;
    const resolved = resolve(audit);
    expect(resolved.flows).to.deep.equal(subject.flows);
    expect(resolved.auditedFlows.map(formatFlow)).to.deep.equal(['web->cache:6379']);
    expect(resolved.podNetwork).to.deep.equal(
      new Map([['cache', { ingress: { audit: [{ addresses: '10.0.0.0-10.255.255.255' }] } }]]),
    );
  });

  it('opens the address of a Service once all that is behind it is open', () => {
    const to = (...apps: readonly string[]): Partial<ContainerNetworkPolicySpec> => ({
      containers: ['web'],
      policyTypes: ['Egress'],
      egress: apps.map((app) => ({ to: [{ podSelector: { matchLabels: { app } } }], ports: [{ port: 80 }] })),
    });
    const egress = (resolved: ResolvedPod): readonly (string | undefined)[] =>
      (resolved.podNetwork.get('web')?.egress?.enforce ?? []).map(({ addresses }) => addresses);
    expect(egress(resolve(to('db', 'two')))).to.deep.equal([
      '10.0.0.9-10.0.0.9',
      '10.0.0.11-10.0.0.11',
      '10.96.0.5-10.96.0.5',
    ]);
    const partly = resolve(to('db'));
    expect(egress(partly)).to.deep.equal(['10.0.0.9-10.0.0.9']);
    expect(codesOf(partly)).to.deep.equal(['ServicePartlyAllowed spec.egress']);
  });

  it('closes a direction that would be too long, and says so', () => {
    const crowd: Directory = {
      ...directory,
      pods: Array.from({ length: maxAllowed + 1 }, (_, i) =>
        pod(`one-${i}`, 0, { podIPs: [`10.1.${i >> 7}.${(i & 127) * 2}`], containers: [] }),
      ),
    };
    for (const action of ['Enforce', 'Audit'] as const) {
      const resolved = resolvePod(
        subject,
        [policy({ action, containers: ['cache'], ingress: [{ from: anyone }] })],
        crowd,
      );
      expect(resolved.podNetwork).to.deep.equal(
        action === 'Enforce' ? new Map([['cache', { ingress: { enforce: [] } }]]) : new Map(),
      );
      expect(codesOf(resolved)).to.deep.equal(['TooManyAllowed spec.ingress']);
    }
  });

  for (const [what, spec, problems] of [
    [
      'names that lead nowhere',
      {
        containers: ['web', 'wbe'],
        ingress: [{ from: [{ podSelector: {}, containers: ['nobody'] }], ports: [{ port: 'htpp' }, { port: 'http' }] }],
      },
      [
        'UnknownContainer spec.containers',
        'UnknownContainer spec.ingress[0].from[0].containers',
        'UnknownPortName spec.ingress[0].ports[0]',
      ],
    ],
    [
      'containers that cannot be told apart',
      { ingress: [{ from: [{ podSelector: { matchLabels: { app: 'two' } }, containers: ['side'] }] }] },
      ['ContainersNotApart spec.ingress[0].from[0].containers'],
    ],
    [
      'SCTP inside a Pod',
      { containers: ['cache'], ingress: [{ from: anyone, ports: [{ protocol: 'SCTP', port: 7 }] }] },
      ['SctpInPod spec.ingress[0].ports[0]'],
    ],
    [
      'names of ports for addresses',
      {
        policyTypes: ['Egress'],
        egress: [{ to: [{ ipBlock: { cidr: '192.0.2.0/24' } }], ports: [{ port: 'http' }] }],
      },
      ['PortNameOfAddresses spec.egress[0].ports[0]'],
    ],
  ] satisfies readonly (readonly [string, Partial<ContainerNetworkPolicySpec>, readonly string[]])[]) {
    it(`says of ${what}`, () => {
      expect(codesOf(resolve(spec))).to.deep.equal(problems);
    });
  }

  describe('a peer that names containers of a Pod of mode isolate', () => {
    const isolated = (name: string, last: number): DirectoryPod =>
      pod(name, last, {
        labels: { app: 'web' },
        mode: 'isolate',
        containers: subject.containers.map(({ name, ports }) => ({ name, ports, podIPs: [`10.0.0.${last}`] })),
      });
    const own = isolated('web-0', 1);
    const web = [{ podSelector: { matchLabels: { app: 'web' } }, containers: ['web'] }];
    const cache = [{ podSelector: { matchLabels: { app: 'web' } }, containers: ['cache'] }];
    const ingress: Partial<ContainerNetworkPolicySpec> = {
      containers: ['cache'],
      ingress: [{ from: web, ports: [{ port: 6379 }] }],
    };
    const egress: Partial<ContainerNetworkPolicySpec> = {
      containers: ['web'],
      policyTypes: ['Egress'],
      egress: [{ to: cache, ports: [{ port: 6379 }] }],
    };
    const among = (pods: readonly DirectoryPod[], ...specs: readonly Partial<ContainerNetworkPolicySpec>[]) =>
      resolvePod(
        { ...subject, sharesPorts: true },
        specs.map((spec) => policy(spec)),
        { ...directory, pods },
      );

    for (const [direction, spec] of [
      ['ingress', ingress],
      ['egress', egress],
    ] as const) {
      const path = `spec.${direction}[0].${direction === 'ingress' ? 'from' : 'to'}[0].containers`;

      it(`is no problem within the Pod, where a flow carries it: ${direction}`, () => {
        const resolved = among([own], spec);
        expect(flowsOf(resolved)).to.include('web->cache:6379');
        expect(resolved.problems).to.deep.equal([]);
        expect(among([own], { ...spec, action: 'Audit' }).problems).to.deep.equal([]);
      });

      it(`is one where other Pods would be meant too: ${direction}`, () => {
        const { problems } = among([own, isolated('web-1', 2)], spec);
        expect(problems.map(({ code, path, message }) => `${code} ${path}: ${message}`)).to.deep.equal([
          `ContainersNotApart ${path}: containers of shop/web-1 have one address together (mode isolate): ` +
            'as a peer it does not match; between containers of one Pod the rule holds',
        ]);
      });

      it(`is one where no flow carries it: ${direction}`, () => {
        const closed = { policyTypes: [direction === 'ingress' ? 'Egress' : 'Ingress'] } as const;
        const resolved = among([own], spec, closed);
        expect(flowsOf(resolved)).to.deep.equal([]);
        expect(codesOf(resolved)).to.deep.equal([`ContainersNotApart ${path}`]);
        const [rule] = spec[direction] ?? [];
        const elsewhere = among([own], { ...spec, [direction]: [{ ...rule, ports: [{ port: 'http' }] }] });
        expect(codesOf(elsewhere)).to.include(`ContainersNotApart ${path}`);
      });
    }

    it('opens and closes the same, whatever is said', () => {
      for (const spec of [ingress, egress]) {
        const alone = among([own], spec);
        const withOthers = among([own, isolated('web-1', 2)], spec);
        expect(alone.podNetwork).to.deep.equal(withOthers.podNetwork);
        expect(alone.flows).to.deep.equal(withOthers.flows);
      }
    });
  });

  describe('that the schema would have refused', () => {
    for (const [spec, path] of [
      ['{"policyTypes": ["Ingres"]}', 'spec.policyTypes'],
      ['{"action": "Log", "ingress": []}', 'spec.action'],
      ['{"podSelector": {"matchLabels": "app=web"}}', 'spec.podSelector.matchLabels'],
      [
        '{"podSelector": {"matchExpressions": [{"key": "app", "operator": "Is", "values": ["x"]}]}}',
        'spec.podSelector.matchExpressions[0]',
      ],
      ['{"ingress": {}}', 'spec.ingress'],
      ['{"ingress": ["all"]}', 'spec.ingress[0]'],
      ['{"ingress": [{"from": {}}]}', 'spec.ingress[0].from'],
      ['{"ingress": [{"from": [{}]}]}', 'spec.ingress[0].from[0]'],
      ['{"ingress": [{"from": [{"containers": ["a"]}]}]}', 'spec.ingress[0].from[0]'],
      ['{"ingress": [{"from": [{"podSelector": {}, "containers": []}]}]}', 'spec.ingress[0].from[0].containers'],
      [
        '{"ingress": [{"from": [{"podSelector": {"matchExpressions": [{"key": "app", "operator": "Is"}]}}]}]}',
        'spec.ingress[0].from[0].podSelector.matchExpressions[0]',
      ],
      ['{"ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}, "podSelector": {}}]}]}', 'spec.ingress[0].from[0]'],
      ['{"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0"}}]}]}', 'spec.ingress[0].from[0].ipBlock.cidr'],
      [
        '{"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}}]}]}',
        'spec.ingress[0].from[0].ipBlock.except[0]',
      ],
      [
        '{"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["x"]}}]}]}',
        'spec.ingress[0].from[0].ipBlock.except[0]',
      ],
      ['{"ingress": [{"ports": [{"protocol": "ICMP"}]}]}', 'spec.ingress[0].ports[0].protocol'],
      ['{"ingress": [{"ports": [{"port": 0}]}]}', 'spec.ingress[0].ports[0].port'],
      ['{"ingress": [{"ports": [{"port": 80.5}]}]}', 'spec.ingress[0].ports[0].port'],
      ['{"ingress": [{"ports": [{"port": 80, "endPort": 79}]}]}', 'spec.ingress[0].ports[0].endPort'],
      ['{"ingress": [{"ports": [{"port": "http", "endPort": 90}]}]}', 'spec.ingress[0].ports[0].endPort'],
    ] as const) {
      it(`is closed and says ${path}: ${spec}`, () => {
        const resolved = written(spec);
        expect(resolved.problems).to.have.length(1);
        expect(resolved.problems[0]).to.include({ policy: 'guard', code: 'Invalid', path });
        for (const { name } of subject.containers) {
          expect(resolved.podNetwork.get(name)?.ingress).to.deep.equal({ enforce: [] });
        }
        expect(resolved.flows).to.deep.equal([]);
      });
    }

    it('loses only what is wrong with it', () => {
      const resolved = written(
        '{"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}, {"ipBlock": {"cidr": "x"}}]}]}',
      );
      expect(resolved.podNetwork.get('web')?.ingress?.enforce).to.deep.equal([
        { addresses: '10.0.0.0-10.255.255.255' },
      ]);
    });
  });
});

describe('the ends in which no policy has a say', () => {
  const cases: readonly (readonly [
    what: string,
    policies: readonly ContainerNetworkPolicy[],
    from: readonly string[],
    to: readonly string[],
  ])[] = [
    ['without policies', [], ['cache', 'statsd', 'web'], ['cache', 'statsd', 'web']],
    [
      'of a policy for egress of one container',
      [policy({ containers: ['web'], policyTypes: ['Egress'] })],
      ['cache', 'statsd'],
      ['cache', 'statsd', 'web'],
    ],
    ['of one for ingress of all', [policy({})], ['cache', 'statsd', 'web'], []],
    ['of one that audits', [policy({ action: 'Audit' })], ['cache', 'statsd', 'web'], ['cache', 'statsd', 'web']],
    [
      'of one that selects other Pods',
      [policy({ podSelector: { matchLabels: { app: 'db' } } })],
      ['cache', 'statsd', 'web'],
      ['cache', 'statsd', 'web'],
    ],
  ];
  for (const [what, policies, from, to] of cases) {
    it(`are told: ${what}`, () => {
      expect(resolvePod(subject, policies, directory).unselected).to.deep.equal({ from, to });
    });
  }
});
