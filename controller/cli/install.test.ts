import { expect } from 'chai';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { KubeClient } from '../kube/client.ts';
import type { ApiErrorCode } from '../kube/errors.ts';
import type { KubeObject } from '../kube/resources.ts';
import { inDeletionOrder } from '../manifests/deletion-order.ts';
import { documentsOf } from '../manifests/documents.ts';
import { manifestStream, renderManifests } from '../manifests/render.ts';
import { manifestSources } from '../manifests/sources.ts';
import { otherValues } from '../manifests/testdata/other-values.ts';
import { defaultValues, mergeValues, type Values } from '../manifests/values.ts';
import { wholePatch } from '../manifests/whole-patch.ts';
import { formatManifest, parseManifests } from './manifest-yaml.ts';
import { compareVersions, jumpNotes, type Jump } from './upgrade-notes.ts';
import { goldensIn } from './testdata/golden.ts';
import { ran } from './testdata/ran.ts';
import { storedClient } from './testdata/stored-client.ts';

const testdata = join(import.meta.dirname, 'testdata');
const documents = documentsOf(manifestSources());

interface Cluster {
  readonly objects: readonly KubeObject[];
  readonly refused?: Readonly<Record<string, ApiErrorCode>>;
}

function podsplit(args: readonly string[], cluster?: Cluster, files: Readonly<Record<string, string>> = {}) {
  return ran(args, {
    readFile: async (path) => {
      const text = files[path];
      return text === undefined ? readFile(resolve(testdata, path)) : Buffer.from(text);
    },
    ...(cluster !== undefined && { connect: () => Promise.resolve({ client: clientOf(cluster), namespace: 'shop' }) }),
  });
}

function clientOf({ objects, refused = {} }: Cluster): KubeClient {
  return storedClient({ objects: () => objects, refused: (plural) => refused[plural], words: 'said the server' });
}

function parsed(text: string): readonly KubeObject[] {
  const read = parseManifests(text);
  if (read.kind === 'invalid') throw new Error(`line ${read.line}: ${read.message}`);
  return read.documents as readonly KubeObject[];
}

/** What a user sees, without the manifests' own text, which is the templates'. */
function expectGolden(name: string, { exitCode, stdout, stderr }: Awaited<ReturnType<typeof podsplit>>): void {
  const printed = parsed(stdout).map(
    ({ kind = '', metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`,
  );
  const actual = `# Exit code ${exitCode}; on stderr:\n${stderr}# On stdout:\n${printed.map((line) => `${line}\n`).join('')}`;
  goldensIn(testdata)(`${name}.txt`, actual);
}

function manifestsOf(values: Values): readonly KubeObject[] {
  const rendering = { values: mergeValues(defaultValues(documents), values), version: 'dev' };
  return parsed(manifestStream(renderManifests(documents, rendering)));
}

/** Without the record, which comes last. */
function withoutRecord(objects: readonly KubeObject[]): readonly KubeObject[] {
  expect(objects.at(-1)?.metadata.name).to.equal('podsplit-install');
  return objects.slice(0, -1);
}

const image = 'registry.example/podsplit:0.1.0';

describe('kubectl podsplit install', () => {
  it('prints podsplit.yaml word for word, and a record of what was chosen', async () => {
    const { stdout, stderr, exitCode } = await podsplit(['install']);
    const rendering = { values: defaultValues(documents), version: 'dev' };
    expect(stdout.startsWith(manifestStream(renderManifests(documents, rendering)))).to.equal(true);
    expect(withoutRecord(parsed(stdout))).to.deep.equal(manifestsOf({}));
    expect(stderr).to.match(/^Note: The image podsplit.local\/podsplit:dev is in no registry: .*\n$/);
    expect(exitCode).to.equal(0);
  });

  it('prints the same objects as JSON', async () => {
    const { stdout, stderr } = await podsplit(['install', '-o', 'json', '--image', image]);
    const { items } = JSON.parse(stdout) as { readonly items: unknown };
    expect(items).to.deep.equal(parsed((await podsplit(['install', '--image', image])).stdout));
    expect(stderr).to.equal('');
  });

  it('says that an image without a tag is whatever was pushed last', async () => {
    const { stdout, stderr } = await podsplit(['install', '--image', 'registry.example:5000/podsplit']);
    expect(stdout).to.contain('image: registry.example:5000/podsplit:latest');
    expect(stderr).to.match(/^Note: The image registry\.example:5000\/podsplit:latest is another one each time .*\n$/);
    const digest = `registry.example/podsplit@sha256:${'0'.repeat(64)}`;
    expect((await podsplit(['install', '--image', digest])).stderr).to.equal('');
  });

  it('takes all that the chart takes, from a file', async () => {
    const files = { 'values.yaml': formatManifest(otherValues) };
    const { stdout } = await podsplit(['install', '-f', 'values.yaml'], undefined, files);
    expect(withoutRecord(parsed(stdout))).to.deep.equal(manifestsOf(otherValues));
  });

  it('takes flags over files, and later files over earlier ones', async () => {
    const files = {
      'one.yaml': 'controller: {replicas: 3, logLevel: debug}\n',
      'two.yaml': 'controller: {replicas: 4}\nserviceMonitor: {interval: 15s}\n',
    };
    const flags = ['--replicas', '5', '--service-monitor', '--dashboard', '--network-policy', '--image', image];
    const { stdout } = await podsplit(['install', '-f', 'one.yaml', '-f', 'two.yaml', ...flags], undefined, files);
    expect(withoutRecord(parsed(stdout))).to.deep.equal(
      manifestsOf({
        image: { repository: 'registry.example/podsplit', tag: '0.1.0' },
        controller: { replicas: 5, logLevel: 'debug' },
        serviceMonitor: { enabled: true, interval: '15s' },
        dashboard: { enabled: true },
        networkPolicy: { enabled: true },
      }),
    );
  });

  it('sets the log level of all', async () => {
    const { stdout } = await podsplit(['install', '--log-level', 'trace']);
    expect(withoutRecord(parsed(stdout))).to.deep.equal(
      manifestsOf({ controller: { logLevel: 'trace' }, agent: { logLevel: 'trace' } }),
    );
  });

  for (const [name, text] of [
    ['misfits', 'replicas: 3\ncontroller: {replicas: many}\nagent: {resource: {}}\n'],
    ['two documents', 'a: 1\n---\nb: 2\n'],
    ['no YAML', 'a: [\n'],
  ] as const) {
    it(`refuses a file, and prints nothing: ${name}`, async () => {
      const ran = await podsplit(['install', '-f', 'values.yaml'], undefined, { 'values.yaml': text });
      expect(ran.stdout).to.equal('');
      expectGolden(`install-${name.replace(' ', '-')}`, ran);
    });
  }

  it('refuses flags that do not fit', async () => {
    expectGolden('install-flags', await podsplit(['install', '--replicas', 'x', '--log-level', 'loud']));
  });
});

function installed(more: Readonly<Record<string, unknown>> = {}, release = '0.1.0'): KubeObject {
  const labels = { 'app.kubernetes.io/name': 'podsplit', 'app.kubernetes.io/version': release };
  return {
    kind: 'Deployment',
    metadata: { name: 'podsplit', namespace: 'podsplit-system', generation: 2, labels },
    spec: { replicas: 2, template: { spec: { containers: [{ name: 'controller', image }] } } },
    status: { observedGeneration: 2, updatedReplicas: 2, availableReplicas: 2 },
    ...more,
  } as KubeObject;
}

function record(values: object): KubeObject {
  return {
    kind: 'ConfigMap',
    metadata: { name: 'podsplit-install', namespace: 'podsplit-system' },
    data: { 'values.json': JSON.stringify(values) },
  } as KubeObject;
}

const agents = {
  kind: 'DaemonSet',
  metadata: { name: 'podsplit-agent', namespace: 'podsplit-node' },
  status: { desiredNumberScheduled: 2, numberAvailable: 2, updatedNumberScheduled: 2 },
} as KubeObject;

function pod(name: string, role: string, more: object = {}): KubeObject {
  const metadata = {
    name,
    namespace: 'shop',
    labels: { 'podsplit.io/role': role },
    ownerReferences: [{ controller: true, kind: 'ReplicaSet', name: 'web', apiVersion: 'apps/v1', uid: 'u' }],
    ...more,
  };
  return { kind: 'Pod', metadata };
}

describe('kubectl podsplit upgrade', () => {
  const values = { image: { repository: 'registry.example/podsplit', tag: '0.1.0' }, controller: { replicas: 3 } };

  it('prints this version with the values of the install, and those that are new', async () => {
    const cluster = { objects: [installed(), record(values), agents] };
    const { stdout } = await podsplit(
      ['upgrade', '--image', 'registry.example/podsplit:0.2.0', '--dashboard'],
      cluster,
    );
    const image = { repository: 'registry.example/podsplit', tag: '0.2.0' };
    const chosen = { ...values, image, dashboard: { enabled: true } };
    expect(withoutRecord(parsed(stdout))).to.deep.equal(manifestsOf(chosen));
    // So that the next upgrade has them too.
    const [kept] = parsed(stdout).slice(-1) as unknown as [{ readonly data: Readonly<Record<string, string>> }];
    expect(JSON.parse(kept.data['values.json'] ?? '')).to.deep.equal(chosen);
  });

  it('says what to know, and what is to be done', async () => {
    const rolling = installed({ status: { observedGeneration: 1 } });
    const init = pod('old-1', 'primary', { annotations: { 'podsplit.io/install': 'init' } });
    const objects = [rolling, agents, init, pod('new-1', 'primary'), pod('x', 'whole')];
    expectGolden('upgrade-notes', await podsplit(['upgrade'], { objects }));
  });

  it('keeps the image where nothing else is known', async () => {
    const { stdout } = await podsplit(['upgrade'], { objects: [installed(), agents] });
    expect(withoutRecord(parsed(stdout))).to.deep.equal(manifestsOf({ image: values.image }));
  });

  it('leaves to Helm what Helm installed', async () => {
    const labels = { 'app.kubernetes.io/managed-by': 'Helm' };
    const annotations = { 'meta.helm.sh/release-name': 'ps', 'meta.helm.sh/release-namespace': 'tools' };
    const metadata = { name: 'podsplit', namespace: 'podsplit-system', labels, annotations };
    expectGolden('upgrade-helm', await podsplit(['upgrade'], { objects: [installed({ metadata })] }));
  });

  it('says where nothing is installed, nobody may look, or the record does not fit', async () => {
    expectGolden('upgrade-absent', await podsplit(['upgrade'], { objects: [] }));
    const refused = { deployments: 'Forbidden' } as const;
    expectGolden('upgrade-forbidden', await podsplit(['upgrade'], { objects: [], refused }));
    const misfit = record({ controller: { replica: 3 } });
    expectGolden('upgrade-misfit', await podsplit(['upgrade'], { objects: [installed(), misfit, agents] }));
  });

  describe('on the way from one version to another', () => {
    const jump: Jump = {
      from: '0.1.0',
      to: '0.10.0',
      image: { from: 'a:1', to: 'a:2' },
      recorded: true,
      initPods: [],
      rolling: [],
    };
    const notes = ['0.1.0', '0.2.0', '0.10.0', '0.11.0'].map((version) => ({ version, note: 'heed' }));

    it('has the notes behind the first, up to the second', () => {
      expect(jumpNotes(jump, notes)).to.deep.equal(['From 0.1.0 to 0.10.0.', '0.2.0: heed', '0.10.0: heed']);
      expect(jumpNotes({ ...jump, from: '0.10.0' }, notes)).to.have.length(1);
    });

    it('says that it goes back, and nothing of what came with the newer one', () => {
      const back = jumpNotes({ ...jump, from: '0.11.0' }, notes);
      expect(back[0]).to.equal('Back from 0.11.0 to 0.10.0.');
      expect(back[1]).to.contain('keep the CRDs');
      expect(back).to.have.length(2);
    });

    it('says what it cannot know', () => {
      expect(jumpNotes({ ...jump, from: undefined }, notes)[0]).to.contain('does not say which version');
      expect(jumpNotes({ ...jump, to: 'dev' }, notes)).to.deep.equal(['From 0.1.0 to dev.']);
    });

    it('asks for the image of the new version', () => {
      expect(jumpNotes({ ...jump, image: { from: 'a:1', to: 'a:1' } })[1]).to.contain('The image stays a:1');
      expect(jumpNotes({ ...jump, from: '0.10.0', image: { from: 'a:1', to: 'a:1' } })).to.have.length(1);
    });

    it('compares versions by their numbers', () => {
      expect(compareVersions('0.9.9', '0.10.0')).to.be.below(0);
      expect(compareVersions('1.0.0', 'v0.10.0')).to.be.above(0);
      expect(compareVersions('1.2.3', 'v1.2.3')).to.equal(0);
      expect(compareVersions('dev', '1.2.3')).to.equal(undefined);
    });
  });
});

describe('kubectl podsplit uninstall', () => {
  const webhook = { kind: 'MutatingWebhookConfiguration', metadata: { name: 'podsplit' } } as KubeObject;
  const annotations = { 'podsplit.io/mode': 'split', other: 'kept' };
  const template = { metadata: { annotations: { 'podsplit.io/flows': 'none' } } };
  const workload = (kind: string, name: string, more: object = {}, spec: object = {}): KubeObject =>
    ({ kind, metadata: { name, namespace: 'shop', ...more }, spec }) as KubeObject;
  const workloads = [
    workload('Deployment', 'web', { annotations }),
    workload('StatefulSet', 'db', {}, { template }),
    workload('CronJob', 'nightly', {}, { jobTemplate: { spec: { template } } }),
    workload('Job', 'running', { annotations }, { template }),
    // Made by web, which has it from there.
    workload('ReplicaSet', 'web-1', { annotations, ownerReferences: [{ controller: true }] }),
    workload('DaemonSet', 'plain', { annotations: { other: 'kept' } }),
  ];
  const agentLabels = { 'app.kubernetes.io/name': 'podsplit', 'app.kubernetes.io/component': 'agent' };
  const agentPod = {
    kind: 'Pod',
    metadata: { name: 'podsplit-agent-x', namespace: 'podsplit-node', labels: agentLabels },
  } as KubeObject;
  const policy = { kind: 'ContainerNetworkPolicy', metadata: { name: 'p', namespace: 'shop' } } as KubeObject;
  const base = [installed(), agents, agentPod, policy];

  it('prints the webhook first, and says how workloads roll out whole Pods', async () => {
    const objects = [...base, webhook, ...workloads, pod('web-1-a', 'primary')];
    expectGolden('uninstall-annotated', await podsplit(['uninstall'], { objects }));
  });

  it('takes labels from namespaces, what splits their Pods first, while the webhook is there', async () => {
    const labels = { 'podsplit.io/mode': 'split', 'podsplit.io/guards': 'none', 'kubernetes.io/metadata.name': 'shop' };
    const shop = { kind: 'Namespace', metadata: { name: 'shop', labels } };
    const objects = [...base, webhook, ...workloads, shop];
    expectGolden('uninstall-labelled', await podsplit(['uninstall'], { objects }));
    const left = { kind: 'Namespace', metadata: { name: 'shop', labels: { 'podsplit.io/guards': 'none' } } };
    expectGolden('uninstall-label-left', await podsplit(['uninstall'], { objects: [...base, left] }));
  });

  it('says which Pods are split still', async () => {
    const objects = [
      ...base,
      pod('web-1-a', 'primary'),
      pod('web-1-a-cache', 'sibling'),
      pod('one-uid', 'isolated'),
      pod('bare', 'primary', { ownerReferences: [] }),
      pod('plain', 'whole'),
    ];
    expectGolden('uninstall-split', await podsplit(['uninstall'], { objects }));
  });

  it('prints the agents once no Pod is split, and waits for them', async () => {
    expectGolden('uninstall-agents', await podsplit(['uninstall'], { objects: [...base, webhook] }));
    expectGolden('uninstall-ending', await podsplit(['uninstall'], { objects: [installed(), agentPod] }));
  });

  it('prints all the rest when the agents are gone', async () => {
    expectGolden('uninstall-rest', await podsplit(['uninstall'], { objects: [installed(), policy, webhook] }));
  });

  it('leaves to Helm what Helm installed, and prints the CRDs, which Helm leaves', async () => {
    const labels = { 'app.kubernetes.io/managed-by': 'Helm' };
    const named = { 'meta.helm.sh/release-name': 'ps', 'meta.helm.sh/release-namespace': 'tools' };
    const metadata = { name: 'podsplit', namespace: 'podsplit-system', labels, annotations: named };
    expectGolden('uninstall-helm', await podsplit(['uninstall'], { objects: [installed({ metadata })] }));
  });

  it('prints everything and asks nobody with --all, in YAML and in JSON', async () => {
    const all = await podsplit(['uninstall', '--all']);
    expectGolden('uninstall-all', all);
    const objects = parsed(all.stdout);
    expect(objects).to.have.deep.members([...manifestsOf({})]);
    const json = await podsplit(['uninstall', '--all', '-o', 'json']);
    expect(JSON.parse(json.stdout)).to.have.property('items').that.deep.equals(objects);
  });

  it('does not guess when a new kind goes', () => {
    expect(() => inDeletionOrder([{ object: 'Gadget/x', text: '' }])).to.throw('Gadget/x: when is it deleted?');
  });

  it('says that nobody answered', async () => {
    const ran = await podsplit(['uninstall'], { objects: [], refused: { pods: 'Unreachable' } });
    expectGolden('uninstall-unreachable', ran);
  });

  it('patches away what it finds, and nothing else', () => {
    const own = { 'podsplit.io/mode': 'split', 'podsplit.io/flows': 'none', other: 'kept' };
    expect(wholePatch({ kind: 'Deployment', metadata: { annotations: own }, spec: { template } })).to.deep.equal({
      metadata: { annotations: { 'podsplit.io/mode': null, 'podsplit.io/flows': null } },
      spec: { template: { metadata: { annotations: { 'podsplit.io/flows': null } } } },
    });
    expect(wholePatch({ kind: 'Job', metadata: {}, spec: { template } })).to.equal(undefined);
    expect(wholePatch({ kind: 'Deployment', metadata: { annotations: { other: 'kept' } } })).to.equal(undefined);
  });
});
