// The API server stops answering, for longer than leases last: what runs runs on, guarded as before, and what was missed is
// caught up.

import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { running } from '../hack/cluster/paths.ts';
import { splitMode, workload } from './support/agents.ts';
import { controllerIsUp, controllerPods } from './support/controller.ts';
import { eventually } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { TestNamespace } from './support/namespace.ts';
import { inNetns } from './support/node.ts';
import { peerAddresses, readySplitPods, type SplitPod } from './support/pieces.ts';
import { echoes, streamProgram, streams } from './support/streams.ts';

const containers = ['app', 'helper'];
const spec = echoes({ app: ['tcp:7100'], helper: ['tcp:7001', 'udp:7002', 'tcp:7003'] });
const flows = 'app->helper:7001/tcp, app->helper:7002/udp';
const kept = { tcp: 'tcp:127.0.0.1:7001', tcp6: 'tcp:::1:7001', udp: 'udp:127.0.0.1:7002' } as const;

/** The controller's lease lasts 15 s, and it gives up after 10 s without a renewal. */
const leaseSeconds = 15;

interface Running {
  readonly controlPlane: { readonly 'kube-apiserver': { readonly pid: number } };
}

describe('an API server that does not answer', () => {
  let namespace: TestNamespace;
  let split: SplitPod;
  let pid: number;

  before(async () => {
    ({ pid } = (JSON.parse(readFileSync(running, 'utf8')) as Running).controlPlane['kube-apiserver']);
    namespace = await TestNamespace.create('outage');
    await namespace.apply(
      streamProgram,
      workload('Deployment', 'web', spec, { replicas: 1, annotations: { ...splitMode, 'podsplit.io/flows': flows } }),
    );
    [split] = (await readySplitPods(namespace, 'web', 1, containers)) as [SplitPod];
  });

  after(async () => {
    process.kill(pid, 'SIGCONT');
    await TestNamespace.deleteAll();
  });

  it('keeps no piece from another, opens nothing, and changes no Pod', async () => {
    const talking = streams(namespace, split.primary.metadata.name, 'app', kept);
    await eventually('they talk', async () => {
      expect((await connections()).size).to.be.at.least(2);
    });
    const before = await connections();
    process.kill(pid, 'SIGSTOP');
    const stopped = performance.now();
    try {
      // Each round looks from the node, who asks no API server: the same connections are there, and nothing else gets in.
      while (performance.now() - stopped < 2 * leaseSeconds * 1000) {
        expect([...(await connections())]).to.include.members([...before]);
        expect({ flow: await reaches(7001), other: await reaches(7003) }).to.deep.equal({ flow: true, other: false });
      }
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    for (const [name, { sent, answered, error }] of Object.entries(await talking.stop())) {
      expect({ answered, error }, name).to.deep.equal({ answered: sent, error: null });
      expect(sent).to.be.above(1000);
    }
    const [after] = await readySplitPods(namespace, 'web', 1, containers);
    expect(uids(after!)).to.deep.equal(uids(split));
  });

  it('is followed by a controller that goes on', async () => {
    await controllerIsUp();
    await namespace.kubectl(['scale', 'deployment/web', '--replicas=2']);
    await readySplitPods(namespace, 'web', 2, containers);
    await namespace.kubectl(['scale', 'deployment/web', '--replicas=1']);
    await readySplitPods(namespace, 'web', 1, containers);
    expect(await controllerPods()).not.to.have.length(0);
    await invariantsHold();
  });

  /** Source ports of the app's connections to its helper's flow, as the helper's node sees them. */
  async function connections(): Promise<ReadonlySet<string>> {
    const listed = await inNetns(split.pieces.get('helper')!, ['ss', '-Htn', 'state', 'established', 'sport = :7001']);
    const lines = listed.split('\n').filter((line) => line !== '');
    // How much is on its way comes first, and is another each time.
    return new Set(lines.map((line) => line.trim().split(/\s+/).slice(2, 4).join(' ')));
  }

  /** From the app's network namespace, at the helper's address on the peer network. */
  async function reaches(port: number): Promise<boolean> {
    const [address = ''] = peerAddresses(split.pieces.get('helper')!);
    const dial = `import socket; socket.create_connection((${JSON.stringify(address)}, ${port}), 1)`;
    return inNetns(split.primary, ['python3', '-c', dial]).then(
      () => true,
      () => false,
    );
  }
});

function uids({ pieces }: SplitPod): readonly string[] {
  return [...pieces.values()].map(({ metadata }) => metadata.uid).sort();
}
