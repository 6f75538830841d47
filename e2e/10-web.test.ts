// The main job: the example of real programs, annotated while its Service is in use.

import { join } from 'node:path';
import { expect } from 'chai';
import { ownLabels } from '../controller/api/names.ts';
import { trials, type Stage, type Trial } from '../examples/web/trials.ts';
import { webPods } from '../hack/demo/pods.ts';
import { runTrial } from '../hack/demo/trial.ts';
import { listAll } from './support/api.ts';
import { succeeded } from './support/agents.ts';
import { eventually, patience } from './support/eventually.ts';
import { TestNamespace } from './support/namespace.ts';
import { denials } from './support/node.ts';
import { condition, podIPs, type AddressBlock, type Pod } from './support/objects.ts';
import { isReady, peerAddresses, podSplitOf, readySplitPods, type SplitPod } from './support/pieces.ts';
import { invariantsHold } from './support/invariants.ts';
import { steadyTraffic } from './support/traffic.ts';

const example = join(import.meta.dirname, '../examples/web');
const containers = ['nginx', 'php', 'exporter', 'statsd'];

/** The example's, but for the last: a port of a sidecar by number. */
const byNumber = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'by-number' },
  spec: {
    selector: { app: 'web' },
    ipFamilyPolicy: 'PreferDualStack',
    ports: [
      { name: 'http', port: 80, targetPort: 8080 },
      { name: 'metrics', port: 9113, targetPort: 9113 },
    ],
  },
};

describe('a Deployment of real programs', () => {
  let namespace: TestNamespace;
  let split: readonly SplitPod[];

  before(async () => {
    namespace = await TestNamespace.create('web');
    await Promise.all([
      ...['web', 'client'].map((name) => namespace.applyFile(join(example, `${name}.yaml`))),
      namespace.apply(byNumber),
    ]);
    await Promise.all([
      namespace.kubectl(['rollout', 'status', 'deployment/web', patience]),
      namespace.kubectl(['wait', '--for=condition=Ready', 'pod/client', patience]),
    ]);
  });

  after(() => TestNamespace.deleteAll());

  for (const trial of trials) {
    it(`before: ${trial.what}: ${says(trial, 'whole')}`, () => tryIt(trial, 'whole'));
  }

  it('is annotated while clients use its Service, and none of them notices', async () => {
    const traffic = steadyTraffic(namespace, 'http://web/');
    await namespace.kubectl(['annotate', 'deployment/web', 'podsplit.io/mode=split']);
    await namespace.kubectl(['rollout', 'status', 'deployment/web', patience]);
    split = await readySplitPods(namespace, 'web', 2, containers);
    const { requests, failures } = await traffic.stop();
    expect(requests).to.be.above(50);
    expect(failures, `of ${requests} requests`).to.deep.equal([]);
  });

  it('runs one Pod for each container, all of a replica on one node', async () => {
    for (const { primary, pieces } of split) {
      expect(primary.spec.containers.map(({ name }) => name)).to.deep.equal(['nginx']);
      for (const [container, pod] of pieces) {
        expect(pod.spec.containers.map(({ name }) => name)).to.deep.equal([container]);
        expect(pod.spec.nodeName).to.equal(primary.spec.nodeName);
        expect(pod.metadata.labels?.[ownLabels.role]).to.equal(container === 'nginx' ? 'primary' : 'sibling');
        if (container !== 'nginx') expect(pod.metadata.labels).not.to.have.property('app');
      }
      expect(condition(primary, 'podsplit.io/pieces-ready')?.status).to.equal('True');
    }
    const selected = await namespace.list<Pod>('pods', { labelSelector: 'app=web' });
    expect(selected.filter(({ metadata }) => metadata.deletionTimestamp === undefined)).to.have.length(2);
  });

  it('gives each container a network namespace of its own, and the hostname of its Pod', async () => {
    for (const { primary, pieces } of split) {
      const seen = await Promise.all(
        [...pieces].map(async ([container, pod]) => {
          const script = 'readlink /proc/self/ns/net; cat /etc/hostname';
          return succeeded(await namespace.exec(pod.metadata.name, container, ['bash', '-c', script]))
            .trim()
            .split('\n');
        }),
      );
      expect(new Set(seen.map(([netns]) => netns)).size).to.equal(containers.length);
      expect(seen.map(([, hostname]) => hostname)).to.deep.equal(containers.map(() => primary.metadata.name));
    }
  });

  it('gives each piece the addresses that its PodSplit shows and a block holds, in both families', async () => {
    const blocks = await listAll<AddressBlock>('addressBlocks');
    const taken: string[] = [];
    for (const { primary, pieces } of split) {
      const shown = await podSplitOf(namespace, primary);
      expect(condition(shown, 'Ready')?.status).to.equal('True');
      expect(shown.status?.phase).to.equal('Running');
      for (const [container, pod] of pieces) {
        const piece = shown.status?.pieces?.find(({ name }) => name === container);
        expect(piece?.addresses).to.have.length(2);
        expect(peerAddresses(pod)).to.have.members([...(piece?.addresses ?? [])]);
        taken.push(...peerAddresses(pod));
      }
      const held = blocks.flatMap((block) => block.spec.claims).filter(({ pod }) => pod.uid === primary.metadata.uid);
      expect(held).to.have.length(1);
    }
    expect(new Set(taken).size).to.equal(2 * 2 * containers.length);
  });

  for (const trial of trials) {
    it(`after: ${trial.what}: ${says(trial, 'split')}`, () => tryIt(trial, 'split'));
  }

  it('counts what it drops', async () => {
    const [replica] = split;
    const tried = (await denials(replica!.pieces.get('exporter')!)).filter(({ port }) => port === 8126);
    expect(tried.filter(({ packets }) => packets > 0).map(({ to }) => to)).to.include.members([
      ...peerAddresses(replica!.pieces.get('statsd')!),
    ]);
  });

  for (const service of ['web', 'by-number']) {
    it(`serves its own port and a sidecar's through Service ${service}, over IPv4 and IPv6`, async () => {
      const { clusterIPs } = (await namespace.get<{ spec: { clusterIPs: readonly string[] } }>('services', service))
        .spec;
      expect(clusterIPs).to.have.length(2);
      for (const address of clusterIPs.map(inUrl)) {
        await eventually(
          `${service} at ${address}`,
          async () => {
            expect(await curl(`http://${address}/`)).to.contain('"host":"web-');
            expect(await curl(`http://${address}:9113/metrics`)).to.contain('nginx_up 1');
          },
          20_000,
        );
      }
    });
  }

  it("shows the programs their clients' own addresses", async () => {
    const client = await namespace.get<Pod>('pods', 'client');
    for (const { primary } of split) {
      for (const address of podIPs(primary)) {
        const { client: seen } = JSON.parse(await curl(`http://${inUrl(address)}:8080/`)) as {
          readonly client: string;
        };
        expect(podIPs(client)).to.include(seen);
        expect(seen.includes(':')).to.equal(address.includes(':'));
      }
    }
  });

  it('becomes whole again when the annotation goes, and everything generated goes with it', async () => {
    const traffic = steadyTraffic(namespace, 'http://web/');
    await namespace.kubectl(['annotate', 'deployment/web', 'podsplit.io/mode-']);
    await namespace.kubectl(['rollout', 'status', 'deployment/web', patience]);
    const { requests, failures } = await traffic.stop();
    expect(failures, `of ${requests} requests`).to.deep.equal([]);
    await eventually('nothing generated is left', async () => {
      const generated = 'podsplits,network-attachment-definitions,networkpolicies';
      expect((await namespace.kubectl(['get', generated, '-o', 'name'])).trim()).to.equal('');
      const pods = await namespace.list<Pod>('pods', { labelSelector: 'app=web' });
      expect(pods).to.have.length(2);
      expect(pods.every((pod) => isReady(pod) && pod.spec.containers.length === containers.length)).to.equal(true);
      expect(await namespace.list<Pod>('pods', { labelSelector: ownLabels.role })).to.have.length(0);
      const blocks = await listAll<AddressBlock>('addressBlocks');
      expect(blocks.filter(({ spec }) => spec.workload.namespace === namespace.name)).to.have.length(0);
    });
    await invariantsHold();
  });

  async function tryIt(trial: Trial, stage: Stage): Promise<void> {
    const [pod] = await webPods(namespace.name);
    const verdict = await runTrial(trial, stage, namespace.name, pod!);
    expect(verdict.succeeded, verdict.output).to.equal(verdict.expected);
  }

  async function curl(url: string): Promise<string> {
    return succeeded(await namespace.exec('client', 'client', ['curl', '-sS', '-f', '-m', '5', url]));
  }
});

function says({ succeeds }: Trial, stage: Stage): string {
  return succeeds[stage] ? 'works' : 'fails';
}

/** RFC 3986, section 3.2.2. */
function inUrl(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
