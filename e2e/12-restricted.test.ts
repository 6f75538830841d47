// The example, in a namespace that enforces the restricted Pod Security Standard: no privilege in any Pod.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseAllDocuments } from 'yaml';
import { trials } from '../examples/web/trials.ts';
import type { Ended } from '../hack/demo/command.ts';
import { webPods } from '../hack/demo/pods.ts';
import { runTrial } from '../hack/demo/trial.ts';
import { eventually, patience } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { TestNamespace } from './support/namespace.ts';
import { podIPs } from './support/objects.ts';
import { peerAddresses, readySplitPods, type SplitPod } from './support/pieces.ts';

const example = join(import.meta.dirname, '../examples/web');
const containers = ['nginx', 'php', 'exporter', 'statsd'];

interface Manifest {
  readonly spec?: {
    readonly template?: { readonly spec: { readonly containers: readonly { securityContext: object }[] } };
  };
}

/** The example's statsd is root, to show what it overhears then: that is what the standard forbids. */
function withoutRoot(): readonly object[] {
  const documents = parseAllDocuments(readFileSync(join(example, 'web.yaml'), 'utf8'));
  return documents.map((document) => {
    const manifest = document.toJS() as Manifest;
    const pod = manifest.spec?.template?.spec;
    for (const container of pod?.containers ?? [])
      container.securityContext = pod?.containers[0]?.securityContext ?? {};
    return manifest;
  });
}

describe('in a namespace that enforces the restricted Pod Security Standard', () => {
  let namespace: TestNamespace;
  let split: readonly SplitPod[];

  before(async () => {
    namespace = await TestNamespace.create('restricted', { 'pod-security.kubernetes.io/enforce': 'restricted' });
    await Promise.all([namespace.apply(...withoutRoot()), namespace.applyFile(join(example, 'client.yaml'))]);
    await namespace.kubectl(['annotate', 'deployment/web', 'podsplit.io/mode=split']);
    await Promise.all([
      namespace.kubectl(['rollout', 'status', 'deployment/web', patience]),
      namespace.kubectl(['wait', '--for=condition=Ready', 'pod/client', patience]),
    ]);
    split = await readySplitPods(namespace, 'web', 2, containers);
    // A whole Pod that is ending may get its Service's requests for a moment, and its exporter is gone at once.
    await eventually('the whole Pods are gone', async () => {
      expect(await namespace.list('pods', { labelSelector: 'app=web' })).to.have.length(2);
    });
  });

  after(() => TestNamespace.deleteAll());

  it('adds no container, no capability and no volume to any piece', () => {
    for (const { pieces } of split) {
      for (const [name, pod] of pieces) {
        expect(pod.spec.containers.map((container) => container.name)).to.deep.equal([name]);
        expect(pod.spec.initContainers ?? []).to.deep.equal([]);
        expect(JSON.stringify(pod.spec)).not.to.contain('"add":').and.not.to.contain('podsplit-wiring');
        // One of each family.
        expect(peerAddresses(pod)).to.have.length(2);
      }
    }
  });

  // To overhear takes a root with NET_RAW, which the standard forbids: there is nothing to try.
  for (const trial of trials.filter(({ id }) => id !== 'sniff')) {
    it(`${trial.what}: ${trial.succeeds.split ? 'works' : 'fails'}`, async () => {
      const [pod] = await webPods(namespace.name);
      const verdict = await runTrial(trial, 'split', namespace.name, pod!);
      expect(verdict.succeeded, verdict.output).to.equal(verdict.expected);
    });
  }

  it("serves its own port and a sidecar's, over IPv4 and IPv6, and nothing of a peer by its own Pod IP", async () => {
    for (const { primary, pieces } of split) {
      expect(podIPs(primary)).to.have.length(2);
      for (const address of podIPs(primary)) {
        expect((await curl(address, '8080/')).stdout).to.contain('"host":"web-');
        expect((await curl(address, '9113/metrics')).stdout).to.contain('nginx_up 1');
      }
      for (const address of podIPs(pieces.get('exporter')!)) {
        expect((await curl(address, '9113/metrics')).status, `exporter's own ${address}`).not.to.equal(0);
      }
    }
  });

  it('leaks and doubles no address', () => invariantsHold());

  function curl(address: string, portAndPath: string): Promise<Ended> {
    const host = address.includes(':') ? `[${address}]` : address;
    return namespace.exec('client', 'client', ['curl', '-sS', '-f', '-m', '3', `http://${host}:${portAndPath}`]);
  }
});
