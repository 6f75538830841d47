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
import { agentProgram, agents, barePod, call, pair, splitMode, succeeded, workload } from './support/agents.ts';
import { eventually, patience } from './support/eventually.ts';
import { isolatedPod, isolateMode, server, targets, withUsers } from './support/isolated.ts';
import { TestNamespace } from './support/namespace.ts';
import { condition, type Pod } from './support/objects.ts';
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
    await namespace.kubectl(['wait', '--for=condition=Ready', 'pod/client', patience]);
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
    await namespace.kubectl(['rollout', 'status', 'deployment/web', patience]);
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

/** By name: whom it calls where; in one Pod all of it works. */
const uses: Readonly<Record<'duty' | 'attack', readonly (readonly [string, 'tcp' | 'udp', number, string])[]>> = {
  duty: [
    ['app', 'tcp', 6379, 'cache'],
    // Nobody declares these two.
    ['exporter', 'tcp', 8081, 'app'],
    ['app', 'udp', 8126, 'exporter'],
    ['app', 'udp', 8125, 'cache'],
  ],
  attack: [
    ['exporter', 'tcp', 6379, 'cache'],
    ['exporter', 'tcp', 8082, 'app'],
    ['cache', 'udp', 8126, 'exporter'],
  ],
};
const isolated = withUsers(
  agents({
    app: [
      { protocol: 'tcp', bind: '::', port: 8080, declared: true },
      { protocol: 'tcp', bind: '127.0.0.1', port: 8081, declared: false },
      { protocol: 'tcp', bind: '127.0.0.1', port: 8082, declared: false },
    ],
    cache: [
      { protocol: 'tcp', bind: '127.0.0.1', port: 6379, declared: true },
      { protocol: 'udp', bind: '127.0.0.1', port: 8125, declared: true },
    ],
    exporter: [{ protocol: 'udp', bind: '127.0.0.1', port: 8126, declared: false }],
  }),
  { app: 1001, cache: 1002, exporter: 1003 },
);
const client = agents({ client: [{ protocol: 'tcp', bind: '::', port: 7100, declared: true }] });
const neededInside = ['app->cache:6379', 'app->cache:8125/udp', 'app->exporter:8126/udp', 'exporter->app:8081'];

describe('an isolated Deployment that is observed', () => {
  let namespace: TestNamespace;
  let pod: Pod;
  let policy: string;

  before(async () => {
    namespace = await TestNamespace.create('observe-isolate');
    await namespace.apply(
      agentProgram,
      barePod('client', client),
      workload('Deployment', 'shop', isolated, {
        replicas: 1,
        annotations: { ...isolateMode, 'podsplit.io/flows': 'observe' },
      }),
    );
    await namespace.kubectl(['wait', '--for=condition=Ready', 'pod/client', patience]);
    pod = await isolatedPod(namespace, 'shop');
  });

  after(() => TestNamespace.deleteAll());

  it('is said to be unguarded in its PodSplit, in an Event, and by the command', async () => {
    const enforcing = await eventually('the condition is there', async () => {
      const found = condition(await podSplitOf(namespace, pod), 'Enforcing');
      if (found === undefined) throw new Error('there is none');
      return found;
    });
    expect([enforcing.status, enforcing.reason]).to.deep.equal(['False', 'Observing']);
    expect((await eventOf(namespace, 'NotEnforcing', 'Pod', pod.metadata.name)).message).to.contain(
      'NOTHING IS ENFORCED',
    );
    expect(await flows()).to.contain('NOTHING IS ENFORCED');
  });

  it('works as one Pod does, and what it uses is recorded', async () => {
    expect(await served('duty')).to.deep.equal(answered('duty'));
    expect((await outside()).map(server)).to.deep.equal(['client', 'client']);
    await eventually(
      'all that it used is told',
      async () => {
        const observed = await observedUses();
        const inside = observed.filter(({ network }) => network === 'loopback');
        expect(inside.map(flowOf).sort()).to.deep.equal(neededInside);
        expect(inside.filter(({ wouldDeny }) => wouldDeny).map(flowOf)).to.have.members([
          'exporter->app:8081',
          'app->exporter:8126/udp',
        ]);
        expect(
          observed.filter(({ network }) => network === 'pod').map(({ from, port }) => `${from} ${port}`),
        ).to.deep.equal(['app 7100', 'app 7100']);
      },
      60_000,
    );
    policy = await flows('-o', 'policy');
    expect(suggestedFlows().split(',')).to.deep.equal(neededInside);
  });

  it('observed: attacks work, and are told', async () => {
    expect(await served('attack')).to.deep.equal(answered('attack'));
    await eventually(
      'the attacks are told',
      async () => {
        const told = (await observedUses()).map(flowOf);
        expect(told).to.include.members(['exporter->app:8082', 'cache->exporter:8126/udp']);
      },
      60_000,
    );
  });

  it('is enforced by the policies that the command printed, whatever the annotation says', async () => {
    await namespace.kubectl(['apply', '-f', '-'], policy);
    await eventually('the attacks fail', async () => {
      expect(await served('attack')).to.deep.equal(uses.attack.map(() => undefined));
    });
    expect(await served('duty')).to.deep.equal(answered('duty'));
    expect((await outside()).map(server)).to.deep.equal(['client', 'client']);
    await namespace.kubectl(['delete', 'containernetworkpolicies', '--all']);
    await eventually('nothing is enforced again', async () => {
      expect(await served('attack')).to.deep.equal(answered('attack'));
    });
  });

  it('is enforced by the flows that the command printed, on the Pod that runs', async () => {
    const annotation = `podsplit.io/flows=${suggestedFlows()}`;
    await namespace.kubectl(['annotate', '--overwrite', `pod/${pod.metadata.name}`, annotation]);
    await eventually('the attacks fail', async () => {
      expect(await served('attack')).to.deep.equal(uses.attack.map(() => undefined));
    });
    expect(await served('duty')).to.deep.equal(answered('duty'));
    await eventually('the PodSplit says so', async () => {
      expect(condition(await podSplitOf(namespace, pod), 'Enforcing')?.status).to.equal('True');
    });
  });

  async function served(kind: keyof typeof uses): Promise<readonly (string | undefined)[]> {
    const calls = uses[kind].map(([from, protocol, port]) =>
      call(namespace, pod.metadata.name, from, targets(['127.0.0.1'], protocol, port)),
    );
    return (await Promise.all(calls)).flat().map(server);
  }

  async function outside() {
    const { status } = await namespace.get<Pod>('pods', 'client');
    return call(
      namespace,
      pod.metadata.name,
      'app',
      targets(
        (status.podIPs ?? []).map(({ ip }) => ip),
        'tcp',
        7100,
      ),
    );
  }

  async function flows(...more: readonly string[]): Promise<string> {
    const args = ['flows', pod.metadata.name, '-n', namespace.name, '--kubeconfig', kubeconfig, ...more];
    return (await run(plugin, args)).stdout;
  }

  async function observedUses(): Promise<readonly ObservedUse[]> {
    return (await podSplitOf(namespace, pod)).status?.observed ?? [];
  }

  function suggestedFlows(): string {
    return /podsplit\.io\/flows='(?<value>[^']*)'/.exec(policy)?.groups?.['value'] ?? '';
  }
});

function answered(kind: keyof typeof uses): readonly string[] {
  return uses[kind].map(([, , , by]) => by);
}

function flowOf({ from, to, port, protocol }: ObservedUse): string {
  return `${from}->${to}:${port}${protocol === 'tcp' ? '' : `/${protocol}`}`;
}
