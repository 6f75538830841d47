// Without Multus' CRD nothing can be wired: Pods that opted in wait and say so, and go on once it is there. Takes the CRD,
// and with it every NAD, off the cluster for a moment: runs alone.

import { join } from 'node:path';
import { expect } from 'chai';
import { agentProgram, barePod, call, pair, splitMode, workload } from './support/agents.ts';
import { eventually, patience } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { isolatedPod, isolateMode, withUsers } from './support/isolated.ts';
import { kubectl, TestNamespace } from './support/namespace.ts';
import { condition, type Pod } from './support/objects.ts';
import { eventOf, podSplitOf, readySplitPods, type SplitPod } from './support/pieces.ts';

const crd = 'network-attachment-definitions.k8s.cni.cncf.io';
const manifest = join(import.meta.dirname, '../hack/cluster/manifests/nad-crd.yaml');

describe("without Multus' CRD", () => {
  let namespace: TestNamespace;
  let split: SplitPod;

  before(async () => {
    namespace = await TestNamespace.create('multus');
    await namespace.apply(agentProgram, workload('Deployment', 'web', pair, { replicas: 1, annotations: splitMode }));
    [split] = (await readySplitPods(namespace, 'web', 1, ['app', 'helper'])) as [SplitPod];
    await kubectl(['delete', 'crd', crd, patience]);
    await namespace.apply(
      barePod('late', pair, splitMode),
      barePod('late-isolated', withUsers(pair, { app: 1001, helper: 1002 }), isolateMode),
    );
  });

  after(async () => {
    await restore();
    await TestNamespace.deleteAll();
  });

  it('a Pod waits, and says what is missing', async () => {
    const gate = await eventually('its condition', async () => {
      const found = condition(await namespace.get<Pod>('pods', 'late'), 'podsplit.io/pieces-ready');
      expect(found?.reason, found?.message).to.equal('MultusMissing');
      return found;
    });
    expect(gate?.message).to.contain('Install Multus CNI with its CRD');
    await eventOf(namespace, 'MultusMissing', 'Pod', 'late');
    const isolated = await namespace.get<Pod>('pods', 'late-isolated');
    await eventually('the PodSplit of the isolated one says so', async () => {
      const podSplit = await podSplitOf(namespace, isolated);
      expect(podSplit.status?.phase).to.equal('Refused');
      expect(condition(podSplit, 'Ready')?.reason).to.equal('MultusMissing');
    });
  });

  it('what runs runs on', async () => {
    const answers = await call(namespace, split.primary.metadata.name, 'app', [['tcp', '127.0.0.1', 7002]]);
    expect(answers).to.deep.equal(['helper 127.0.0.1']);
  });

  it('goes on when it is there, and generated networks are there again', async () => {
    await restore();
    await readySplitPods(namespace, 'late', 1, ['app', 'helper']);
    await isolatedPod(namespace, 'late-isolated');
    await namespace.kubectl(['scale', 'deployment/web', '--replicas=2']);
    await readySplitPods(namespace, 'web', 2, ['app', 'helper']);
    await invariantsHold();
  });
});

async function restore(): Promise<void> {
  await kubectl(['apply', '-f', manifest]);
  await kubectl(['wait', '--for=condition=Established', `crd/${crd}`, patience]);
}
