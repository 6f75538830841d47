import { expect } from 'chai';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { manifestStream, renderManifests } from '../../controller/manifests/render.ts';
import { defaultValues, imageValues, mergeValues, type Values } from '../../controller/manifests/values.ts';
import { buildCommands } from '../../hack/cluster/build.ts';
import { goModules } from '../../hack/cluster/modules.ts';
import { documents } from '../../hack/manifests.ts';
import { objectsOf } from './objects.ts';

const root = join(import.meta.dirname, '../..');

describe('kustomize', () => {
  /** A copy: kustomize takes relative paths only. */
  const folder = mkdtempSync(join(tmpdir(), 'podsplit-kustomize-'));
  let kubectl = '';

  before(async function () {
    this.timeout(1_200_000);
    kubectl = join(await buildCommands(goModules.kubernetes), 'kubectl');
    for (const source of ['crds', 'templates']) cpSync(join(root, source), join(folder, source), { recursive: true });
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });

  function build(place: string) {
    return objectsOf(execFileSync(kubectl, ['kustomize', join(folder, place)], { encoding: 'utf8', stdio: 'pipe' }));
  }

  function overlay(text: string) {
    mkdirSync(join(folder, 'overlay'), { recursive: true });
    writeFileSync(join(folder, 'overlay/kustomization.yaml'), text);
    return build('overlay');
  }

  function printed(values: Values) {
    const rendering = { values: mergeValues(defaultValues(documents), values), version: 'dev' };
    return objectsOf(manifestStream(renderManifests(documents, rendering)));
  }

  it('has the objects of podsplit.yaml at templates/', () => {
    expect(build('templates')).to.deep.equal(printed({}));
  });

  for (const [component, value] of [
    ['service-monitor', 'serviceMonitor'],
    ['network-policy', 'networkPolicy'],
    ['dashboard', 'dashboard'],
  ] as const) {
    it(`has those of the option ${value} in the component ${component}`, () => {
      const built = overlay(`resources: [../templates]\ncomponents: [../templates/optional/${component}]\n`);
      expect(built).to.deep.equal(printed({ [value]: { enabled: true } }));
    });
  }

  it('opens the metrics to the namespace monitoring in the component network-policy-metrics', () => {
    const components = ['network-policy', 'network-policy-metrics'].map((name) => `../templates/optional/${name}`);
    const built = overlay(`resources: [../templates]\ncomponents: [${components.join(', ')}]\n`);
    const metricsFrom = [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } }];
    expect(built).to.deep.equal(printed({ networkPolicy: { enabled: true, metricsFrom } }));
  });

  it('takes an image, as docs/operations.md says', () => {
    const page = readFileSync(join(root, 'docs/operations.md'), 'utf8');
    const [, example = ''] = /```yaml\n(# kustomization\.yaml\n.*?)```/s.exec(page) ?? [];
    const image = 'registry.example/podsplit:0.1.0';
    const built = overlay(example.replaceAll('../podsplit/', '../'));
    expect(built).to.deep.equal(printed({ ...imageValues(image), serviceMonitor: { enabled: true } }));
  });

  it('lists every file of crds/ and templates/, in their order', () => {
    for (const place of ['crds', 'templates']) {
      const { resources } = parse(readFileSync(join(root, place, 'kustomization.yaml'), 'utf8')) as {
        readonly resources: readonly string[];
      };
      const files = readdirSync(join(root, place)).filter((name) => statSync(join(root, place, name)).isFile());
      const listed = resources.filter((name) => name !== '../crds');
      expect(listed).to.deep.equal(files.filter((name) => name !== 'kustomization.yaml').toSorted());
    }
  });
});
