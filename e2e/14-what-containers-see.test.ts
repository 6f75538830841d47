// What a container sees of its Pod: the same in a piece as in the whole Pod, side by side.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { imageReference } from '../hack/images/recipes.ts';
import { restricted, splitMode, succeeded, workload } from './support/agents.ts';
import { eventually } from './support/eventually.ts';
import { TestNamespace } from './support/namespace.ts';
import { podIPs, type Pod } from './support/objects.ts';
import { isReady, readySplitPods } from './support/pieces.ts';

const names = ['app', 'agent', 'lean'];

const fields = {
  NAME: 'metadata.name',
  NAMESPACE: 'metadata.namespace',
  UID: 'metadata.uid',
  LABEL: "metadata.labels['tier']",
  ANNOTATION: "metadata.annotations['example.com/note']",
  NODE: 'spec.nodeName',
  ACCOUNT: 'spec.serviceAccountName',
  HOST_IP: 'status.hostIP',
  HOST_IPS: 'status.hostIPs',
  POD_IP: 'status.podIP',
  POD_IPS: 'status.podIPs',
};

const env = [
  ...Object.entries(fields).map(([name, fieldPath]) => ({ name, valueFrom: { fieldRef: { fieldPath } } })),
  ...['requests.cpu', 'limits.memory'].map((resource) => ({
    name: resource.toUpperCase().replace('.', '_'),
    valueFrom: { resourceFieldRef: { resource } },
  })),
  { name: 'EXPANDED', value: '$(NAME) on $(NODE), $$(NAME)' },
  { name: 'SETTING', valueFrom: { configMapKeyRef: { name: 'settings', key: 'colour' } } },
  { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'credential', key: 'password' } } },
];

const volumeMounts = [
  { name: 'look', mountPath: '/look' },
  { name: 'podinfo', mountPath: '/podinfo' },
  { name: 'settings', mountPath: '/etc/settings' },
  { name: 'settings', mountPath: '/etc/one/colour', subPath: 'colour' },
];

const container = {
  image: imageReference('samples'),
  command: ['sh', '-c', 'trap "exit 0" TERM; sleep infinity & wait'],
  securityContext: { ...restricted, readOnlyRootFilesystem: true },
};

/** Kubernetes mounts one into each container of a whole Pod. */
const keepingTokens = { 'podsplit.io/token': 'app,agent,lean' };

const podSpec = {
  terminationGracePeriodSeconds: 2,
  securityContext: { fsGroup: 2000, supplementalGroups: [3000] },
  dnsConfig: { options: [{ name: 'ndots', value: '2' }], searches: ['example.com'] },
  hostAliases: [{ ip: '192.0.2.1', hostnames: ['upstream.example.com'] }],
  containers: [
    {
      ...container,
      name: 'app',
      env,
      envFrom: [{ prefix: 'ALL_', configMapRef: { name: 'settings' } }],
      ports: [{ containerPort: 8080, name: 'http' }],
      resources: { requests: { cpu: '10m', memory: '16Mi' }, limits: { memory: '64Mi' } },
      volumeMounts: [...volumeMounts, { name: 'secret', mountPath: '/secret', readOnly: true }],
    },
    {
      ...container,
      name: 'agent',
      env,
      workingDir: '/tmp',
      resources: { requests: { cpu: '20m', memory: '16Mi' }, limits: { cpu: '500m', memory: '96Mi' } },
      volumeMounts: [...volumeMounts, { name: 'scratch', mountPath: '/scratch' }],
    },
    {
      ...container,
      name: 'lean',
      resources: { requests: { cpu: '5m', memory: '16Mi' } },
      volumeMounts: [{ name: 'look', mountPath: '/look' }],
    },
  ],
  volumes: [
    { name: 'look', configMap: { name: 'look' } },
    { name: 'settings', configMap: { name: 'settings', defaultMode: 0o640 } },
    { name: 'secret', secret: { secretName: 'credential' } },
    { name: 'scratch', emptyDir: { medium: 'Memory', sizeLimit: '8Mi' } },
    {
      name: 'podinfo',
      projected: {
        sources: [
          {
            downwardAPI: {
              items: ['name', 'uid', 'labels'].map((path) => ({ path, fieldRef: { fieldPath: `metadata.${path}` } })),
            },
          },
          { secret: { name: 'credential' } },
        ],
      },
    },
  ],
};

const objects = [
  {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'look' },
    data: { 'look.py': readFileSync(join(import.meta.dirname, 'support/look.py'), 'utf8') },
  },
  { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings' }, data: { colour: 'green', size: '5' } },
  { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'credential' }, stringData: { password: 'correct horse' } },
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'http' },
    spec: { selector: { app: 'nobody' }, ports: [{ port: 80, targetPort: 'http' }] },
  },
];

function deployment(name: string, annotations: Readonly<Record<string, string>>) {
  const made = workload('Deployment', name, podSpec, { replicas: 1, annotations });
  const { template } = made.spec;
  // One pod-template-hash and one name differ, whatever the mode.
  const metadata = {
    labels: { ...template.metadata.labels, tier: 'back' },
    annotations: { 'example.com/note': '5$ or "free"' },
  };
  return { ...made, spec: { ...made.spec, template: { ...template, metadata } } };
}

type Seen = Readonly<Record<string, unknown>>;

describe('what a container sees of its Pod', () => {
  const whole = new Map<string, Seen>();
  const split = new Map<string, Seen>();
  let namespace: TestNamespace;

  before(async () => {
    namespace = await TestNamespace.create('seen');
    await namespace.apply(...objects, deployment('whole', {}), deployment('split', { ...splitMode, ...keepingTokens }));
    const [{ primary, pieces }] = (await readySplitPods(namespace, 'split', 1, names)) as [
      Awaited<ReturnType<typeof readySplitPods>>[number],
    ];
    const pod = await eventually('the whole Pod is ready', async () => {
      const [found] = await namespace.list<Pod>('pods', { labelSelector: 'app=whole' });
      if (found === undefined || !isReady(found)) throw new Error('not yet');
      return found;
    });
    for (const name of names) {
      whole.set(name, await look(pod, pod, name));
      split.set(name, await look(primary, pieces.get(name)!, name));
    }
  });

  after(() => TestNamespace.deleteAll());

  const sections: Readonly<Record<string, string>> = {
    environment: 'its environment: of the Pod, of resources, ConfigMaps, Secrets and Services',
    names: 'its host name',
    hosts: '/etc/hosts',
    resolver: '/etc/resolv.conf',
    volumes: 'the files of its volumes, their modes and owners',
    mounts: 'what is mounted where, and what of it read-only',
    identity: 'who it is, and what it may',
    limits: 'the limits of its memory, its CPU and its files',
  };
  for (const [section, what] of Object.entries(sections)) {
    for (const name of names) {
      it(`${name} sees the same: ${what}`, () => {
        expect(split.get(name)![section]).to.deep.equal(whole.get(name)![section]);
      });
    }
  }

  it('and the comparison has something to compare', () => {
    const { environment, hosts, resolver } = split.get('agent')! as Readonly<Record<string, string>> & {
      readonly environment: Readonly<Record<string, string>>;
    };
    expect(environment).to.include({ NAME: 'POD', POD_IP: 'POD-IP-0', NODE: 'NODE', SETTING: 'green' });
    expect(environment).to.include.keys('HTTP_SERVICE_HOST');
    expect(environment['EXPANDED']).to.equal('POD on NODE, $(NAME)');
    expect(hosts).to.contain('upstream.example.com').and.to.contain('POD');
    expect(resolver).to.contain('ndots:2');
  });

  /** Names and addresses of the Pod by what they are. In /etc/hosts a piece has its own address: docs/fidelity.md. */
  async function look(pod: Pod, piece: Pod, name: string): Promise<Seen> {
    const folders = ['/podinfo', '/etc/settings', '/etc/one', '/secret', '/scratch'];
    const text = succeeded(await namespace.exec(piece.metadata.name, name, ['python3', '/look/look.py', ...folders]));
    const { app = '', 'pod-template-hash': hash = '' } = pod.metadata.labels ?? {};
    const known = new Map([
      [pod.metadata.name, 'POD'],
      [hash, 'HASH'],
      [`app="${app}"`, 'app="APP"'],
      [pod.metadata.uid, 'UID'],
      [pod.spec.nodeName ?? '', 'NODE'],
      ...(pod.status.hostIPs ?? []).map(({ ip }, index): [string, string] => [ip, `HOST-IP-${index}`]),
      ...podIPs(pod).map((ip, index): [string, string] => [ip, `POD-IP-${index}`]),
    ]);
    const seen = JSON.parse(text, (_key, value: unknown) =>
      typeof value === 'string' ? named(withoutOwnLabels(value), known) : value,
    ) as Seen & { readonly hosts: string };
    const own = new Map(podIPs(piece).map((ip, index): [string, string] => [ip, `POD-IP-${index}`]));
    return { ...seen, hosts: named(seen.hosts, own).replaceAll(/[ \t]+/g, ' ') };
  }
});

/** The longest first: one address may begin with another. */
function named(text: string, known: ReadonlyMap<string, string>): string {
  const longestFirst = [...known].toSorted(([a], [b]) => b.length - a.length);
  return longestFirst.reduce(
    (result, [value, token]) => (value === '' ? result : result.replaceAll(value, token)),
    text,
  );
}

/** The primary is the Pod: its labels by the downward API are all that it has. */
function withoutOwnLabels(text: string): string {
  return text.replaceAll(/podsplit\.io\/[a-z]+="[^"]*"\n/g, '');
}
