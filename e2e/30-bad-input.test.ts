// What is refused at admission: the message says the code, the field and what to do, to whoever asked.

import { expect } from 'chai';
import { agentProgram, barePod, pair, splitMode, workload } from './support/agents.ts';
import { TestNamespace } from './support/namespace.ts';
import type { Ended } from '../hack/demo/command.ts';

interface Refusal {
  readonly what: string;
  readonly code: string;
  readonly path: string;
}

interface BadAnnotation extends Refusal {
  readonly annotations: Readonly<Record<string, string>>;
}

const key = (name: string): string => `metadata.annotations[podsplit.io/${name}]`;

const badAnnotations: readonly BadAnnotation[] = [
  { what: 'an unknown mode', annotations: { mode: 'splt' }, code: 'UnknownMode', path: key('mode') },
  {
    what: 'isolation of containers with one UID',
    annotations: { mode: 'isolate' },
    code: 'SharedUser',
    path: 'spec.containers[1].securityContext.runAsUser',
  },
  {
    what: 'a primary that is no container',
    annotations: { mode: 'split', primary: 'ap' },
    code: 'UnknownContainer',
    path: key('primary'),
  },
  {
    what: 'a flow to no container',
    annotations: { mode: 'split', flows: 'app->helpr:7002' },
    code: 'UnknownContainer',
    path: key('flows'),
  },
  {
    what: 'a flow with a bad port',
    annotations: { mode: 'split', flows: 'app->helper:70000' },
    code: 'InvalidFlow',
    path: key('flows'),
  },
  {
    what: 'a flow with a bad protocol',
    annotations: { mode: 'split', flows: 'app->helper:7002/sctp' },
    code: 'InvalidFlow',
    path: key('flows'),
  },
  {
    what: 'an unknown way to install',
    annotations: { mode: 'split', install: 'agent' },
    code: 'UnknownInstall',
    path: key('install'),
  },
  {
    what: 'an annotation that does not exist',
    annotations: { mode: 'split', flow: 'app->helper:7002' },
    code: 'UnknownAnnotation',
    path: key('flow'),
  },
  {
    what: 'a token for a container that is not there',
    annotations: { mode: 'split', token: 'nobody' },
    code: 'UnknownContainer',
    path: key('token'),
  },
  {
    what: 'a guard that does not exist',
    annotations: { mode: 'split', guards: 'tokens' },
    code: 'UnknownGuard',
    path: key('guards'),
  },
  {
    what: 'a way out that leads to itself',
    annotations: { mode: 'split', 'egress-via': 'app->app:15001' },
    code: 'InvalidEgressVia',
    path: key('egress-via'),
  },
  {
    what: 'an annotation that only podsplit writes',
    annotations: { mode: 'split', wiring: '{}' },
    code: 'ForgedAnnotation',
    path: key('wiring'),
  },
];

interface Unsplittable extends Refusal {
  readonly spec: object;
}

const [app, helper] = pair.containers;
const withApp = (more: object): object => ({ ...pair, containers: [{ ...app, ...more }, helper] });

const claim = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } };

const unsplittable: readonly Unsplittable[] = [
  ...['hostNetwork', 'hostPID', 'hostIPC'].map((field) => ({
    what: field,
    // A Pod of the node's network must open its ports there.
    spec: { ...pair, containers: pair.containers.map((one) => ({ ...one, ports: [] })), [field]: true },
    code: 'HostNamespace',
    path: `spec.${field}`,
  })),
  {
    what: 'one process namespace',
    spec: { ...pair, shareProcessNamespace: true },
    code: 'SharedProcessNamespace',
    path: 'spec.shareProcessNamespace',
  },
  {
    what: 'a node that runs Windows',
    spec: { ...pair, nodeSelector: { 'kubernetes.io/os': 'windows' } },
    code: 'WindowsPod',
    path: 'spec.nodeSelector[kubernetes.io/os]',
  },
  {
    what: 'a container that programs its network namespace',
    spec: withApp({ securityContext: { capabilities: { add: ['NET_ADMIN'] } } }),
    code: 'NetworkCapability',
    path: 'spec.containers[0].securityContext.capabilities.add[0]',
  },
  {
    what: 'a privileged container',
    spec: withApp({ securityContext: { privileged: true } }),
    code: 'PrivilegedContainer',
    path: 'spec.containers[0].securityContext.privileged',
  },
  {
    what: 'a volume of its own that containers share',
    spec: {
      ...pair,
      containers: pair.containers.map((one) => ({ ...one, volumeMounts: [{ name: 'shared', mountPath: '/shared' }] })),
      volumes: [{ name: 'shared', ephemeral: { volumeClaimTemplate: { spec: claim } } }],
    },
    code: 'SharedEphemeralVolume',
    path: 'spec.volumes[0]',
  },
  {
    what: 'a node by name',
    spec: { ...pair, nodeName: 'node1' },
    code: 'NodeNameSet',
    path: 'spec.nodeName',
  },
  {
    what: 'the same port in two containers',
    spec: { ...pair, containers: pair.containers.map((one) => ({ ...one, ports: [{ containerPort: 7001 }] })) },
    code: 'PortDeclaredTwice',
    path: 'spec.containers[1].ports[0].containerPort',
  },
];

interface BadNetwork {
  readonly what: string;
  readonly spec: object;
  readonly message: string;
}

const badNetworks: readonly BadNetwork[] = [
  { what: 'no range', spec: {}, message: 'at least one of ipv4 and ipv6 is needed' },
  { what: 'host bits', spec: { ipv4: '192.0.2.1/28' }, message: 'without host bits' },
  { what: 'host bits in IPv6', spec: { ipv6: 'fd00:1::1/64' }, message: 'without host bits' },
  { what: 'the other family', spec: { ipv4: 'fd00:1::/64' }, message: 'must be an IPv4 range in CIDR form' },
  { what: 'no CIDR at all', spec: { ipv6: 'many' }, message: 'must be an IPv6 range in CIDR form' },
  { what: 'too small a range', spec: { ipv4: '192.0.2.0/30' }, message: 'the prefix length must be 8 to 28' },
  { what: 'a block size that is no power of two', spec: { ipv4: '192.0.2.0/24', blockSize: 12 }, message: 'blockSize' },
];

describe('bad input, refused at admission', () => {
  let namespace: TestNamespace;
  let restricted: TestNamespace;

  before(async () => {
    namespace = await TestNamespace.create('refused');
    restricted = await TestNamespace.create('baseline', { 'pod-security.kubernetes.io/enforce': 'baseline' });
    // Its template is judged, and no Pod is made.
    await namespace.apply(agentProgram, workload('Deployment', 'web', pair, { replicas: 0 }));
  });

  after(() => TestNamespace.deleteAll());

  for (const { what, annotations, code, path } of badAnnotations) {
    it(`kubectl annotate with ${what}: ${code}`, async () => {
      const pairs = Object.entries(annotations).map(([name, value]) => `podsplit.io/${name}=${value}`);
      expectRefusal(await namespace.try(['annotate', 'deployment/web', ...pairs]), code, path);
    });
  }

  it('refuses all that is wrong at once, and changes nothing', async () => {
    const annotations = ['mode=splt', 'primary=nobody', 'flows=app->helper:0'].map((one) => `podsplit.io/${one}`);
    const ended = await namespace.try(['annotate', 'deployment/web', ...annotations]);
    for (const code of ['UnknownMode', 'UnknownContainer', 'InvalidFlow']) expectRefusal(ended, code, key(''), false);
    expect(await namespace.kubectl(['get', 'deployment', 'web', '-o', 'yaml'])).not.to.contain('podsplit.io/');
  });

  for (const { what, spec, code, path } of unsplittable) {
    it(`a Pod with ${what}: ${code}`, async () => {
      const whole = await namespace.dryRun(barePod('bad', spec));
      expect(whole.output, 'it is no bad Pod where it is not split').to.contain('pod/bad created');
      expectRefusal(await namespace.dryRun(barePod('bad', spec, splitMode)), code, path);
    });

    it(`a Deployment with ${what}: ${code}, and the path in its template`, async () => {
      const options = { replicas: 1, annotations: splitMode };
      const ended = await namespace.dryRun(workload('Deployment', 'bad', spec, options));
      expectRefusal(ended, code, `spec.template.${path}`);
    });
  }

  it('a namespace of the baseline standard: mode node is admitted, of mode init it says which container is not', async () => {
    expect((await restricted.dryRun(barePod('pod', pair, splitMode))).output).to.contain('pod/pod created');
    const init = { ...splitMode, 'podsplit.io/install': 'init' };
    const ended = await restricted.dryRun(barePod('pod', pair, init));
    expect(ended.status).not.to.equal(0);
    expect(ended.output)
      .to.contain('violates PodSecurity "baseline')
      .and.to.contain('podsplit-init')
      .and.to.contain('NET_ADMIN');
  });

  for (const { what, spec, message } of badNetworks) {
    it(`a SplitNetwork with ${what}`, async () => {
      const ended = await namespace.dryRun(splitNetwork('e2e-bad', spec));
      expect(ended.status).not.to.equal(0);
      expect(ended.output).to.contain(message);
    });
  }

  for (const [field, value] of Object.entries({ ipv4: '198.18.0.0/16', ipv6: 'fd00:1::/64', blockSize: 64 })) {
    it(`a SplitNetwork whose ${field} is changed`, async () => {
      const patch = JSON.stringify({ spec: { [field]: value } });
      const ended = await namespace.try([
        'patch',
        'splitnetwork',
        'default',
        '--type=merge',
        '--dry-run=server',
        '-p',
        patch,
      ]);
      expect(ended.status).not.to.equal(0);
      expect(ended.output).to.contain(`${field} cannot change`);
    });
  }
});

function splitNetwork(name: string, spec: object): object {
  return { apiVersion: 'podsplit.io/v1alpha1', kind: 'SplitNetwork', metadata: { name }, spec };
}

/** An admission webhook's answer, as kubectl prints it. */
function expectRefusal(ended: Ended, code: string, path: string, closed = true): void {
  expect(ended.status, ended.output).not.to.equal(0);
  expect(ended.output).to.contain('podsplit.io" denied the request: podsplit:');
  expect(ended.output).to.contain(`(${code})`);
  expect(ended.output).to.contain(closed ? `${path}: ` : path.replace(']', ''));
}
