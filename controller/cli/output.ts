import { formatManifest } from './manifest-yaml.ts';
import { nameOf, type Result } from './split-command.ts';

/** A stream of documents; the rules of each piece stand above it as a comment. */
export function printYaml(results: readonly Result[]): string {
  return results
    .flatMap(documentsOf)
    .map((document) => `---\n${document}`)
    .join('');
}

function documentsOf(result: Result): readonly string[] {
  if (result.kind === 'refused') return [];
  if (result.kind === 'isolate') {
    return [`${rulesComment('all containers', result.rules)}${formatManifest(result.manifest.object)}`];
  }
  if (result.kind !== 'split') return [formatManifest(result.manifest.object)];
  const [first = '', ...others] = [...result.claims, ...result.rendered.objects].map(formatManifest);
  return [
    `# ${nameOf(result.manifest)}, one replica of it.\n${first}`,
    ...others,
    ...result.rendered.pieces.map(
      (piece) => `${rulesComment(`the piece that runs ${piece.container}`, piece.rules)}${formatManifest(piece.pod)}`,
    ),
  ];
}

function rulesComment(whose: string, rules: string): string {
  const lines = rules.trimEnd().split('\n');
  return [`# Rules of ${whose}:`, '#', ...lines.map((line) => `#   ${line}`.trimEnd()), ''].join('\n');
}

/** A List that kubectl applies; the rules are beside its items, by the name of the Pod. */
export function printJson(results: readonly Result[]): string {
  const items = results.flatMap((result): readonly object[] => {
    if (result.kind === 'refused') return [];
    if (result.kind !== 'split') return [result.manifest.object];
    return [...result.claims, ...result.rendered.objects, ...result.rendered.pieces.map((piece) => piece.pod)];
  });
  const rules = results.flatMap((result) =>
    result.kind === 'isolate'
      ? [[result.manifest.name, result.rules] as const]
      : result.kind === 'split'
        ? result.rendered.pieces.map((piece) => [piece.pod.metadata?.name ?? '', piece.rules] as const)
        : [],
  );
  return `${JSON.stringify({ apiVersion: 'v1', kind: 'List', items, rules: Object.fromEntries(rules) }, undefined, 2)}\n`;
}
