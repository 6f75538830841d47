// While no controller runs: what opted in is refused and not run whole, nothing else is touched, what runs runs on.

import { expect } from 'chai';
import { ownLabels } from '../controller/api/names.ts';
import { agentProgram, barePod, call, pair, splitMode, workload } from './support/agents.ts';
import { startController, stopController } from './support/controller.ts';
import { invariantsHold } from './support/invariants.ts';
import { TestNamespace } from './support/namespace.ts';
import { eventOf, readySplitPods, type SplitPod } from './support/pieces.ts';

const unanswered = 'failed calling webhook "pods.podsplit.io"';

describe('without a controller', () => {
  let namespace: TestNamespace;
  let split: SplitPod;

  before(async () => {
    namespace = await TestNamespace.create('down');
    await namespace.apply(agentProgram, workload('Deployment', 'web', pair, { replicas: 1, annotations: splitMode }));
    [split] = (await readySplitPods(namespace, 'web', 1, ['app', 'helper'])) as [SplitPod];
    await stopController();
  });

  after(async () => {
    await TestNamespace.deleteAll();
    await startController();
  });

  it('Pods that did not opt in are made', async () => {
    const ended = await namespace.dryRun(barePod('plain', pair));
    expect(ended.status, ended.output).to.equal(0);
  });

  it('Pods that did are refused: they do not run whole', async () => {
    const ended = await namespace.dryRun(barePod('pod', pair, splitMode));
    expect(ended.status).not.to.equal(0);
    expect(ended.output).to.contain(unanswered);
  });

  it('so is annotating a workload, and other changes of workloads are not', async () => {
    await namespace.apply(workload('Deployment', 'other', pair, { replicas: 0 }));
    const ended = await namespace.try(['annotate', 'deployment/other', 'podsplit.io/mode=split']);
    expect(ended.output).to.contain('failed calling webhook "workloads.podsplit.io"');
    await namespace.kubectl(['annotate', 'deployment/other', 'example.com/owner=me']);
  });

  it('the guards hold', async () => {
    const labels = { [ownLabels.split]: '0123456789', [ownLabels.role]: 'sibling' };
    const pod = barePod('forged', pair);
    const forged = { ...pod, metadata: { ...pod.metadata, labels } };
    // ServiceAccounts of the namespace may not make Pods: the guard is asked by one that may.
    const groups = ['--as-group=system:authenticated', '--as-group=system:serviceaccounts:kube-system'];
    const as = ['--as=system:serviceaccount:kube-system:replicaset-controller', ...groups];
    const ended = await namespace.dryRun(forged, ...as);
    expect(ended.output).to.contain('labels of podsplit.io are set by podsplit only');
  });

  it('split Pods that run run on', async () => {
    const answers = await call(namespace, split.primary.metadata.name, 'app', [['tcp', '127.0.0.1', 7002]]);
    expect(answers).to.deep.equal(['helper 127.0.0.1']);
  });

  it('Pods come back, split, when the controller does', async () => {
    await namespace.kubectl(['delete', 'pod', split.primary.metadata.name, '--wait=false']);
    const refused = await eventOf(namespace, 'FailedCreate', 'ReplicaSet');
    expect(refused.message).to.contain(unanswered);
    await startController();
    await readySplitPods(namespace, 'web', 1, ['app', 'helper']);
    await invariantsHold();
  });
});
