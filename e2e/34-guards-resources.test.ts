// The guards "resources" and "hardening" from admission to the pieces, at each level of Pod security, and what is left of them
// while the webhook is away. On a control plane with simulated nodes: no container has to run for what is asked here.

import { expect } from 'chai';
import { resources, type Pod } from '../controller/kube/resources.ts';
import { startKubectl, type Ended } from '../hack/demo/command.ts';
import type { Child } from '../hack/simulation/child.ts';
import { startSimulatedCluster, type SimulatedCluster } from '../hack/simulation/cluster.ts';
import { installPodsplit, startController, untilLeading } from '../hack/simulation/podsplit.ts';
import { eventually } from './support/eventually.ts';

const bounded = { requests: { cpu: '10m', memory: '16Mi' }, limits: { cpu: '100m', memory: '64Mi' } };
const splitMode = { 'podsplit.io/mode': 'split' };
const levels = ['privileged', 'baseline', 'restricted'] as const;

describe('the guards resources and hardening', function () {
  this.timeout(600_000);

  let cluster: SimulatedCluster;
  let controller: Child;

  before(async () => {
    cluster = await startSimulatedCluster({ nodes: 1 });
    const ports = await installPodsplit(cluster);
    controller = await startController({ cluster, ports });
    await untilLeading(controller, ports);
    await namespace('guarded', {});
    await namespace('unguarded', { 'podsplit.io/guards': 'token' });
    await namespace('filled', {});
    await namespace('labelled', { 'podsplit.io/mode': 'split' });
    for (const level of levels) {
      await namespace(level, {
        'pod-security.kubernetes.io/enforce': level,
        'podsplit.io/guards': 'hardening',
      });
    }
    await eventually('the webhook answers', async () => {
      const { status, output } = await make('unguarded', podOf('probe', [{}, {}]), '--dry-run=server');
      expect(status, output).to.equal(0);
    });
  });

  after(async () => {
    await controller.kill();
    await cluster.stop();
  });

  async function namespace(name: string, labels: Readonly<Record<string, string>>): Promise<void> {
    const manifest = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
    await cluster.kubectl(['create', '-f', '-'], JSON.stringify(manifest));
    await cluster.kubectl(['-n', name, 'wait', '--for=create', 'serviceaccount/default', '--timeout=60s']);
  }

  function run(args: readonly string[], object?: object): Promise<Ended> {
    const where = [`--kubeconfig=${cluster.kubeconfig}`, ...args];
    return startKubectl(where, object === undefined ? undefined : JSON.stringify(object)).ended;
  }

  function make(where: string, object: object, ...more: readonly string[]): Promise<Ended> {
    return run(['-n', where, 'create', ...more, '-f', '-'], object);
  }

  async function podsOf(where: string, count: number): Promise<readonly Pod[]> {
    let found: readonly Pod[] = [];
    await eventually(`${count} pieces in ${where}`, async () => {
      found = (await cluster.client.list(resources.pods, { namespace: where })).items;
      const roles = found.map(({ metadata }) => metadata.labels?.['podsplit.io/role']).sort();
      expect(roles).to.deep.equal(['primary', ...Array.from({ length: count - 1 }, () => 'sibling')]);
    });
    return found;
  }

  it('refuse an annotated Deployment with all that its containers do not state', async () => {
    const deployment = deploymentOf('web', [{ limits: { memory: '64Mi' } }, {}, bounded], splitMode);
    const { status, output } = await make('guarded', deployment);
    expect(status).not.to.equal(0);
    expect(output).to.contain('"c0" states no requests.cpu, limits.cpu.');
    expect(output).to.contain('"c1" states no requests.cpu, requests.memory, limits.cpu, limits.memory.');
    expect(output).to.contain('spec.template.spec.containers[1].resources').and.to.not.contain('"c2"');
  });

  it('take what states everything, and what leaves the guard out by annotation or by its namespace', async () => {
    const taken: readonly (readonly [string, object])[] = [
      ['guarded', podOf('p', [bounded, { limits: bounded.limits }])],
      ['guarded', podOf('p', [{}, {}], { 'podsplit.io/guards': 'none' })],
      ['unguarded', podOf('p', [{}, {}])],
    ];
    for (const [where, pod] of taken) {
      const { status, output } = await make(where, pod, '--dry-run=server');
      expect(status, output).to.equal(0);
    }
    const named = await make(
      'unguarded',
      podOf('p', [{}, {}], { 'podsplit.io/guards': 'resources' }),
      '--dry-run=server',
    );
    expect(named.output).to.contain('(MissingResources)');
  });

  it('let a Pod pass that the label of its namespace opts in, once the webhook has judged it', async () => {
    const { metadata, ...pod } = podOf('p', [bounded, bounded]);
    const silent = { ...pod, metadata: { name: metadata.name } };
    const { status, output } = await make('labelled', silent, '--dry-run=server', '-o', 'json');
    expect(status, output).to.equal(0);
    expect(output).to.contain('"podsplit.io/mode": "split"');
  });

  it('let a running workload be scaled down and annotated that was made before', async () => {
    expect((await make('unguarded', deploymentOf('old', [{}, {}], splitMode))).status).to.equal(0);
    await podsOf('unguarded', 2);
    await cluster.kubectl(['label', 'namespace/unguarded', 'podsplit.io/guards=all', '--overwrite']);
    for (const args of [
      ['annotate', 'deployment/old', 'example.com/owner=me'],
      ['scale', 'deployment/old', '--replicas=0'],
    ]) {
      const { status, output } = await run(['-n', 'unguarded', ...args]);
      expect(status, output).to.equal(0);
    }
  });

  it('fill in what the SplitNetwork gives, into each piece', async () => {
    const spec = { resources: { requests: { cpu: '5m', memory: '8Mi' }, limits: { cpu: 1, memory: '32Mi' } } };
    await cluster.kubectl(['patch', 'splitnetwork/default', '--type=merge', '-p', JSON.stringify({ spec })]);
    await eventually('the webhook knows', async () => {
      const { status, output } = await make('filled', podOf('p', [{}, {}]), '--dry-run=server');
      expect(status, output).to.equal(0);
    });
    const made = await make('filled', deploymentOf('web', [{}, { limits: { memory: '64Mi' } }], splitMode));
    expect(made.status, made.output).to.equal(0);
    expect(made.output).to.contain('SplitNetwork default gives it requests.cpu 5m');
    const [c0, c1] = (await podsOf('filled', 2))
      .flatMap((pod) => pod.spec?.containers as readonly { readonly name: string; readonly resources?: unknown }[])
      .toSorted((one, other) => (one.name < other.name ? -1 : 1));
    expect(c0?.resources).to.deep.equal({
      requests: { cpu: '5m', memory: '8Mi' },
      limits: { cpu: '1', memory: '32Mi' },
    });
    expect(c1?.resources).to.deep.equal({
      requests: { cpu: '5m', memory: '64Mi' },
      limits: { cpu: '1', memory: '64Mi' },
    });
  });

  const unusable: readonly (readonly [object, string])[] = [
    [{ requests: { cpu: '2' }, limits: { cpu: '1' } }, 'requests.cpu must not be above limits.cpu'],
    [{ requests: { memory: '2Gi' }, limits: { memory: '1Gi' } }, 'requests.memory must not be above limits.memory'],
    [{ limits: { cpu: 'much' } }, 'must be a quantity above 0'],
    [{ limits: { memory: 0 } }, 'must be a quantity above 0'],
    [{ limits: { disk: '1Gi' } }, 'unknown field "spec.resources.limits.disk"'],
  ];
  for (const [amounts, message] of unusable) {
    it(`no SplitNetwork gives ${JSON.stringify(amounts)}`, async () => {
      const spec = { ipv4: '10.250.0.0/16', resources: amounts };
      const network = { apiVersion: 'podsplit.io/v1alpha1', kind: 'SplitNetwork', metadata: { name: 'n' }, spec };
      const { status, output } = await run(['create', '--dry-run=server', '-f', '-'], network);
      expect(status).not.to.equal(0);
      expect(output).to.contain(message);
    });
  }

  it('restricted Pod security refuses the Pod that is not hardened', async () => {
    const open = podOf('open', [{}, {}], { 'podsplit.io/guards': 'none' });
    const { status, output } = await make('restricted', open, '--dry-run=server');
    expect(status).not.to.equal(0);
    expect(output).to.contain('violates PodSecurity "restricted:latest"');
  });

  for (const level of levels) {
    it(`every piece is hardened, and let in, where Pod security is ${level}`, async () => {
      const made = await make(level, deploymentOf('web', [{}, {}, {}], splitMode));
      expect(made.status, made.output).to.equal(0);
      for (const pod of await podsOf(level, 3)) {
        const containers = pod.spec?.containers as readonly { readonly securityContext?: unknown }[];
        for (const { securityContext } of containers) {
          expect(securityContext).to.deep.equal({
            allowPrivilegeEscalation: false,
            capabilities: { drop: ['ALL'] },
            runAsNonRoot: true,
            seccompProfile: { type: 'RuntimeDefault' },
          });
        }
      }
    });

    it(`what contradicts is refused with the reasons where Pod security is ${level}`, async () => {
      const { metadata, spec, ...rest } = podOf('root', [{}, {}]);
      const [first, ...others] = spec.containers;
      const containers = [{ ...first, securityContext: { runAsUser: 0, capabilities: { add: ['CHOWN'] } } }, ...others];
      const { output } = await make(level, { ...rest, metadata, spec: { containers } }, '--dry-run=server');
      expect(output)
        .to.contain('"c0" runs as root')
        .and.to.contain('"c0" adds CHOWN')
        .and.to.contain('(HardeningConflict)');
    });
  }

  describe('without podsplit', () => {
    before(async () => {
      await controller.kill();
    });

    it('no Pod that opted in is made', async () => {
      const { status, output } = await make('guarded', podOf('p', [{}, {}]), '--dry-run=server');
      expect(status).not.to.equal(0);
      expect(output).to.contain('failed calling webhook "pods.podsplit.io"');
    });

    it('a template is warned of with the list', async () => {
      const { status, output } = await make(
        'guarded',
        deploymentOf('late', [{}, bounded], {}, splitMode),
        '--dry-run=server',
      );
      expect(status, output).to.equal(0);
      expect(output).to.contain('Warning:').and.to.contain('c0 states no requests.cpu, requests.memory, limits.cpu');
    });

    it('the API server itself refuses with the list where the webhook was taken away', async () => {
      await cluster.kubectl(['delete', 'mutatingwebhookconfiguration/podsplit']);
      await eventually('the webhook is not asked', async () => {
        const { output } = await make('guarded', podOf('p', [{}, bounded]), '--dry-run=server');
        expect(output).to.contain('c0 states no requests.cpu, requests.memory, limits.cpu, limits.memory');
      });
      const complete = await make('guarded', podOf('p', [bounded, bounded]), '--dry-run=server');
      expect(complete.status, complete.output).to.equal(0);
    });

    it('and refuses all that the label of a namespace opts in', async () => {
      const { metadata, ...pod } = podOf('p', [bounded, bounded]);
      const silent = { ...pod, metadata: { name: metadata.name } };
      const { status, output } = await make('labelled', silent, '--dry-run=server');
      expect(status).not.to.equal(0);
      expect(output).to.contain('podsplit-judged').and.to.contain('podsplit has not judged it');
    });
  });
});

function podOf(name: string, containers: readonly object[], annotations: object = {}) {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, annotations: { ...splitMode, ...annotations } },
    spec: { containers: containersOf(containers) },
  };
}

function containersOf(list: readonly object[]) {
  return list.map((resources, index) => ({ name: `c${index}`, image: 'registry.invalid/c:1', resources }));
}

function deploymentOf(name: string, containers: readonly object[], annotations: object, onTemplate: object = {}) {
  const labels = { app: name };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name, annotations },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: { metadata: { labels, annotations: onTemplate }, spec: { containers: containersOf(containers) } },
    },
  };
}
