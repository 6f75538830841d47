import { documentsOf, type SourceDocument } from '../manifests/documents.ts';
import { manifestStream, type RenderedDocument, renderManifests } from '../manifests/render.ts';
import { manifestSources } from '../manifests/sources.ts';
import { defaultValues, mergeValues, type Values } from '../manifests/values.ts';
import { version } from '../version.ts';
import { chosenValues, type ValueFlags } from './chosen-values.ts';
import type { Io } from './input.ts';
import { imageNote, recordOf } from './install-record.ts';
import { parseManifests } from './manifest-yaml.ts';

export interface InstallCommand extends ValueFlags {
  readonly output: 'yaml' | 'json';
}

/** `kubectl podsplit install`: prints what to apply, and asks nobody. */
export async function runInstall(command: InstallCommand, io: Io): Promise<void> {
  const chosen = await chosenValues(command, io);
  printManifests(documentsOf(manifestSources()), chosen, command.output, io);
  if (io.terminal) io.stderr('Nothing was applied: pipe it into kubectl apply --server-side -f -\n');
}

/** On stderr what speaks against applying it as it is. */
export function printManifests(
  documents: readonly SourceDocument[],
  chosen: Values,
  output: InstallCommand['output'],
  io: Io,
): void {
  const defaults = defaultValues(documents);
  const rendered = [
    ...renderManifests(documents, { values: mergeValues(defaults, chosen), version }),
    recordOf(chosen),
  ];
  io.stdout(output === 'json' ? listOf(rendered) : manifestStream(rendered));
  for (const note of imageNote(defaults, chosen)) io.stderr(`Note: ${note}\n`);
}

/** As `kubectl get -o json` prints several objects. */
export function listOf(documents: readonly RenderedDocument[]): string {
  const parsed = parseManifests(manifestStream(documents));
  // They were read once already.
  if (parsed.kind === 'invalid') throw new Error(parsed.message);
  return `${JSON.stringify({ apiVersion: 'v1', kind: 'List', items: parsed.documents }, undefined, 2)}\n`;
}
