// The guard "resources" as the API server asks it by itself, and whether a Pod of a labelled namespace was judged: a control
// plane with podsplit's policies and no podsplit process at all. What the webhook would say first is not asked here, so it is
// left out.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { startKubectl, type Ended } from '../../hack/demo/command.ts';
import { startSimulatedCluster, type SimulatedCluster } from '../../hack/simulation/cluster.ts';
import { eventually } from './cluster.ts';

const root = join(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(join(root, 'templates', file), 'utf8');
const judged = read('50-guards.yaml')
  .split('\n---\n')
  .filter((text) => text.includes('\n  name: podsplit-judged\n'));
const policies = [read('51-resources.yaml'), ...judged].join('\n---\n');

type Amounts = Readonly<Record<string, string>>;
interface Resources {
  readonly requests?: Amounts;
  readonly limits?: Amounts;
}

const bounded: Resources = { requests: { cpu: '1m', memory: '1Mi' }, limits: { cpu: '1', memory: '64Mi' } };
const split = { 'podsplit.io/mode': 'split' };

describe('what the API server asks of Pods by itself', function () {
  this.timeout(600_000);

  let cluster: SimulatedCluster;

  before(async () => {
    cluster = await startSimulatedCluster({ nodes: 1 });
    await cluster.kubectl(['apply', '--server-side', '-f', '-'], policies);
    await namespace('plain', {});
    await namespace('labelled', { 'podsplit.io/mode': 'split' });
    await namespace('unguarded', { 'podsplit.io/mode': 'isolate', 'podsplit.io/guards': 'token.hardening' });
    await namespace('unknown', { 'podsplit.io/mode': 'Split' });
    await namespace('out', { 'podsplit.io/mode': 'none' });
    await namespace('only-guards', { 'podsplit.io/guards': 'all' });
    await cluster.kubectl(['label', 'namespace/kube-system', 'podsplit.io/mode=split']);
    await cluster.kubectl(['-n', 'kube-system', 'wait', '--for=create', 'serviceaccount/default', '--timeout=60s']);
    await eventually('the policies are in force', async () => {
      for (const [pod, where] of [
        [podOf([{}, {}], split), 'plain'],
        [podOf([{}, {}], {}), 'labelled'],
      ] as const) {
        if ((await make(pod, where)).status === 0) return false;
      }
      return true;
    });
  });

  after(async () => {
    await cluster.stop();
  });

  async function namespace(name: string, labels: Readonly<Record<string, string>>): Promise<void> {
    await cluster.kubectl(
      ['create', '-f', '-'],
      JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } }),
    );
    await cluster.kubectl(['-n', name, 'wait', '--for=create', 'serviceaccount/default', '--timeout=60s']);
  }

  /** Not kept. */
  function make(object: object, namespace = 'plain'): Promise<Ended> {
    return run(['-n', namespace, 'create', '--dry-run=server', '-f', '-'], object);
  }

  function run(args: readonly string[], object?: object): Promise<Ended> {
    const where = [`--kubeconfig=${cluster.kubeconfig}`, ...args];
    return startKubectl(where, object === undefined ? undefined : JSON.stringify(object)).ended;
  }

  it('refuses a Pod with the list of what is missing, init containers and native sidecars too', async () => {
    const pod = podOf([{ limits: { cpu: '1' } }, bounded], split, [
      { resources: { requests: { memory: '1Mi' } } },
      { restartPolicy: 'Always', resources: { limits: { memory: '1Mi', cpu: '1' } } },
    ]);
    const { status, output } = await make(pod);
    expect(status).not.to.equal(0);
    expect(output).to.contain(
      'c0 states no requests.memory, limits.memory; i0 states no requests.cpu, limits.cpu, limits.memory. State them',
    );
    expect(output)
      .to.contain('or set podsplit.io/guards to "token". (MissingResources)')
      .and.to.not.contain('c1')
      .and.to.not.contain('i1');
  });

  it('takes a limit of 0 for none, of Pods and of templates', async () => {
    const pods = podOf([{ limits: { cpu: '0', memory: '64Mi' } }, { limits: { cpu: '1', memory: '0Mi' } }], split);
    const missing = 'c0 states no limits.cpu above 0; c1 states no limits.memory above 0. State them';
    const refused = await make(pods);
    expect(refused.status).not.to.equal(0);
    expect(refused.output).to.contain(missing);
    for (const kind of ['Deployment', 'CronJob']) {
      expect((await make(workloadOf(kind, pods))).output)
        .to.contain('Warning:')
        .and.to.contain(missing);
    }
  });

  const accepted: readonly (readonly [string, object, string?])[] = [
    ['states everything', podOf([bounded, bounded], split)],
    ['states limits, which are its requests too', podOf([{ limits: bounded.limits! }, bounded], split)],
    ['states limits by small units', podOf([{ limits: { cpu: '1m', memory: '1e6' } }, bounded], split)],
    ['did not opt in', podOf([{}, {}], {})],
    ['opted out of what its namespace says', podOf([{}, {}], { 'podsplit.io/mode': 'none' }), 'labelled'],
    ['has nothing to split', podOf([{}], split)],
    ['has nothing to split where its namespace says mode split', podOf([{}], {}), 'labelled'],
    ['leaves the guard out', podOf([{}, {}], { ...split, 'podsplit.io/guards': 'token' })],
    ['has no guards', podOf([{}, {}], { ...split, 'podsplit.io/guards': 'none' }), 'labelled'],
    ['is in a namespace that leaves the guard out', podOf([{}, {}], split), 'unguarded'],
  ];
  for (const [what, pod, where] of accepted) {
    it(`takes a Pod that ${what}`, async () => {
      const { status, output } = await make(pod, where);
      expect(status, output).to.equal(0);
    });
  }

  const refused: readonly (readonly [string, object, string?])[] = [
    ['opted in to isolation', podOf([{}, bounded], { 'podsplit.io/mode': 'isolate' })],
    [
      'names the guard against its namespace',
      podOf([{}, bounded], { ...split, 'podsplit.io/guards': 'resources' }),
      'unguarded',
    ],
    ['asks for all guards', podOf([{}, bounded], { ...split, 'podsplit.io/guards': 'all' })],
    ['lists it after another', podOf([{}, bounded], { ...split, 'podsplit.io/guards': 'token, resources' })],
    ['was cut', podOf([{}], { ...split, 'podsplit.io/removed': '{}' })],
    ['has a native sidecar only beside it', podOf([{}], split, [{ restartPolicy: 'Always', resources: bounded }])],
  ];
  for (const [what, pod, where] of refused) {
    it(`refuses a Pod that ${what}`, async () => {
      const { status, output } = await make(pod, where);
      expect(status).not.to.equal(0);
      expect(output).to.contain('c0 states no requests.cpu, requests.memory, limits.cpu, limits.memory');
    });
  }

  const unjudged: readonly (readonly [string, object, string])[] = [
    ['with two containers', podOf([bounded, bounded], {}), 'labelled'],
    ['with a native sidecar', podOf([bounded], {}, [{ restartPolicy: 'Always', resources: bounded }]), 'labelled'],
    ['that is to be isolated', podOf([bounded, bounded], {}), 'unguarded'],
    ['that names guards alone', podOf([bounded, bounded], { 'podsplit.io/guards': 'none' }), 'labelled'],
    ['where the label is not known', podOf([bounded, bounded], {}), 'unknown'],
  ];
  for (const [what, pod, where] of unjudged) {
    it(`refuses a Pod that its namespace opts in and nobody has judged: ${what}`, async () => {
      const { status, output } = await make(pod, where);
      expect(status).not.to.equal(0);
      expect(output).to.contain('podsplit-judged').and.to.contain('podsplit has not judged it');
    });
  }

  const notAsked: readonly (readonly [string, object, string])[] = [
    ['is judged', podOf([bounded, bounded], split), 'labelled'],
    ['has one container, and an init container', podOf([{}], {}, [{ resources: {} }]), 'labelled'],
    ['is in a namespace whose label says none', podOf([{}, {}], {}), 'out'],
    ['is in a namespace that says guards only', podOf([{}, {}], {}), 'only-guards'],
    ['is in a namespace that podsplit needs itself', podOf([{}, {}], {}), 'kube-system'],
  ];
  for (const [what, pod, where] of notAsked) {
    it(`asks nobody whether it was judged that ${what}`, async () => {
      const { status, output } = await make(pod, where);
      expect(status, output).to.equal(0);
    });
  }

  for (const kind of ['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job', 'CronJob']) {
    it(`warns of the template of a ${kind}, and takes it`, async () => {
      const said = await make(workloadOf(kind, podOf([{}, { limits: bounded.limits! }], split)));
      expect(said.status, said.output).to.equal(0);
      expect(said.output).to.contain('Warning:').and.to.contain('c0 states no requests.cpu, requests.memory');
      expect(said.output).to.contain('unless their SplitNetwork').and.to.not.contain('c1');
      for (const quiet of [podOf([bounded, bounded], split), podOf([{}, {}], {}), podOf([{}], split)]) {
        const { output } = await make(workloadOf(kind, quiet));
        expect(output).to.not.contain('Warning:');
      }
    });
  }

  it('says nothing of what was there before: scaling, and annotations that it does not read', async () => {
    const deployment = workloadOf('Deployment', podOf([{}, {}], split));
    expect((await run(['-n', 'plain', 'create', '-f', '-'], deployment)).output).to.contain('Warning:');
    for (const args of [
      ['scale', 'deployment/w', '--replicas=0'],
      ['annotate', 'deployment/w', 'example.com/owner=me'],
    ]) {
      const { status, output } = await run(['-n', 'plain', ...args]);
      expect(status, output).to.equal(0);
      expect(output).to.not.contain('Warning:');
    }
    const changed = await run(['-n', 'plain', 'set', 'image', 'deployment/w', 'c0=other']);
    expect(changed.output).to.contain('Warning:').and.to.contain('c1 states no');
  });

  it('leaves a workload that is annotated itself to the webhook', async () => {
    const { metadata, ...rest } = workloadOf('Deployment', podOf([{}, {}], split));
    const { output } = await make({ ...rest, metadata: { ...metadata, annotations: split } });
    expect(output).to.not.contain('Warning:');
  });
});

interface Init {
  readonly restartPolicy?: string;
  readonly resources: Resources;
}

function podOf(containers: readonly Resources[], annotations: object, initContainers: readonly Init[] = []) {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', labels: { app: 'w' }, annotations },
    spec: {
      initContainers: initContainers.map((init, index) => ({ name: `i${index}`, image: 'i', ...init })),
      containers: containers.map((resources, index) => ({ name: `c${index}`, image: 'i', resources })),
    },
  };
}

function workloadOf(kind: string, { metadata: { labels, annotations }, spec }: ReturnType<typeof podOf>) {
  const isBatch = kind === 'Job' || kind === 'CronJob';
  const template = { metadata: { labels, annotations }, spec: isBatch ? { ...spec, restartPolicy: 'Never' } : spec };
  const own = {
    Job: { template },
    CronJob: { schedule: '0 0 * * *', jobTemplate: { spec: { template } } },
    StatefulSet: { template, serviceName: 'w', selector: { matchLabels: labels } },
  }[kind] ?? { template, selector: { matchLabels: labels } };
  return {
    apiVersion: isBatch ? 'batch/v1' : 'apps/v1',
    kind,
    metadata: { name: 'w' },
    spec: own,
  };
}
