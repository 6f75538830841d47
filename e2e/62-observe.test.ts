// Learning a policy: the example runs with nothing enforced between its containers, what it uses is recorded, and the policy
// that is made of it leaves its duties working and ends the attacks that were not part of them.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { parseAllDocuments } from 'yaml';
import type { ContainerNetworkPolicy } from '../controller/api/container-network-policy.ts';
import type { ObservedUse } from '../controller/api/resources.ts';
import { trials, type Stage } from '../examples/web/trials.ts';
import { webPods } from '../hack/demo/pods.ts';
import { runTrial } from '../hack/demo/trial.ts';
import { kubeconfig } from '../hack/kubectl.ts';
import { barePod, pair, splitMode, succeeded } from './support/agents.ts';
import { eventually } from './support/eventually.ts';
import { TestNamespace } from './support/namespace.ts';
import { condition } from './support/objects.ts';
import { eventOf, podSplitOf, readySplitPods, type SplitPod } from './support/pieces.ts';

const run = promisify(execFile);
const plugin = join(import.meta.dirname, '../bin/kubectl-podsplit');
const example = join(import.meta.dirname, '../examples/web');
const containers = ['nginx', 'php', 'exporter', 'statsd'];
const duties = trials.filter(({ kind }) => kind === 'duty');
/** By flows that nobody declares, and by one that is declared and not needed. None is made before the policy is printed. */
const attacks = trials.filter(({ id }) => ['admin-page', 'fastcgi', 'forged-metric'].includes(id));
const needed = ['exporter->nginx:8081', 'nginx->php:9000', 'php->statsd:8125/udp'];

describe('a Deployment that is observed', () => {
  let namespace: TestNamespace;
  let split: SplitPod;
  let policy: string;

  before(async () => {
    namespace = await TestNamespace.create('observe');
    await Promise.all(['web', 'client'].map((name) => namespace.applyFile(join(example, `${name}.yaml`))));
    await namespace.kubectl(['scale', 'deployment/web', '--replicas=1']);
    await namespace.kubectl([
      'annotate',
      'deployment/web',
      'podsplit.io/install=node',
      'podsplit.io/flows=observe',
      'podsplit.io/mode=split',
    ]);
    await namespace.kubectl(['wait', '--for=condition=Ready', 'pod/client', '--timeout=90s']);
    [split] = (await readySplitPods(namespace, 'web', 1, containers)) as [SplitPod];
  });

  after(() => TestNamespace.deleteAll());

  it('is said to be unguarded in its PodSplit, in an Event, and by the command', async () => {
    const { status, reason, message } = condition(await podSplitOf(namespace, split.primary), 'Enforcing') ?? {};
    expect([status, reason]).to.deep.equal(['False', 'Observing']);
    expect(message).to.contain('NOTHING IS ENFORCED');
    expect((await eventOf(namespace, 'NotEnforcing', 'Pod')).message).to.contain('NOTHING IS ENFORCED');
    expect(await flows()).to.contain('NOTHING IS ENFORCED');
  });

  for (const { id, what } of duties) {
    it(`observed: ${what}: works`, () => tryIt(id, 'whole'));
  }

  it('is recorded: what its containers use of each other, and by eth0', async () => {
    const exporter = split.pieces.get('exporter')!.metadata.name;
    succeeded(
      await namespace.exec(exporter, 'exporter', ['python3', '-c', "import socket; socket.getaddrinfo('web', 80)"]),
    );
    await eventually(
      'all that it used is told',
      async () => {
        const observed = await observedUses();
        const inside = observed.filter(({ network }) => network === 'peer');
        expect(inside.map(flowOf).sort()).to.deep.equal(needed);
        expect(inside.map(({ wouldDeny }) => wouldDeny)).to.deep.equal(needed.map(() => false));
        expect(
          observed.filter(({ network }) => network === 'pod').map(({ from, port }) => [from, port]),
        ).to.deep.include(['exporter', 53]);
      },
      60_000,
    );
  });

  it('becomes a policy to apply', async () => {
    policy = await flows('-o', 'policy');
    expect(suggestedFlows().split(',')).to.deep.equal(needed);
    const policies = parseAllDocuments(policy).map((document) => document.toJS() as ContainerNetworkPolicy);
    expect(policies.map(({ spec }) => spec.containers?.join())).to.deep.equal(containers.toSorted());
    const [exporter] = policies;
    expect(exporter?.spec.podSelector).to.deep.equal({ matchLabels: { app: 'web' } });
    expect(exporter?.spec.egress).to.have.length(2);
    const [dns] = exporter!.spec.egress!.filter(({ to }) => to?.some((peer) => peer.namespaceSelector !== undefined));
    expect(dns?.to?.[0]?.namespaceSelector).to.deep.equal({
      matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' },
    });
    expect(policies.find(({ spec }) => spec.containers?.includes('statsd'))?.spec.egress).to.deep.equal([]);
  });

  for (const { id, what } of attacks) {
    it(`observed: ${what}: works, for nothing is enforced`, () => tryIt(id, 'whole'));
  }

  it('tells what would have been denied', async () => {
    await eventually(
      'the attack is told',
      async () => {
        const denied = (await observedUses()).filter(({ wouldDeny }) => wouldDeny);
        expect(denied.map(flowOf)).to.deep.equal(['exporter->nginx:8082']);
      },
      60_000,
    );
    expect(await flows()).to.match(/^exporter +nginx +8082\/tcp +peer +\d+ +\S+ +would be denied$/m);
  });

  it('is enforced by the policies that the command printed, at once, whatever the annotation says', async () => {
    await namespace.kubectl(['apply', '-f', '-'], policy);
    // statsd remembers the metric that was forged before.
    const unseen = attacks.filter(({ lookAt }) => lookAt === undefined);
    await eventually('the pieces follow', async () => {
      for (const { id } of unseen) await tryIt(id, 'flows');
    });
    for (const { id } of duties) await tryIt(id, 'flows');
    await namespace.kubectl(['delete', 'containernetworkpolicies', '--all']);
    await eventually('nothing is enforced again', async () => {
      for (const { id } of unseen) await tryIt(id, 'whole');
    });
  });

  it('is enforced by the flows that the command printed, and rolls out', async () => {
    const earlier = split.primary.metadata.uid;
    await namespace.kubectl(['annotate', '--overwrite', 'deployment/web', `podsplit.io/flows=${suggestedFlows()}`]);
    await namespace.kubectl(['rollout', 'status', 'deployment/web', '--timeout=150s']);
    [split] = (await readySplitPods(namespace, 'web', 1, containers)) as [SplitPod];
    expect(split.primary.metadata.uid).to.not.equal(earlier);
    expect(condition(await podSplitOf(namespace, split.primary), 'Enforcing')?.status).to.equal('True');
  });

  for (const { id, what } of duties) {
    it(`enforced: ${what}: works`, () => tryIt(id, 'flows'));
  }

  for (const { id, what } of attacks) {
    it(`enforced: ${what}: fails`, () => tryIt(id, 'flows'));
  }

  it('is refused where an init container loads the rules', async () => {
    const annotations = { ...splitMode, 'podsplit.io/install': 'init', 'podsplit.io/flows': 'observe' };
    const { status, output } = await namespace.dryRun(barePod('init', pair, annotations));
    expect(status).to.not.equal(0);
    expect(output).to.contain('(ObserveNeedsAgent)');
  });

  async function tryIt(id: string, stage: Stage): Promise<void> {
    const [pod] = await webPods(namespace.name);
    const verdict = await runTrial(
      trials.find((trial) => trial.id === id)!,
      stage,
      namespace.name,
      pod!,
    );
    expect(verdict.succeeded, verdict.output).to.equal(verdict.expected);
  }

  async function flows(...more: readonly string[]): Promise<string> {
    const pod = split.primary.metadata.name;
    const { stdout } = await run(plugin, ['flows', pod, '-n', namespace.name, '--kubeconfig', kubeconfig, ...more]);
    return stdout;
  }

  async function observedUses(): Promise<readonly ObservedUse[]> {
    const { status } = await podSplitOf(namespace, split.primary);
    return status?.observed ?? [];
  }

  function suggestedFlows(): string {
    return /podsplit\.io\/flows='(?<value>[^']*)'/.exec(policy)?.groups?.['value'] ?? '';
  }
});

function flowOf({ from, to, port, protocol }: ObservedUse): string {
  return `${from}->${to}:${port}${protocol === 'tcp' ? '' : `/${protocol}`}`;
}
