// Takes podsplit off the cluster while a split workload serves: nothing of it is left, and no client notices. Runs last.

import { join } from 'node:path';
import { expect } from 'chai';
import { ownLabels } from '../controller/api/names.ts';
import { trials } from '../examples/web/trials.ts';
import { runNode } from '../hack/demo/command.ts';
import { webPods } from '../hack/demo/pods.ts';
import { runTrial } from '../hack/demo/trial.ts';
import { imageReference } from '../hack/images/recipes.ts';
import { listAll } from './support/api.ts';
import { agentProgram, pair, splitMode, workload } from './support/agents.ts';
import { eventually, patience } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { listKinds, TestNamespace } from './support/namespace.ts';
import { onNode } from './support/node.ts';
import type { KubeObject, Pod } from './support/objects.ts';
import { isReady, readySplitPods } from './support/pieces.ts';
import { steadyTraffic } from './support/traffic.ts';

const hack = join(import.meta.dirname, '../hack');
const example = join(import.meta.dirname, '../examples/web');

/** Kinds that podsplit makes objects of, annotates, or has objects of its own of. Old ReplicaSets are history. */
const kinds = [
  ...['namespaces', 'clusterroles', 'clusterrolebindings', 'customresourcedefinitions'],
  ...['mutatingwebhookconfigurations', 'validatingadmissionpolicies', 'validatingadmissionpolicybindings'],
  ...[
    'network-attachment-definitions',
    'networkpolicies',
    'pods',
    'poddisruptionbudgets',
    'services',
    'secrets',
    'leases',
  ],
];

describe('uninstall', () => {
  let namespace: TestNamespace;

  before(async () => {
    namespace = await TestNamespace.create('uninstall');
    await Promise.all(['web', 'client'].map((name) => namespace.applyFile(join(example, `${name}.yaml`))));
    await namespace.apply(
      agentProgram,
      workload('StatefulSet', 'sts', pair, { replicas: 1, annotations: splitMode, spec: { serviceName: 'sts' } }),
    );
    await namespace.kubectl(['annotate', 'deployment/web', 'podsplit.io/mode=split']);
    await namespace.kubectl(['wait', '--for=condition=Ready', 'pod/client', patience]);
    await readySplitPods(namespace, 'web', 2, ['nginx', 'php', 'exporter', 'statsd']);
    await readySplitPods(namespace, 'sts', 1, ['app', 'helper']);
  });

  after(async () => {
    await TestNamespace.deleteAll();
    await run('install.ts');
  });

  it('makes every Pod whole while clients are served, and leaves nothing', async () => {
    const traffic = steadyTraffic(namespace, 'http://web/');
    await run('uninstall.ts');
    const { requests, failures } = await traffic.stop();
    expect(requests).to.be.above(50);
    expect(failures, `of ${requests} requests`).to.deep.equal([]);

    const left = (await listKinds<KubeObject>(kinds.join(','), '-A')).filter((object) => isOurs(object));
    expect(left.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`)).to.deep.equal([]);
  });

  it('leaves nothing on the nodes either', async () => {
    const look =
      'ls -A /run/podsplit/sandboxes; ls /opt/cni/bin | grep -x podsplit; nft list tables netdev | grep podsplit';
    for (const { metadata } of await listAll<KubeObject>('nodes')) {
      expect(await onNode(metadata.name, ['sh', '-c', `${look}; true`]), metadata.name).to.equal('');
    }
  });

  it('leaves whole Pods that are ready, and none that is stuck', async () => {
    await eventually('whole Pods', async () => {
      const pods = await namespace.list<Pod>('pods');
      expect(pods.every((pod) => isReady(pod) && pod.metadata.deletionTimestamp === undefined)).to.equal(true);
      const shapes = pods.map(({ metadata, spec }) => `${metadata.labels?.['app'] ?? ''} ${spec.containers.length}`);
      expect(shapes.sort()).to.deep.equal(['client 1', 'sts 2', 'web 4', 'web 4']);
    });
  });

  describe('what kubectl podsplit split prints needs no podsplit', () => {
    let offline: TestNamespace;

    before(async () => {
      offline = await TestNamespace.create('offline');
      await offline.applyFile(join(example, 'client.yaml'));
      const printed = await runNode([
        join(import.meta.dirname, '../controller/cli/main.ts'),
        ...['split', '-f', join(example, 'web.yaml'), '--mode', 'split'],
        ...['-n', offline.name, '--image', imageReference('podsplit')],
      ]);
      expect(printed.status, printed.output).to.equal(0);
      await offline.kubectl(['apply', '-f', '-'], printed.stdout);
      await eventually('all pieces are ready', async () => {
        const pods = await offline.list<Pod>('pods');
        const waiting = pods.filter((pod) => !isReady(pod)).map(({ metadata }) => metadata.name);
        expect(waiting).to.deep.equal([]);
        expect(pods).to.have.length(5);
      });
    });

    // A controller is not to meet them: these Pods are not its own.
    after(async () => {
      await offline.kubectl(['delete', 'pods', '--all', '--grace-period=1', patience]);
      await offline.delete();
    });

    it('runs one Pod for each container, on one node', async () => {
      const pods = await offline.list<Pod>('pods', { labelSelector: ownLabels.role });
      expect(pods.flatMap(({ spec }) => spec.containers.map(({ name }) => name)).sort()).to.deep.equal([
        'exporter',
        'nginx',
        'php',
        'statsd',
      ]);
      expect(new Set(pods.map(({ spec }) => spec.nodeName)).size).to.equal(1);
    });

    for (const trial of trials) {
      it(`${trial.what}: ${trial.succeeds.split ? 'works' : 'fails'}`, async () => {
        const [pod] = await webPods(offline.name);
        const { succeeded: seen, expected, output } = await runTrial(trial, 'split', offline.name, pod!);
        expect(seen, output).to.equal(expected);
      });
    }
  });

  describe('can be undone', () => {
    it('installed again, it splits again', async () => {
      await run('install.ts');
      await namespace.kubectl(['annotate', 'statefulset/sts', 'podsplit.io/mode=split', 'podsplit.io/guards=token']);
      await readySplitPods(namespace, 'sts', 1, ['app', 'helper']);
      await invariantsHold();
    });
  });
});

async function run(program: string): Promise<void> {
  const { status, output } = await runNode([join(hack, program)]);
  if (status !== 0) throw new Error(`hack/${program}:\n${output.trim()}`);
}

/** By any label, annotation, name or gate of podsplit's; last-applied-configuration is what users wrote. */
function isOurs(object: KubeObject): boolean {
  const { 'kubectl.kubernetes.io/last-applied-configuration': _, ...annotations } = object.metadata.annotations ?? {};
  const { name, labels = {} } = object.metadata;
  const keys = [...Object.keys(labels), ...Object.keys(annotations)];
  return (
    keys.some((key) => key.includes('podsplit.io/')) ||
    labels['app.kubernetes.io/managed-by'] === 'podsplit' ||
    labels['app.kubernetes.io/name'] === 'podsplit' ||
    name === 'podsplit-system' ||
    name === 'podsplit-node' ||
    name.endsWith('.podsplit.io')
  );
}
