// The unavoidable proxy with real programs: an agent that runs what it is told, and squid, in one Pod, kept, and carried.

import { expect } from 'chai';
import { stages } from '../examples/agent/tasks.ts';
import { AgentExample, describeStage } from './support/agent-example.ts';
import { TestNamespace } from './support/namespace.ts';

const cases = [
  ['split', 'container'],
  ['isolate', 'container'],
  ['split', 'native sidecar'],
] as const;

for (const [mode, proxy] of cases) {
  describe(`in mode ${mode} an agent behind a proxy that it cannot avoid, a ${proxy}`, () => {
    let example: AgentExample;

    before(async () => {
      example = await AgentExample.start(`egress-${mode}`, mode, proxy);
    });

    after(async () => {
      await TestNamespace.deleteAll();
      example.end();
    });

    for (const stage of stages) describeStage(stage, () => example, mode);

    it('says what nobody resolves, when the workload is annotated', async () => {
      const changes = Object.entries(example.annotationsOf('kept')).map(([key, value]) => `${key}=${value}`);
      const { output } = await example.namespace.try(['annotate', 'deployment/agent', '--dry-run=server', ...changes]);
      expect(output).to.contain('Container agent resolves no names').and.contain('EgressWithoutDns');
    });
  });
}
