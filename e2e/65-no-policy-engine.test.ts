// Where the cluster enforces no NetworkPolicy: the proxy of examples/agent is as unavoidable there, by annotation and by policy.

import { expect } from 'chai';
import { givePolicyEngine, takePolicyEngine } from '../hack/cluster/policy-engine.ts';
import { ailing, readRunning, type Running } from '../hack/cluster/status.ts';
import { annotations } from '../examples/agent/tasks.ts';
import { AgentExample, describeStage, triesAll } from './support/agent-example.ts';
import { agentProgram, agents, barePod, call } from './support/agents.ts';
import { eventually } from './support/eventually.ts';
import { TestNamespace } from './support/namespace.ts';
import { condition, type Pod } from './support/objects.ts';
import { isReady } from './support/pieces.ts';

const { 'podsplit.io/egress-via': _way, ...splitOnly } = annotations.kept;

describe('on a cluster without an engine for NetworkPolicies', () => {
  let cluster: Running;
  let example: AgentExample;

  before(async () => {
    const running = await readRunning();
    if (running === undefined) throw new Error('this is about the embedded cluster: run `make cluster`');
    cluster = running;
    await takePolicyEngine(cluster.nodes.length);
    example = await AgentExample.start('no-engine');
  });

  // The second time as a rule for nothing: the last test has it back.
  after(async () => {
    await givePolicyEngine(cluster.nodes.length);
    await TestNamespace.deleteAll();
    example.end();
  });

  // In a suite of their own: mocha runs what stands beside suites before all of them.
  describe('as it is', () => {
    it('one that was left so is not well, and make cluster boots it anew', async () => {
      expect(await ailing(cluster)).to.deep.equal(cluster.nodes.map((name) => `kube-router of ${name} does not run`));
    });

    it('a NetworkPolicy that denies all holds nobody', async () => {
      await example.namespace.apply(agentProgram, {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'NetworkPolicy',
        metadata: { name: 'stranger' },
        spec: { podSelector: { matchLabels: { app: 'stranger' } }, policyTypes: ['Ingress', 'Egress'] },
      });
      await startStranger('before');
      expect(await strangerReaches('before'), 'IPv4 and IPv6').to.deep.equal([true, true]);
    });
  });

  for (const stage of ['whole', 'kept', 'carried'] as const) describeStage(stage, () => example);

  describe('kept by a policy', () => {
    before(async () => {
      await example.become(splitOnly);
      expect(await example.sendsFrame(5000), 'without the policy').to.equal(true);
      await example.namespace.apply({
        apiVersion: 'podsplit.io/v1alpha1',
        kind: 'ContainerNetworkPolicy',
        metadata: { name: 'by-proxy' },
        spec: { podSelector: {}, containers: ['agent'], egressVia: { container: 'proxy' } },
      });
      await eventually('the policy is compiled', async () => {
        const found = await example.namespace.get<Parameters<typeof condition>[0]>(
          'containerNetworkPolicies',
          'by-proxy',
        );
        expect(condition(found, 'Accepted')?.status).to.equal('True');
        expect(await example.sendsFrame(500)).to.equal(false);
      });
    });
    triesAll('kept', () => example);
  });

  describe('with the engine back', () => {
    it('the NetworkPolicy holds the Pod, and one that starts then', async () => {
      await givePolicyEngine(cluster.nodes.length);
      await startStranger('after');
      for (const name of ['before', 'after']) {
        await eventually(`the policy holds the Pod ${name}`, async () => {
          expect(await strangerReaches(name)).to.deep.equal([false, false]);
        });
      }
      expect(await ailing(cluster)).to.deep.equal([]);
    });
  });

  async function startStranger(name: string): Promise<void> {
    const pod = barePod(name, agents({ [name]: [] }));
    await example.namespace.apply({ ...pod, metadata: { ...pod.metadata, labels: { app: 'stranger' } } });
    await eventually(`the Pod ${name} is ready`, async () => {
      expect(isReady(await example.namespace.get<Pod>('pods', name))).to.equal(true);
    });
  }

  async function strangerReaches(name: string): Promise<readonly boolean[]> {
    const { ipv4, ipv6 } = example.host;
    const answers = await call(example.namespace, name, name, [
      ['udp', ipv4, 5300],
      ['udp', ipv6, 5300],
    ]);
    return answers.map((answer) => answer !== undefined);
  }
});
