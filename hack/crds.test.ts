import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { parse, parseAllDocuments } from 'yaml';
import { ownAnnotations, ownLabels, schedulingGate, userAnnotations, volumeDriver } from '../controller/api/names.ts';
import { manifests } from './manifests.ts';

interface Schema {
  readonly type?: string;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: Schema;
}

interface Column {
  readonly name: string;
  readonly jsonPath: string;
  readonly priority?: number;
}

interface Crd {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly names: { readonly kind: string };
    readonly versions: readonly {
      readonly schema: { readonly openAPIV3Schema: Schema };
      readonly additionalPrinterColumns: readonly Column[];
    }[];
  };
}

const root = join(import.meta.dirname, '..');
const crds = readdirSync(join(root, 'crds'))
  .filter((file) => file !== 'kustomization.yaml')
  .map((file) => parse(readFileSync(join(root, 'crds', file), 'utf8')) as Crd);
/** `ILabelSelector` is kubernetes-models'. */
const selectorFields = 'matchLabels?: matchExpressions?: key: operator: values?:';
const types = ['resources.ts', 'resource-defaults.ts', 'container-network-policy.ts']
  .map((file) => readFileSync(join(root, 'controller', 'api', file), 'utf8'))
  .concat(selectorFields)
  .join('\n');

/** Names of all fields that a schema allows, at any depth. */
function fieldsOf(schema: Schema | undefined): readonly string[] {
  if (schema === undefined) return [];
  const own = Object.entries(schema.properties ?? {}).flatMap(([name, inner]) => [name, ...fieldsOf(inner)]);
  return [...own, ...fieldsOf(schema.items), ...fieldsOf(schema.additionalProperties)];
}

describe('custom resource definitions', () => {
  for (const crd of crds) {
    const { kind } = crd.spec.names;
    const schema = crd.spec.versions[0]?.schema.openAPIV3Schema;

    it(`${kind} has a description, and a field of its type for every field of its schema`, () => {
      expect(schema?.description, kind).to.be.a('string');
      for (const field of fieldsOf(schema)) expect(types, `${kind}: ${field}`).to.match(new RegExp(`\\b${field}\\??:`));
    });
  }
});

describe('columns of a ContainerNetworkPolicy', () => {
  const policies = crds.find(({ spec }) => spec.names.kind === 'ContainerNetworkPolicy');
  const columns = policies?.spec.versions[0]?.additionalPrinterColumns ?? [];

  it('hide no reason: the short table has that of whatever is False, the wide one has both messages', () => {
    const narrow = columns.filter(({ priority }) => priority === undefined);
    expect(narrow.find(({ name }) => name === 'Reason')?.jsonPath).to.equal(
      '.status.conditions[?(@.status=="False")].reason',
    );
    const wide = columns.filter(({ priority }) => priority === 1).map(({ jsonPath }) => jsonPath);
    for (const type of ['Accepted', 'Enforced']) {
      expect(wide).to.include(`.status.conditions[?(@.type=="${type}")].message`);
    }
  });
});

describe('manifests', () => {
  const text = manifests({ image: 'example.test/podsplit:1', pullPolicy: 'Always' });

  it('carries the image in the four places and no other', () => {
    expect(text.match(/example\.test\/podsplit:1/g)).to.have.length(4);
    expect(text).not.to.contain('podsplit.local');
  });

  it('is YAML, each object named once', () => {
    const objects = parseAllDocuments(text).map(
      (document) => document.toJS() as { kind: string; metadata: { name: string; namespace?: string } },
    );
    const names = objects.map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`);
    expect(new Set(names).size).to.equal(names.length);
    expect(names).to.include('MutatingWebhookConfiguration /podsplit');
  });

  it('guards the names that the code uses', () => {
    expect(text).to.contain(`!= '${volumeDriver}'`).and.to.contain(`name: ${volumeDriver}\n`);
    for (const key of Object.values(userAnnotations)) expect(text, key).to.contain(`'${key}'`);
    for (const key of [ownAnnotations.removed, ownLabels.role, ownLabels.container, schedulingGate]) {
      expect(text, key).to.contain(`'${key}'`);
    }
  });
});
