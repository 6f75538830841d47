// While no controller runs: what opted in is refused and not run whole, nothing else is touched, what runs runs on.

import { expect } from 'chai';
import { agentProgram, barePod, call, pair, splitMode, workload } from './support/agents.ts';
import { startController, stopController, takeWebhookAway } from './support/controller.ts';
import { eventually } from './support/eventually.ts';
import { invariantsHold } from './support/invariants.ts';
import { TestNamespace } from './support/namespace.ts';
import { eventOf, readySplitPods, type SplitPod } from './support/pieces.ts';
import { asUser, attacks, bridgeConfig, nad, podWith, rights, victimOf, type Victim } from './support/tampering.ts';

const unanswered = 'failed calling webhook "pods.podsplit.io"';

describe('without a controller', () => {
  let namespace: TestNamespace;
  let split: SplitPod;
  let victim: Victim;

  before(async () => {
    namespace = await TestNamespace.create('down');
    await namespace.apply(
      agentProgram,
      ...rights,
      workload('Deployment', 'web', pair, {
        replicas: 1,
        annotations: { ...splitMode, 'podsplit.io/install': 'node' },
      }),
      barePod('plain', pair),
      barePod('gated', pair, { ...splitMode, 'podsplit.io/network': 'there-is-none' }),
    );
    [split] = (await readySplitPods(namespace, 'web', 1, ['app', 'helper'])) as [SplitPod];
    victim = await victimOf(namespace, split, 'gated');
    await stopController();
  });

  after(async () => {
    await TestNamespace.deleteAll();
    await startController();
  });

  it('Pods that did not opt in are made', async () => {
    const ended = await namespace.dryRun(barePod('pod', pair));
    expect(ended.status, ended.output).to.equal(0);
  });

  it('Pods that did are refused: they do not run whole', async () => {
    const ended = await namespace.dryRun(barePod('pod', pair, splitMode));
    expect(ended.status).not.to.equal(0);
    expect(ended.output).to.contain(unanswered);
  });

  it('so are Pods that say nothing, where the label of their namespace opts them in, and the webhook is gone as well', async () => {
    const labelled = await TestNamespace.create('down-labelled', { 'podsplit.io/mode': 'split' });
    const putBack = await takeWebhookAway();
    try {
      await eventually('the webhook is not asked', async () => {
        const several = await labelled.dryRun(barePod('pod', pair));
        expect(several.status).not.to.equal(0);
        expect(several.output).to.contain('podsplit-judged').and.to.contain('podsplit has not judged it');
      });
      const out = await labelled.dryRun(barePod('pod', pair, { 'podsplit.io/mode': 'none' }));
      expect(out.status, out.output).to.equal(0);
    } finally {
      await putBack();
    }
    await eventually('the webhook is asked', async () => {
      expect((await labelled.dryRun(barePod('pod', pair))).output).to.contain('failed calling webhook');
    });
  });

  it('so is annotating a workload, and other changes of workloads are not', async () => {
    await namespace.apply(workload('Deployment', 'other', pair, { replicas: 0 }));
    const ended = await namespace.try(['annotate', 'deployment/other', 'podsplit.io/mode=split']);
    expect(ended.output).to.contain('failed calling webhook "workloads.podsplit.io"');
    await namespace.kubectl(['annotate', 'deployment/other', 'example.com/owner=me']);
  });

  it('who may make Pods and networks otherwise may still', async () => {
    for (const object of [podWith({}), nad('mine', bridgeConfig('mine'))]) {
      const ended = await namespace.dryRun(object, ...asUser);
      expect(ended.status, ended.output).to.equal(0);
    }
  });

  for (const { what, make, message } of attacks) {
    it(`the guards hold: ${what}`, async () => {
      const [args, input] = make(victim);
      const ended = await namespace.try([...asUser, ...args], input === undefined ? undefined : JSON.stringify(input));
      expect(ended.status, ended.output).not.to.equal(0);
      // A code is the webhook's to say: that it does not answer is as good a refusal.
      expect(ended.output).to.contain(message.startsWith('(') ? unanswered : message);
    });
  }

  it('split Pods that run run on', async () => {
    const answers = await call(namespace, split.primary.metadata.name, 'app', [['tcp', '127.0.0.1', 7002]]);
    expect(answers).to.deep.equal(['helper 127.0.0.1']);
  });

  it('Pods come back, split, when the controller does', async () => {
    await namespace.kubectl(['delete', 'pod/gated', '--wait=false']);
    await namespace.kubectl(['delete', 'pod', split.primary.metadata.name, '--wait=false']);
    const refused = await eventOf(namespace, 'FailedCreate', 'ReplicaSet');
    expect(refused.message).to.contain(unanswered);
    await startController();
    await readySplitPods(namespace, 'web', 1, ['app', 'helper']);
    await invariantsHold();
  });
});
