// What chart and CLI print, onto a real API server, from the install to the last object that goes. Its nodes are simulated:
// nothing of podsplit runs, and nothing has to.

import { expect } from 'chai';
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatManifest } from '../../controller/cli/manifest-yaml.ts';
import { otherValues } from '../../controller/manifests/testdata/other-values.ts';
import { buildCommands } from '../../hack/cluster/build.ts';
import { helm as module } from '../../hack/cluster/modules.ts';
import { run } from '../../hack/cluster/run.ts';
import { startSimulatedCluster, type SimulatedCluster } from '../../hack/simulation/cluster.ts';
import { objectsOf } from './objects.ts';

const root = join(import.meta.dirname, '../..');
const image = 'registry.example/podsplit:1.2.3';

/** The Prometheus Operator's, as far as an API server has to know it. */
const serviceMonitors = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'servicemonitors.monitoring.coreos.com' },
  spec: {
    group: 'monitoring.coreos.com',
    scope: 'Namespaced',
    names: { plural: 'servicemonitors', singular: 'servicemonitor', kind: 'ServiceMonitor' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
};

/** With the annotation before podsplit comes: it is what an uninstall has to deal with. */
const web = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'default', annotations: { 'podsplit.io/mode': 'split' } },
  spec: {
    selector: { matchLabels: { app: 'web' } },
    template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'web', image: 'none' }] } },
  },
};

interface Ran {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

describe('on a cluster', function () {
  this.timeout(300_000);

  let cluster: SimulatedCluster;
  let helmBinary = '';

  before(async function () {
    this.timeout(1_200_000);
    helmBinary = join(await buildCommands(module), 'helm');
    cluster = await startSimulatedCluster({ nodes: 2 });
    await cluster.kubectl(['apply', '-f', '-'], [serviceMonitors, web].map(formatManifest).join('---\n'));
    await cluster.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
  });
  after(() => cluster.stop());

  function podsplit(...args: readonly string[]): Promise<Ran> {
    const env = { ...process.env, KUBECONFIG: cluster.kubeconfig };
    return new Promise((resolve) => {
      const command = [join(root, 'controller/cli/main.ts'), ...args];
      execFile(process.execPath, command, { env, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
        resolve({ exitCode: error === null ? 0 : Number(error.code), stdout, stderr });
      });
    });
  }

  function helm(...args: readonly string[]): Promise<string> {
    const homes = ['CACHE', 'CONFIG', 'DATA'].map((home) => [`HELM_${home}_HOME`, join(cluster.folder, 'helm', home)]);
    const env = { ...process.env, KUBECONFIG: cluster.kubeconfig, ...(Object.fromEntries(homes) as object) };
    return run([helmBinary, ...args], { env });
  }

  async function apply(text: string): Promise<void> {
    await cluster.kubectl(['apply', '--server-side', '-f', '-'], text);
  }

  /** Of the objects that this text has, those that the cluster has. */
  async function left(text: string): Promise<readonly string[]> {
    const found = await cluster.kubectl(['get', '--ignore-not-found', '-o', 'name', '-f', '-'], text);
    return found.split('\n').filter((name) => name !== '');
  }

  /** Does what a user does who follows `kubectl podsplit uninstall`, until it says that nothing is left. */
  async function followUninstall(): Promise<readonly Ran[]> {
    const steps: Ran[] = [];
    while (steps.at(-1)?.exitCode !== 0) {
      const step = await podsplit('uninstall');
      expect(step.exitCode, step.stderr).to.be.oneOf([0, 1]);
      expect(steps.length, 'steps').to.be.below(20);
      steps.push(step);
      const commands = step.stderr.split('\n').filter((line) => line.startsWith('  kubectl '));
      if (step.stdout !== '') await cluster.kubectl(['delete', '--ignore-not-found', '-f', '-'], step.stdout);
      for (const command of commands) {
        const [, ...words] = command.trim().match(/'[^']*'|\S+/g) ?? [];
        await cluster.kubectl(words.map((word) => word.replaceAll("'", '')));
      }
      // kwok ends Pods by itself, the agents of a DaemonSet too, a moment later.
      if (step.stdout === '' && commands.length === 0) await new Promise((resolve) => setTimeout(resolve, 500));
    }
    return steps;
  }

  it('the API server takes every option of the CLI', async () => {
    const values = join(cluster.folder, 'values.yaml');
    writeFileSync(values, formatManifest(otherValues));
    const { stdout } = await podsplit('install', '--values', values);
    // The namespaces have to be there for what is in them, also in a dry run.
    for (const name of ['podsplit-system', 'podsplit-node']) await cluster.kubectl(['create', 'namespace', name]);
    const answer = await cluster.kubectl(
      ['apply', '--server-side', '--dry-run=server', '--field-manager=try', '-o', 'name', '-f', '-'],
      stdout,
    );
    expect(answer.trim().split('\n')).to.have.length(Object.keys(objectsOf(stdout)).length);
    for (const name of ['podsplit-system', 'podsplit-node']) await cluster.kubectl(['delete', 'namespace', name]);
  });

  it('install, an upgrade that changes nothing, one that changes what is chosen, and uninstall', async () => {
    const { stdout: installed } = await podsplit('install', '--image', image, '--replicas', '3', '--service-monitor');
    await apply(installed);
    const same = await podsplit('upgrade');
    expect(same.stdout).to.equal(installed);
    // Exit code 1 where it would change something, which kubectl() throws.
    expect(await cluster.kubectl(['diff', '--server-side', '-f', '-'], same.stdout)).to.equal('');

    const other = await podsplit('upgrade', '--image', `${image}-next`);
    await apply(other.stdout);
    const live = await cluster.kubectl(['get', 'deployment', 'podsplit', '-n', 'podsplit-system', '-o', 'json']);
    const { spec } = JSON.parse(live) as {
      readonly spec: { readonly replicas: number; readonly template: { readonly spec: object } };
    };
    expect(spec.replicas).to.equal(3);
    expect(JSON.stringify(spec.template.spec)).to.contain(`"image":"${image}-next"`);

    const [first, ...others] = await followUninstall();
    expect(Object.keys(objectsOf(first?.stdout ?? ''))).to.deep.equal([
      'admissionregistration.k8s.io/v1 MutatingWebhookConfiguration /podsplit',
    ]);
    expect(first?.stderr).to.contain('kubectl patch deployment web -n default');
    expect(others.length).to.be.at.least(2);
    await cluster.kubectl([
      'wait',
      '--for=delete',
      'namespace/podsplit-system',
      'namespace/podsplit-node',
      '--timeout=60s',
    ]);
    // Those of kinds that went with their CRDs are asked for by nobody.
    expect(await left((await podsplit('uninstall', '--all')).stdout)).to.deep.equal([]);
    expect((await podsplit('upgrade')).stderr).to.contain('There is no podsplit to upgrade');
  });

  it('helm install, upgrade and uninstall, and the CLI knows whose it is', async () => {
    const chart = join(root, 'deploy/chart');
    const place = ['--namespace', 'podsplit-install'];
    const set = ['--set', 'image.repository=registry.example/podsplit', '--set', 'image.tag=1.2.3'];
    await helm('install', 'podsplit', chart, ...place, '--create-namespace', ...set);
    await helm('upgrade', 'podsplit', chart, ...place, ...set, '--set', 'controller.replicas=3');
    const replicas = ['get', 'deployment', 'podsplit', '-n', 'podsplit-system', '-o', 'jsonpath={.spec.replicas}'];
    expect(await cluster.kubectl(replicas)).to.equal('3');

    const upgrade = await podsplit('upgrade');
    expect(upgrade.exitCode).to.equal(2);
    expect(upgrade.stderr).to.contain('helm upgrade podsplit CHART -n podsplit-install');

    const steps: Ran[] = [];
    do steps.push(await podsplit('uninstall'));
    while ((await removeAgents(steps.at(-1))) && steps.length < 20);
    expect(steps.at(-1)?.stderr).to.contain('helm uninstall podsplit -n podsplit-install');
    await helm('uninstall', 'podsplit', ...place);
    const all = (await podsplit('uninstall', '--all')).stdout;
    await cluster.kubectl([
      'wait',
      '--for=delete',
      'namespace/podsplit-system',
      'namespace/podsplit-node',
      '--timeout=60s',
    ]);
    // Helm leaves the CRDs and nothing else, and the last step has printed them.
    const crds = await left(all);
    expect(crds.every((name) => name.startsWith('customresourcedefinition.apiextensions.k8s.io/'))).to.equal(true);
    await cluster.kubectl(['delete', '-f', '-'], steps.at(-1)?.stdout ?? '');
    expect(await left(all)).to.deep.equal([]);
  });

  /** @returns whether there is more to do */
  async function removeAgents(step: Ran | undefined): Promise<boolean> {
    if (step === undefined || step.exitCode === 0) return false;
    if (step.stdout !== '') await cluster.kubectl(['delete', '--ignore-not-found', '-f', '-'], step.stdout);
    else await new Promise((resolve) => setTimeout(resolve, 500));
    return true;
  }
});
