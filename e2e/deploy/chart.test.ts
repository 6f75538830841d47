import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatManifest } from '../../controller/cli/manifest-yaml.ts';
import { manifestStream, renderManifests } from '../../controller/manifests/render.ts';
import { settings } from '../../controller/manifests/settings.ts';
import { otherValues } from '../../controller/manifests/testdata/other-values.ts';
import { defaultValues, mergeValues, valueOf, type Values } from '../../controller/manifests/values.ts';
import { writeChart } from '../../hack/chart.ts';
import { buildCommands } from '../../hack/cluster/build.ts';
import { helm as module } from '../../hack/cluster/modules.ts';
import { documents, manifests, packageVersion } from '../../hack/manifests.ts';
import { objectsOf } from './objects.ts';

const chart = join(import.meta.dirname, '../../deploy/chart');

describe('Helm chart', () => {
  const folder = mkdtempSync(join(tmpdir(), 'podsplit-chart-'));
  let binary = '';

  before(async function () {
    this.timeout(1_200_000);
    binary = join(await buildCommands(module), 'helm');
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  function helm(...args: readonly string[]): string {
    const homes = ['CACHE', 'CONFIG', 'DATA'].map((home) => [`HELM_${home}_HOME`, join(folder, home)]);
    const env = { PATH: process.env['PATH'], ...(Object.fromEntries(homes) as Record<string, string>) };
    return execFileSync(binary, args, { env, encoding: 'utf8', stdio: 'pipe' });
  }

  function template(values: Values = {}, place = chart, namespace = 'default') {
    const file = join(folder, 'values.yaml');
    writeFileSync(file, formatManifest(values));
    return objectsOf(helm('template', 'podsplit', place, '--namespace', namespace, '--values', file));
  }

  /** What the CLI makes of the same values. */
  function printed(values: Values) {
    const rendering = { values: mergeValues(defaultValues(documents), values), version: packageVersion };
    return objectsOf(manifestStream(renderManifests(documents, rendering)));
  }

  it('is sound to helm lint, with every value set', () => {
    const file = join(folder, 'other.yaml');
    writeFileSync(file, formatManifest(otherValues));
    expect(helm('lint', '--strict', chart)).to.contain('0 chart(s) failed');
    expect(helm('lint', '--strict', chart, '--values', file)).to.contain('0 chart(s) failed');
  });

  it('has the objects of podsplit.yaml', () => {
    expect(template()).to.deep.equal(objectsOf(manifests()));
  });

  it('has them with another image too, and in the chart that is made with it', () => {
    const image = 'registry.example:5000/podsplit:1.2.3';
    const expected = objectsOf(manifests({ image }));
    expect(template({ image: { repository: 'registry.example:5000/podsplit', tag: '1.2.3' } })).to.deep.equal(expected);
    const made = join(folder, 'made');
    writeChart(made, image);
    expect(template({}, made)).to.deep.equal(expected);
  });

  it('has the objects that the CLI prints for the same values, all of them set', () => {
    expect(template(otherValues)).to.deep.equal(printed(otherValues));
  });

  for (const { key } of settings) {
    it(`makes of ${key} what the CLI does`, () => {
      const chosen = nest(key, valueOf(otherValues, key));
      const enabled = {
        networkPolicy: { enabled: true },
        serviceMonitor: { enabled: true },
        dashboard: { enabled: true },
      };
      const values = mergeValues(enabled, chosen);
      expect(template(values)).to.deep.equal(printed(values));
    });
  }

  it('lets null take a default away, as the CLI does', () => {
    const values = {
      agent: { nodeSelector: { 'kubernetes.io/os': null }, resources: { limits: null } },
      networkPolicy: { enabled: true, metricsFrom: null },
    };
    expect(template(values)).to.deep.equal(printed(values));
  });

  it('leaves the namespace to Helm that is to be made by it', () => {
    const { 'v1 Namespace /podsplit-system': made, ...others } = objectsOf(manifests());
    expect(made).to.be.an('object');
    expect(template({}, chart, 'podsplit-system')).to.deep.equal(others);
  });

  for (const values of [
    { replicas: 3 },
    { controller: { replicas: 0 } },
    { controller: { logLevel: 'loud' } },
    { agent: { resources: { limit: {} } } },
    { imagePullSecrets: ['registry'] },
  ]) {
    it(`refuses ${JSON.stringify(values)}`, () => {
      expect(() => template(values)).to.throw("values don't meet the specifications of the schema");
    });
  }

  it('refuses clusters that are too old', () => {
    expect(() => helm('template', 'podsplit', chart, '--kube-version', '1.30.9')).to.throw('kubeVersion');
    expect(helm('template', 'podsplit', chart, '--kube-version', 'v1.31.4-gke.100')).to.contain('kind: Deployment');
  });
});

function nest(key: string, value: unknown): Values {
  return key
    .split('.')
    .reverse()
    .reduce<unknown>((inner, name) => ({ [name]: inner }), value) as Values;
}
