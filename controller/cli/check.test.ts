import { expect } from 'chai';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { createAuthority, createLeaf } from '../admission/authority.ts';
import { at, isRecord } from '../api/json.ts';
import type { KubeClient, ListOptions, ObjectRef, RawRequest } from '../kube/client.ts';
import type { ApiErrorCode } from '../kube/errors.ts';
import type { KubeObject, Resource } from '../kube/resources.ts';
import { checkVersions, guardNames } from './check-installation.ts';
import { versionOf } from './check-images.ts';
import { agentReports, readSnapshot } from './check-snapshot.ts';
import { failurePolicies } from './check-certificate.ts';
import { fieldsHash, schemaHashes } from './check-schemas.ts';
import type { CheckReport } from './check-report.ts';
import { parseManifests } from './manifest-yaml.ts';
import type { Io } from './input.ts';
import { goldensIn } from './testdata/golden.ts';
import { ran } from './testdata/ran.ts';
import { failure, storedClient } from './testdata/stored-client.ts';

const testdata = join(import.meta.dirname, 'testdata');
const root = join(import.meta.dirname, '../..');
const now = Date.parse('2026-01-02T03:04:05Z');
const dayMs = 24 * 3_600_000;

type Objects = readonly KubeObject[];
type Change = (object: KubeObject) => KubeObject | undefined;

function objectsOf(text: string): Objects {
  const parsed = parseManifests(text);
  if (parsed.kind === 'invalid') throw new Error(parsed.message);
  return parsed.documents as KubeObject[];
}

function documentsIn(folder: string): Objects {
  return readdirSync(join(root, folder))
    .filter((file) => file.endsWith('.yaml'))
    .flatMap((file) => parseAllDocuments(readFileSync(join(root, folder, file), 'utf8')))
    .map((document) => document.toJS() as KubeObject);
}

const shipped = [...documentsIn('crds'), ...documentsIn('templates')];
const shippedKinds = [
  'CustomResourceDefinition',
  'ValidatingAdmissionPolicy',
  'ValidatingAdmissionPolicyBinding',
  'CSIDriver',
];

/** The configuration as it is applied, and then given its CA by the controller. */
function webhooks(caBundle: string): Objects {
  return shipped
    .filter(({ kind }) => kind === 'MutatingWebhookConfiguration')
    .map(
      (object) =>
        merge(object, {
          webhooks: (at(object, ['webhooks']) as object[]).map((each) => merge(each, { clientConfig: { caBundle } })),
        }) as KubeObject,
    );
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

async function certificates(made: number): Promise<{ readonly caBundle: string; readonly secret: KubeObject }> {
  const authority = await createAuthority(made);
  const leaf = await createLeaf(authority, ['podsplit-webhook.podsplit-system.svc'], made);
  return {
    caBundle: base64(authority.certificate),
    secret: {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'podsplit-webhook-tls', namespace: 'podsplit-system' },
      data: { 'tls.crt': base64(leaf.certificate), 'tls.key': base64('not looked at') },
    } as KubeObject,
  };
}

/** As a merge patch does it (RFC 7396), lists whole. */
function merge(object: object, patch: object): object {
  const merged: Record<string, unknown> = { ...object };
  for (const [key, value] of Object.entries(patch)) {
    merged[key] = isRecord(value) && isRecord(merged[key]) ? merge(merged[key], value) : value;
  }
  return merged;
}

interface Cluster {
  readonly objects: Objects;
  readonly version?: string;
  /** By version: plurals. */
  readonly kinds?: Readonly<Record<string, readonly string[]>>;
  /** By plural, or path: how the API server answers. */
  readonly refused?: (what: string) => ApiErrorCode | undefined;
  /** What the second look at the Lease finds. */
  readonly renewed?: string;
}

const networkKinds = { 'k8s.cni.cncf.io/v1': ['network-attachment-definitions'] };
const ownKinds = {
  'podsplit.io/v1alpha1': [
    'podsplits',
    'podsplits/status',
    'splitnetworks',
    'addressblocks',
    'containernetworkpolicies',
  ],
};

let healthy: Cluster;
before(async () => {
  const { caBundle, secret } = await certificates(now - dayMs);
  healthy = {
    objects: [
      ...objectsOf(readFileSync(join(testdata, 'check.yaml'), 'utf8')),
      ...shipped.filter(({ kind = '' }) => shippedKinds.includes(kind)),
      ...webhooks(caBundle),
      secret,
    ],
    kinds: { ...networkKinds, ...ownKinds },
  };
});

/** @param changes by `KIND/NAME`: a merge patch, or null for what is not there */
function changed(cluster: Cluster, changes: Readonly<Record<string, object | null>>, ...more: Objects): Cluster {
  const unused = new Set(Object.keys(changes));
  const apply: Change = (object) => {
    const key = `${object.kind ?? ''}/${object.metadata.name}`;
    const change = changes[key];
    unused.delete(key);
    if (change === null) return undefined;
    return change === undefined ? object : (merge(object, change) as KubeObject);
  };
  const objects = cluster.objects.map(apply).filter((object) => object !== undefined);
  expect([...unused], 'no such object').to.deep.equal([]);
  return { ...cluster, objects: [...objects, ...more] };
}

function clientOf(cluster: Cluster): KubeClient {
  const { objects, kinds = {}, refused = () => undefined, version = 'v1.34.1' } = cluster;
  const client = storedClient({ objects: () => objects, refused });
  let looks = 0;
  return {
    ...client,
    get: async <T extends KubeObject>(resource: Resource<T>, ref: ObjectRef) => {
      const found = await client.get(resource, ref);
      if (resource.kind !== 'Lease' || cluster.renewed === undefined || ++looks < 2) return found;
      return merge(found, { spec: { renewTime: cluster.renewed } }) as T;
    },
    list: async <T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}) => {
      const ofReason = options.fieldSelector?.replace(/^reason=/, '');
      expect(ofReason === undefined, 'Events are selected, and nothing else').to.equal(resource.kind !== 'Event');
      const { items, ...rest } = await client.list(resource, options);
      return { ...rest, items: items.filter((each) => ofReason === undefined || at(each, ['reason']) === ofReason) };
    },
    raw: ({ method, path }: RawRequest) =>
      Promise.resolve().then(() => {
        expect(method).to.equal('GET');
        const code = refused(path);
        if (code !== undefined) throw failure(code);
        if (path === '/version') return { status: 200, body: JSON.stringify({ gitVersion: version }) };
        const names = kinds[path.replace('/apis/', '')];
        if (names === undefined) throw failure('NotFound');
        return { status: 200, body: JSON.stringify({ resources: names.map((name) => ({ name })) }) };
      }),
  };
}

function check(cluster: Cluster, args: readonly string[] = [], io: Partial<Io> = {}) {
  const connect = () => Promise.resolve({ client: clientOf(cluster), namespace: 'shop' });
  return ran(['check', ...args], { now: () => now, pause: () => Promise.resolve(), connect, ...io });
}

async function reportOf(cluster: Cluster): Promise<CheckReport> {
  return JSON.parse((await check(cluster, ['-o', 'json'])).stdout) as CheckReport;
}

/** Of one check: level and words. */
async function said(cluster: Cluster, id: string): Promise<readonly string[]> {
  const { checks } = await reportOf(cluster);
  return checks.filter((each) => each.check === id).map(({ level, what }) => `${level}: ${what}`);
}

const expectGolden = goldensIn(testdata);

function webhookFor(name: string, service: string, more: object): KubeObject {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name },
    webhooks: [
      {
        name: `${service}.example`,
        clientConfig: { service: { name: service, namespace: service } },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
        ...more,
      },
    ],
  } as KubeObject;
}

function sandboxEvent(name: string, message: string, lastTimestamp = '2026-01-02T03:00:00Z'): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name, namespace: 'shop' },
    reason: 'FailedCreatePodSandBox',
    message,
    lastTimestamp,
    source: { host: 'node2' },
    involvedObject: { kind: 'Pod', namespace: 'shop', name: 'web-1' },
  } as KubeObject;
}

const only = (cluster: Cluster, ...kinds: readonly string[]): Cluster => ({
  ...cluster,
  objects: cluster.objects.filter(({ kind = '', metadata }) => kinds.includes(kind) && !/podsplit/.test(metadata.name)),
});

/** Each as somebody may meet it. */
const states: Readonly<Record<string, () => Cluster | Promise<Cluster>>> = {
  healthy: () => healthy,
  'before-bare': () => ({ ...only(healthy, 'Node', 'Namespace'), version: 'v1.30.4', kinds: {} }),
  'before-ready': () => ({
    ...only(healthy, 'Node', 'Namespace', 'DaemonSet', 'ConfigMap', 'NetworkAttachmentDefinition'),
    objects: [
      ...only(healthy, 'Node', 'Namespace', 'DaemonSet', 'ConfigMap').objects,
      webhookFor('istio-sidecar-injector', 'istiod', {
        namespaceSelector: { matchLabels: { 'istio-injection': 'enabled' } },
      }),
      webhookFor('vault-agent-injector-cfg', 'vault-agent-injector', {}),
    ],
    kinds: networkKinds,
  }),
  'broken-cluster': () =>
    changed(
      healthy,
      {
        'Node/node2': {
          status: { nodeInfo: { containerRuntimeVersion: 'docker://24.0.7', kubeletVersion: 'v1.30.2' } },
        },
        'Namespace/podsplit-node': { metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'baseline' } } },
        'Namespace/shop': { metadata: { labels: { 'istio-injection': 'enabled' } } },
        'DaemonSet/kube-multus-ds': {
          spec: {
            template: {
              spec: { containers: [{ name: 'kube-multus', image: 'ghcr.io/k8snetworkplumbingwg/multus-cni:v3.9.3' }] },
            },
          },
          status: { numberReady: 1 },
        },
        'ConfigMap/multus-daemon-config': { data: { 'daemon-config.json': '{}' } },
        'DaemonSet/calico-node': { metadata: { name: 'cilium', namespace: 'kube-system' } },
        'Pod/web-1': { metadata: { annotations: { 'podsplit.io/install': 'init' } } },
      },
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'cilium-config', namespace: 'kube-system' } },
      webhookFor('istio-sidecar-injector', 'istiod', {
        namespaceSelector: { matchLabels: { 'istio-injection': 'enabled' } },
      }),
      webhookFor('datadog-webhook', 'datadog-cluster-agent', { objectSelector: { matchLabels: { app: 'web' } } }),
      webhookFor('pod-defaults', 'kyverno', {}),
      sandboxEvent(
        'a',
        'plugin type="podsplit" failed (add): podsplit: nft: Operation not supported (NftFailed) (RulesFailed)',
      ),
      sandboxEvent('b', 'plugin type="multus" failed: failed to find plugin "tuning" in path [/opt/cni/bin]'),
      sandboxEvent('c', 'failed to find plugin "podsplit" in path [/usr/libexec/cni]'),
      sandboxEvent('d', 'failed to find plugin "bridge" in path [/opt/cni/bin]', '2026-01-01T03:00:00Z'),
    ),
  'broken-podsplit': async () => {
    const { secret } = await certificates(now - 6.5 * dayMs);
    return {
      ...changed(healthy, {
        'CustomResourceDefinition/splitnetworks.podsplit.io': {
          spec: { versions: [{ name: 'v1alpha1', schema: {} }] },
        },
        'ValidatingAdmissionPolicyBinding/podsplit-state': null,
        'CSIDriver/volumes.podsplit.io': null,
        'Secret/podsplit-webhook-tls': secret,
        'Deployment/podsplit': { status: { readyReplicas: 0 } },
        'Pod/podsplit-5c8d7-aaaaa': {
          status: {
            conditions: [{ type: 'Ready', status: 'False' }],
            containerStatuses: [{ state: { waiting: { reason: 'CrashLoopBackOff' } } }],
          },
        },
        'Pod/podsplit-5c8d7-bbbbb': {
          status: { conditions: [{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable' }] },
        },
        'Lease/podsplit': { spec: { renewTime: '2026-01-02T02:00:00.000000Z' } },
        'Pod/podsplit-agent-11111': null,
        'Node/node2': { status: { conditions: [{ type: 'Ready', status: 'Unknown' }] } },
        'Pod/podsplit-agent-22222': {
          spec: { containers: [{ name: 'agent', image: 'registry.example/podsplit:0.0.9' }] },
          status: { conditions: [] },
        },
        'DaemonSet/podsplit-agent': {
          spec: { template: { spec: { containers: [{ name: 'agent', image: 'registry.example/podsplit:0.2.0' }] } } },
        },
        'SplitNetwork/default': {
          status: {
            conditions: [
              {
                type: 'Ready',
                status: 'False',
                reason: 'RangeOverlaps',
                message: '198.18.0.0/15 overlaps\nthe Pod CIDR of node1.',
              },
            ],
          },
        },
      }),
    };
  },
  'half-installed': () => ({
    ...changed(healthy, {
      'MutatingWebhookConfiguration/podsplit': null,
      'Deployment/podsplit': null,
      'Lease/podsplit': null,
      'DaemonSet/podsplit-agent': null,
      'SplitNetwork/default': null,
    }),
    kinds: { ...networkKinds, 'podsplit.io/v1alpha1': ['podsplits'] },
  }),
  'no-rights': () => ({ ...healthy, refused: (what) => (what.startsWith('/') ? undefined : 'Forbidden') }),
};

describe('kubectl podsplit check', () => {
  const goldens: readonly [string, keyof typeof states, readonly string[], number][] = [
    ['check-healthy.txt', 'healthy', [], 0],
    ['check-healthy.wide.txt', 'healthy', ['-o', 'wide'], 0],
    ['check-healthy.json', 'healthy', ['-o', 'json'], 0],
    ['check-before-bare.txt', 'before-bare', [], 1],
    ['check-before-ready.txt', 'before-ready', [], 0],
    ['check-broken-cluster.txt', 'broken-cluster', [], 1],
    ['check-broken-podsplit.txt', 'broken-podsplit', [], 1],
    ['check-half-installed.txt', 'half-installed', [], 1],
    ['check-no-rights.txt', 'no-rights', [], 0],
  ];
  for (const [golden, state, args, exitCode] of goldens) {
    it(`says what is, why it matters and how to mend it: ${golden}`, async () => {
      const ran = await check(await states[state]!(), args);
      expectGolden(golden, ran.stdout);
      expect(ran).to.include({ exitCode, stderr: '' });
    });
  }

  it('prints the same for programs, and the same without colours', async () => {
    const cluster = await states['broken-podsplit']!();
    const json: unknown = JSON.parse((await check(cluster, ['-o', 'json'])).stdout);
    const yaml = parseManifests((await check(cluster, ['-o', 'yaml'])).stdout);
    expect(yaml).to.deep.equal({ kind: 'documents', documents: [json] });
    const coloured = await check(cluster, [], { colours: true });
    expect(coloured.stdout).to.contain('\u001b[31m');
    expect(stripVTControlCharacters(coloured.stdout)).to.equal((await check(cluster)).stdout);
  });

  it('says of each matter that is not well what to do', async () => {
    for (const [name, state] of Object.entries(states)) {
      const { checks } = await reportOf(await state());
      for (const { level, check: id, mend } of checks) {
        if (level !== 'ok') expect(mend, `${name}: ${id}`).to.be.a('string').and.not.equal('');
      }
    }
  });

  it('says once that nobody answers', async () => {
    for (const [code, words] of [
      ['Unreachable', /gave no answer/],
      ['Unauthorized', /does not know you/],
    ] as const) {
      const ran = await check({ ...healthy, refused: () => code });
      expect(ran).to.include({ exitCode: 2, stdout: '' });
      expect(ran.stderr).to.match(words);
    }
  });

  it('tells a Lease that nobody renews from a clock that is wrong', async () => {
    const old = changed(healthy, { 'Lease/podsplit': { spec: { renewTime: '2026-01-02T02:00:00.000000Z' } } });
    expect((await said(old, 'leader')).join('\n')).to.match(/^problem: Nobody leads/);
    const moving = { ...old, renewed: '2026-01-02T02:00:02.000000Z' };
    expect((await said(moving, 'leader')).join('\n')).to.match(
      /^warning: podsplit-5c8d7-aaaaa_1f2e leads, but by its clock/,
    );
  });

  it('judges the certificate by its own dates and the CA that the API server has', async () => {
    const other = await certificates(now - dayMs);
    const replaced = changed(healthy, { 'Secret/podsplit-webhook-tls': other.secret });
    expect((await said(replaced, 'certificate')).join('\n')).to.match(/^problem: The API server's CA is not that/);
    const late = await certificates(now - 8 * dayMs);
    const ended = changed(healthy, { 'Secret/podsplit-webhook-tls': late.secret });
    expect((await said(ended, 'certificate')).join('\n')).to.match(
      /^problem: The webhook's certificate ended on 2026-01-01/,
    );
    const soon = await certificates(now - 6.5 * dayMs);
    const renewing = {
      ...healthy,
      objects: [
        ...healthy.objects.filter(({ kind = '' }) => !['Secret', 'MutatingWebhookConfiguration'].includes(kind)),
        ...webhooks(soon.caBundle),
        soon.secret,
      ],
    };
    expect((await said(renewing, 'certificate')).join('\n')).to.match(
      /^warning: The webhook's certificate ends on 2026-01-02T15/,
    );
    expect((await said(changed(healthy, { 'Secret/podsplit-webhook-tls': null }), 'certificate')).join('\n')).to.match(
      /^problem: There is no Secret/,
    );
    const unread = { ...healthy, refused: (what: string) => (what === 'secrets' ? ('Forbidden' as const) : undefined) };
    expect((await said(unread, 'certificate')).join('\n')).to.match(
      /^ok: 2 replicas of the controller are ready, which none is without/,
    );
    const bare = changed(healthy, {
      'MutatingWebhookConfiguration/podsplit': {
        webhooks: Object.keys(failurePolicies).map((name) => ({ name, clientConfig: {} })),
      },
    });
    expect((await said(bare, 'certificate')).join('\n')).to.match(/^problem: The API server has no CA/);
  });

  it('says nothing of injectors that no split Pod meets', async () => {
    const elsewhere = changed(
      healthy,
      { 'Namespace/lab': { metadata: { labels: { 'istio-injection': 'enabled' } } } },
      webhookFor('istio-sidecar-injector', 'istiod', {
        namespaceSelector: { matchLabels: { 'istio-injection': 'enabled' } },
      }),
    );
    expect(await said(elsewhere, 'injectors')).to.deep.equal([
      'ok: Istio (istio-sidecar-injector) is asked about Pods of lab, and about no split one.',
    ]);
    const optedOut = changed(
      healthy,
      {},
      webhookFor('datadog-webhook', 'datadog-cluster-agent', { objectSelector: { matchLabels: { admission: 'yes' } } }),
    );
    expect((await said(optedOut, 'injectors')).join('\n')).to.match(/^ok: Datadog/);
    const ofServices = webhookFor('vault-agent-injector-cfg', 'vault', {
      rules: [{ apiGroups: [''], resources: ['services'], operations: ['CREATE'] }],
    });
    expect(await said(changed(healthy, {}, ofServices), 'injectors')).to.deep.equal([
      'ok: No other webhook changes new Pods.',
    ]);
  });

  it('asks for agents less where an init container loads the rules', async () => {
    const without = changed(healthy, { 'DaemonSet/podsplit-agent': null });
    expect((await said(without, 'agents')).join('\n')).to.match(/^problem/);
    const init = {
      name: 'controller',
      env: [{ name: 'PODSPLIT_INSTALL', value: 'init' }],
      image: 'registry.example/podsplit:0.1.0',
    };
    const byInit = changed(without, {
      'Deployment/podsplit': { spec: { template: { spec: { containers: [init] } } } },
    });
    expect((await said(byInit, 'agents')).join('\n')).to.match(/^warning/);
  });

  it('asks for no agent on Windows and virtual nodes', async () => {
    const node = (name: string, operatingSystem: string, labels: object): KubeObject =>
      ({
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name, labels },
        status: { nodeInfo: { operatingSystem } },
      }) as KubeObject;
    const mixed = changed(
      healthy,
      {},
      node('win1', 'windows', {}),
      node('virtual', 'linux', { type: 'virtual-kubelet' }),
    );
    expect(await said(mixed, 'agents')).to.deep.equal(['ok: An agent is ready on 2 of 2 nodes.']);
    expect((await said(mixed, 'nodes')).join('\n')).to.match(/^warning: virtual: no agent/);
  });

  it('takes Multus for there where it has attached pieces, and a kernel for good where rules hold', async () => {
    const unseen = changed(healthy, { 'DaemonSet/kube-multus-ds': null });
    expect(await said(unseen, 'multus')).to.deep.equal([
      'ok: No DaemonSet of Multus is seen, but it has attached 3 pieces.',
    ]);
    const idle = changed(healthy, { 'Pod/web-1': null });
    expect(await said(idle, 'kernel')).to.deep.equal([
      'ok: The kernels of node1 hold the rules of Pods that run (Linux 6.8.0-45-generic).',
      'unknown: Whether the kernels of node2 have all of nftables that is needed cannot be seen from the API (Linux 6.8.0-45-generic).',
    ]);
  });

  it('sees a webhook that was opened, and none that another version adds', async () => {
    const change = (failurePolicy: string, ...more: readonly object[]) => {
      const own = Object.keys(failurePolicies).map((name) => ({ name, clientConfig: {}, failurePolicy }));
      return changed(healthy, { 'MutatingWebhookConfiguration/podsplit': { webhooks: [...own, ...more] } });
    };
    expect(await said(change('Ignore'), 'webhook')).to.deep.equal([
      'problem: pods.podsplit.io, labelled-pods.podsplit.io, workloads.podsplit.io have failurePolicy Ignore: while podsplit is away, annotated Pods run whole.',
    ]);
    const later = { name: 'later.podsplit.io', clientConfig: {}, failurePolicy: 'Ignore' };
    expect((await said(change('Fail', later), 'webhook')).join()).to.match(/^ok/);
    const gone = changed(healthy, { 'MutatingWebhookConfiguration/podsplit': { webhooks: [later] } });
    expect((await said(gone, 'webhook')).join()).to.match(
      /^problem: pods\.podsplit\.io, labelled-pods\.podsplit\.io, .* are missing/,
    );
  });

  it('tells what agents found out of order, for an hour', async () => {
    const report = (reason: string, lastTimestamp?: string) =>
      ({ ...sandboxEvent(reason, '', lastTimestamp), reason }) as KubeObject;
    const told = changed(healthy, {}, report('RulesRepaired'), report('SandboxUnread', '2026-01-02T02:00:00Z'));
    expect(await said(told, 'agent-reports')).to.deep.equal([
      'warning: Agents found rules of pieces changed on the node, and set them right: shop/web-1 (RulesRepaired).',
    ]);
    const page = readFileSync(join(root, 'docs/operations.md'), 'utf8');
    for (const reason of Object.keys(agentReports)) expect(page).to.contain(`| \`${reason}\` (Event`);
  });

  it('reads the arguments of thin Multus and of kube-router', async () => {
    const thin = { name: 'kube-multus', image: 'multus-cni:snapshot', args: ['--namespace-isolation=true'] };
    const changes = {
      'DaemonSet/kube-multus-ds': { spec: { template: { spec: { containers: [thin], volumes: [] } } } },
    };
    expect((await said(changed(healthy, changes), 'multus-isolation')).join('\n')).to.match(/^ok/);
    const router = (args: readonly string[]) =>
      changed(healthy, {
        'DaemonSet/calico-node': {
          metadata: { name: 'kube-router' },
          spec: { template: { spec: { containers: [{ name: 'kube-router', args }] } } },
        },
      });
    expect((await said(router(['--run-router=true']), 'policy-engine')).join('\n')).to.match(/^ok: .*kube-router/);
    expect((await said(router(['--run-firewall=false']), 'policy-engine')).join('\n')).to.match(/^warning/);
  });

  it('compares versions as the tags of images say them', async () => {
    const snapshot = await readSnapshot(clientOf(healthy), now, () => Promise.resolve());
    const lines = (pluginVersion: string) => checkVersions({ ...snapshot, pluginVersion }).map(({ what }) => what);
    expect(lines('0.1.0')).to.deep.equal(['Plugin, controller and agents are 0.1.0.']);
    expect(lines('0.2.0')).to.deep.equal(['This plugin is 0.2.0, the controller is 0.1.0.']);
    expect(versionOf('registry.example:5000/podsplit@sha256:0123')).to.equal(undefined);
    expect(versionOf('registry.example:5000/podsplit:v1.2.3-rc.1@sha256:0123')).to.equal('v1.2.3-rc.1');
  });

  it('knows the objects that this version ships', () => {
    const names = (kind: string) => shipped.filter((each) => each.kind === kind).map(({ metadata }) => metadata.name);
    expect([...guardNames].sort()).to.deep.equal(names('ValidatingAdmissionPolicy').sort());
    const configured = shipped.find(({ kind }) => kind === 'MutatingWebhookConfiguration');
    const policies = (at(configured, ['webhooks']) as { name: string; failurePolicy: string }[]).map(
      ({ name, failurePolicy }) => [name, failurePolicy],
    );
    expect(failurePolicies).to.deep.equal(Object.fromEntries(policies));
    const hashes = shipped
      .filter(({ kind }) => kind === 'CustomResourceDefinition')
      .map((crd) => {
        const [version] = at(crd, ['spec', 'versions']) as readonly unknown[];
        return [at(crd, ['spec', 'names', 'plural']), fieldsHash(at(version, ['schema', 'openAPIV3Schema']))];
      });
    expect(schemaHashes, 'write these into check-schemas.ts').to.deep.equal(Object.fromEntries(hashes));
  });
});
