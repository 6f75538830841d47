/**
 * Writes the Helm chart, deploy/chart, from crds/, templates/ and the table of settings (controller/manifests), so that it
 * is podsplit.yaml with its values to choose. By hand are its helpers, its notes and .helmignore. With --check it writes
 * nothing and fails where a file is not what the source says now.
 *
 *   node hack/chart.ts [--check] [--out FOLDER --image IMAGE]
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { Document, isMap, isScalar } from 'yaml';
import type { SourceDocument } from '../controller/manifests/documents.ts';
import { conditions, imagePlaces, type Place, settings, versionPlaces } from '../controller/manifests/settings.ts';
import { type Edit, splice, valueAt } from '../controller/manifests/splice.ts';
import { defaultValues, imageValues, mergeValues, valuesSchema } from '../controller/manifests/values.ts';
import { documents, packageVersion } from './manifests.ts';

const chart = join(import.meta.dirname, '../deploy/chart');
const byHand = ['.helmignore', 'templates/_helpers.tpl', 'templates/NOTES.txt'];

/** What is made, by its path in the chart. */
export function chartFiles(image?: string): ReadonlyMap<string, string> {
  const sources = [...new Set(documents.map(({ file }) => file))];
  const templates = sources.map((source): [string, string] => [
    `templates/${source.replace(/^templates\//, '').replace(/^(optional\/)[^/]+\//, '$1')}`,
    `{{- /* Made by hack/chart.ts from ${source}. Do not edit. */ -}}\n${templateOf(source)}`,
  ]);
  return new Map([
    ['Chart.yaml', chartYaml()],
    ['values.yaml', valuesYaml(image)],
    ['values.schema.json', `${JSON.stringify(valuesSchema(), undefined, 2)}\n`],
    ...templates,
  ]);
}

function chartYaml(): string {
  return `# Made by hack/chart.ts. Do not edit.
apiVersion: v2
name: podsplit
description: Zero trust inside the Kubernetes Pod, one Pod, network namespace and policy per container
type: application
version: ${packageVersion}
appVersion: ${packageVersion}
# ValidatingAdmissionPolicy, matchConditions, CEL of IP ranges. The suffix lets in what providers call their builds.
kubeVersion: '>=1.31.0-0'
keywords: [security, zero-trust, sidecar, network-policy, multus]
annotations:
  artifacthub.io/license: Apache-2.0
`;
}

function valuesYaml(image: string | undefined): string {
  const values = mergeValues(defaultValues(documents), image === undefined ? {} : imageValues(image));
  const document = new Document(values, { compat: 'yaml-1.1' });
  for (const { key, about } of settings) {
    const names = key.split('.');
    const parent = names.length === 1 ? document.contents : document.getIn(names.slice(0, -1), true);
    const pair = isMap(parent)
      ? parent.items.find(({ key: name }) => isScalar(name) && name.value === names.at(-1))
      : undefined;
    if (isScalar(pair?.key)) pair.key.commentBefore = ` ${about}`;
  }
  document.commentBefore = ' Made by hack/chart.ts from controller/manifests/settings.ts. Do not edit.';
  return document.toString({ lineWidth: 0 });
}

/** Stand for braces of Helm until those of the source are escaped. */
const [open, close] = ['\u0001', '\u0002'];

function templateOf(source: string): string {
  return documents
    .filter(({ file }) => file === source)
    .map((document) => {
      const text = splice(document.text, document.contents, editsOf(document)).replaceAll(
        '{{',
        `${open} "{{" ${close}`,
      );
      const condition = conditionOf(document.object);
      return condition === undefined ? text : `${open}- if ${condition} ${close}\n${text}${open}- end ${close}\n`;
    })
    .join('---\n')
    .replaceAll(open, '{{')
    .replaceAll(close, '}}');
}

function conditionOf(object: string): string | undefined {
  // Who lets Helm make it by --create-namespace has it already.
  if (object === 'Namespace/podsplit-system') return 'ne .Release.Namespace "podsplit-system"';
  const values = (conditions[object] ?? []).map((key) => `.Values.${key}`);
  return values.length > 1 ? `and ${values.join(' ')}` : values[0];
}

function editsOf({ object, contents }: SourceDocument): readonly Edit[] {
  const there = (places: readonly Place[], expression: string): readonly Edit[] =>
    places
      .filter((place) => place.object === object)
      .map(({ path }) => editOf(valueAt(contents, path), path, expression));
  return [
    ...settings.flatMap(({ key, places }) => there(places, `.Values.${key}`)),
    ...there(imagePlaces, 'include "podsplit.image" .'),
    ...there(versionPlaces, '.Chart.AppVersion'),
  ];
}

function editOf(there: unknown, path: Place['path'], expression: string): Edit {
  const value = expression.includes(' ') ? `(${expression})` : expression;
  return {
    path,
    text: (indent) =>
      typeof there === 'object'
        ? `${open}- toYaml ${value} | nindent ${indent + 2} ${close}`
        : ` ${open} toJson ${value} ${close}`,
  };
}

/** What differs, is missing, or is there and nothing makes it. */
export function outdatedChartFiles(): readonly string[] {
  const files = chartFiles();
  const there = readdirSync(chart, { recursive: true, encoding: 'utf8' }).filter((path) =>
    statSync(join(chart, path)).isFile(),
  );
  const left = there.filter((path) => !files.has(path) && !byHand.includes(path));
  const changed = [...files].filter(([path, text]) => read(path) !== text).map(([path]) => path);
  return [...left, ...changed].toSorted();
}

function read(path: string): string | undefined {
  const file = join(chart, path);
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

export function writeChart(out = chart, image?: string): void {
  if (out !== chart) {
    rmSync(out, { recursive: true, force: true });
    for (const path of byHand) cpSync(join(chart, path), join(out, path));
  }
  for (const [path, text] of chartFiles(image)) {
    mkdirSync(dirname(join(out, path)), { recursive: true });
    writeFileSync(join(out, path), text);
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { check: { type: 'boolean', default: false }, out: { type: 'string' }, image: { type: 'string' } },
  });
  if (values.check) {
    const outdated = outdatedChartFiles();
    for (const path of outdated) console.error(`deploy/chart/${path} is not what the source says: make manifests`);
    process.exitCode = outdated.length === 0 ? 0 : 1;
  } else {
    if (values.out === undefined) for (const path of outdatedChartFiles()) rmSync(join(chart, path), { force: true });
    writeChart(values.out, values.image);
  }
}
