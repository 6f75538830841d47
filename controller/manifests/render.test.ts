import { expect } from 'chai';
import { parse, parseDocument } from 'yaml';
import { at } from '../api/json.ts';
import { readControllerConfig } from '../controller-config.ts';
import { documentsOf } from './documents.ts';
import { manifestStream, renderManifests } from './render.ts';
import { conditions, imagePlaces, settings } from './settings.ts';
import { manifestSources } from './sources.ts';
import { valueAt } from './splice.ts';
import { otherValues } from './testdata/other-values.ts';
import { defaultValues, imageOf, imageValues, mergeValues, valueOf, valueProblems, type Values } from './values.ts';

const documents = documentsOf(manifestSources());
const defaults = defaultValues(documents);
const enabling = [...new Set(Object.values(conditions).flat())];
/** With every option that adds objects. */
const full = enabling.reduce<Values>(
  (values, key) => mergeValues(values, one(key, Array.isArray(valueOf(values, key)) ? [{ podSelector: {} }] : true)),
  defaults,
);

function one(key: string, value: unknown): Values {
  return key
    .split('.')
    .reverse()
    .reduce<unknown>((inner, name) => ({ [name]: inner }), value) as Values;
}

function render(values: Values) {
  const rendered = renderManifests(documents, { values, version: 'dev' });
  return new Map(rendered.map(({ object, text }) => [object, text]));
}

describe('manifests', () => {
  it('are the source, word for word, where nothing is chosen', () => {
    const plain = documents.filter(({ object }) =>
      (conditions[object] ?? []).every((key) => valueOf(defaults, key) === true),
    );
    expect(manifestStream(renderManifests(documents, { values: defaults, version: 'dev' }))).to.equal(
      manifestStream(plain),
    );
  });

  it('name no object twice', () => {
    const names = documents.map(({ object }) => object);
    expect(names).to.deep.equal([...new Set(names)]);
    expect(names).to.include.members(Object.keys(conditions));
  });

  const before = render(full);
  for (const { key, places } of settings) {
    it(`have the value ${key} wherever it stands, and change nothing else`, () => {
      const chosen = valueOf(otherValues, key);
      expect(chosen, `testdata/other-values.ts has another ${key}`).not.to.be.oneOf([
        undefined,
        valueOf(defaults, key),
      ]);
      expect(valueProblems(one(key, chosen))).to.deep.equal([]);
      const values = mergeValues(full, one(key, chosen));
      const after = render(values);
      for (const { object, path } of places) {
        const { contents } = parseDocument(after.get(object) ?? '');
        expect(valueAt(contents, path), object).to.deep.equal(valueOf(values, key));
      }
      const changed = [...before.keys()].filter((object) => before.get(object) !== after.get(object));
      const inImage = key.startsWith('image.') && places.length === 0 ? imagePlaces : [];
      const gone = Object.keys(conditions).filter(
        (object) => conditions[object]?.includes(key) === true && chosen === false,
      );
      const meant = [...places, ...inImage].map(({ object }) => object).concat(gone);
      expect(changed).to.have.members([...new Set(meant)]);
    });
  }

  it('let nobody read the metrics where nobody is named: a rule with an empty list would let in everybody', () => {
    for (const metricsFrom of [[], null]) {
      const rendered = render(mergeValues(full, { networkPolicy: { metricsFrom } }));
      const policies = [...rendered.keys()].filter((object) => object.startsWith('NetworkPolicy/'));
      expect(policies).to.deep.equal(['NetworkPolicy/podsplit']);
      const ingress = at(parse(rendered.get('NetworkPolicy/podsplit') ?? ''), ['spec', 'ingress']);
      expect(ingress).to.deep.equal([{ ports: [{ protocol: 'TCP', port: 'webhook' }] }]);
    }
  });

  it('leave the image to nobody', () => {
    const values = mergeValues(defaults, imageValues('registry.example:5000/a/podsplit:1.2'));
    const text = manifestStream(renderManifests(documents, { values, version: '1.2' }));
    expect(text).to.contain('image: registry.example:5000/a/podsplit:1.2\n').and.not.to.contain('podsplit.local');
    expect(text.match(/app.kubernetes.io\/version: .*/g)).to.deep.equal(
      ["app.kubernetes.io/version: '1.2'", "app.kubernetes.io/version: '1.2'"].map((line) => line.replaceAll("'", '"')),
    );
  });

  it('name the defaults that the controller has by itself', () => {
    const deployment: unknown = parse(documents.find(({ object }) => object === 'Deployment/podsplit')?.text ?? '');
    const containers = at(deployment, ['spec', 'template', 'spec', 'containers']) as [
      { env: { name: string; value?: string }[] },
    ];
    const variables = Object.fromEntries(
      containers[0].env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]])),
    );
    expect(readControllerConfig(variables)).to.deep.equal(readControllerConfig({ PODSPLIT_IMAGE: imageOf(defaults) }));
  });
});

describe('values', () => {
  it('are merged as Helm does', () => {
    const merged = mergeValues(defaults, {
      agent: { nodeSelector: { 'kubernetes.io/os': null, pool: 'a' }, tolerations: [] },
    });
    expect(valueOf(merged, 'agent.nodeSelector')).to.deep.equal({ pool: 'a' });
    expect(valueOf(merged, 'agent.tolerations')).to.deep.equal([]);
    expect(valueOf(merged, 'agent.logLevel')).to.equal('info');
  });

  it('are refused with the path, what was read and what is allowed', () => {
    expect(valueProblems(defaults)).to.deep.equal([]);
    expect(
      valueProblems({
        replicas: 3,
        controller: { replicas: 0, logLevel: 'loud', nodeSelector: { a: 1 } },
        agent: { resources: { limit: {} }, cniBinFolder: 'opt' },
        imagePullSecrets: ['registry'],
        image: { digest: 'sha256:1' },
      }),
    ).to.deep.equal([
      'replicas: there is no such value; allowed are image, imagePullSecrets, controller, agent, podDisruptionBudget, networkPolicy, serviceMonitor, dashboard, global.',
      'controller.replicas: is 0; at least 1.',
      'controller.logLevel: is "loud"; allowed are trace, debug, info, warn, error, fatal, silent.',
      'controller.nodeSelector.a: is 1; needed: string.',
      'agent.resources.limit: there is no such value; allowed are requests, limits, claims. Did you mean "limits"?',
      'agent.cniBinFolder: is "opt"; it has to match ^/.',
      'imagePullSecrets[0]: is "registry"; needed: object.',
      'image.digest: is "sha256:1"; it has to match ^(sha256:[0-9a-f]{64})?$.',
    ]);
  });

  it('take an image apart, and put it together again', () => {
    const digest = `sha256:${'0'.repeat(64)}`;
    const references: readonly (readonly [string, string])[] = [
      ['podsplit', 'podsplit:latest'],
      ['registry.example:5000/podsplit', 'registry.example:5000/podsplit:latest'],
      ['registry.example:5000/podsplit:1', 'registry.example:5000/podsplit:1'],
      [`registry.example/podsplit:1@${digest}`, `registry.example/podsplit@${digest}`],
    ];
    for (const [reference, read] of references) {
      expect(imageOf(mergeValues(defaults, imageValues(reference)))).to.equal(read);
    }
  });
});
