// Another version of podsplit, for tests of upgrades: the same sources, built with another version's name into another image, and
// objects with fields that this version does not know.

import { join } from 'node:path';
import { ownLabels } from '../../controller/api/names.ts';
import { loadImages } from '../../hack/cluster/load.ts';
import { state } from '../../hack/cluster/paths.ts';
import { readRunning } from '../../hack/cluster/status.ts';
import { runNode } from '../../hack/demo/command.ts';
import { buildImage } from '../../hack/images/build.ts';
import { podsplitImage } from '../../hack/images/recipes.ts';
import { listAll } from './api.ts';
import { kubectl, listKinds, type TestNamespace } from './namespace.ts';
import { onNode } from './node.ts';
import type { KubeObject, Meta, Pod } from './objects.ts';
import { patience } from './eventually.ts';

export const nextVersion = '99.0.0-next';
const programs = [
  [['-n', 'podsplit-system'], 'deployment/podsplit'],
  [['-n', 'podsplit-node'], 'daemonset/podsplit-agent'],
] as const;

/** Onto the nodes of the embedded cluster. Returns how the image is named. */
export async function loadNextVersion(): Promise<string> {
  const recipe = podsplitImage('podsplit-next', { version: nextVersion, folder: join(state, 'next') });
  const { tar, reference } = await buildImage(recipe);
  await loadImages([tar], (await readRunning())?.nodes ?? []);
  return reference;
}

/** As users install and upgrade. Without an image: what ships, with its own CRDs. */
export async function install(image?: string): Promise<void> {
  const { status, output } = await runNode(['hack/install.ts', ...(image === undefined ? [] : ['--image', image])]);
  if (status !== 0) throw new Error(output.trim());
}

/** As users roll back: the CRDs stay what they are. */
export async function rollBack(): Promise<void> {
  const all = (...command: readonly string[]) =>
    Promise.all(programs.map(([where, workload]) => kubectl([...where, 'rollout', ...command, workload])));
  await all('undo');
  await all('status', patience);
}

/** Of controllers and agents, as each says when it starts. */
export async function versionsRunning(): Promise<readonly string[]> {
  const said = await Promise.all(
    programs.map(([where]) =>
      kubectl([...where, 'logs', '--tail=-1', '-l', 'app.kubernetes.io/component in (controller, agent)']),
    ),
  );
  const starts = said.flatMap((text) => text.split('\n')).filter((line) => line.includes('"msg":"starting"'));
  return [...new Set(starts.map((line) => (JSON.parse(line) as { readonly version: string }).version))];
}

const sharedKinds = 'networkpolicies,poddisruptionbudgets,network-attachment-definitions';
const generated = ['-l', `${ownLabels.managedBy}=podsplit`];

/** What a later version may have added. */
const added = { type: 'string' };
const unknown = 'of another version';

export async function applyNextCrds(): Promise<void> {
  const schema = '/spec/versions/0/schema/openAPIV3Schema/properties';
  const fields = {
    podsplits: ['spec/properties', 'status/properties'],
    addressblocks: ['spec/properties', 'spec/properties/claims/items/properties'],
  };
  for (const [plural, paths] of Object.entries(fields)) {
    const patch = paths.map((path) => ({ op: 'add', path: `${schema}/${path}/next`, value: added }));
    await kubectl(['patch', 'crd', `${plural}.podsplit.io`, '--type=json', '-p', JSON.stringify(patch)]);
  }
}

/**
 * Writes into all that is generated for the Pods of a namespace, and onto the pieces of one Pod, what only a later version
 * understands.
 *
 * @param pieces of a Pod which that version wired
 */
export async function writeNextFields(namespace: TestNamespace, pieces: readonly Pod[]): Promise<void> {
  const names = (objects: readonly KubeObject[]) => objects.map(({ metadata }) => metadata.name);
  const podSplits = names(await namespace.list<KubeObject>('podSplits'));
  const merge = (part: 'spec' | 'status', ...more: readonly string[]) => {
    const body = JSON.stringify({ [part]: { next: unknown } });
    return namespace.kubectl(['patch', 'podsplits', ...podSplits, '--type=merge', '-p', body, ...more]);
  };
  const blocks = (await blocksOf(namespace)).map(({ metadata, spec }) => {
    const patch = [
      { op: 'add', path: '/spec/next', value: unknown },
      ...spec.claims.map((_, index) => ({ op: 'add', path: `/spec/claims/${index}/next`, value: unknown })),
    ];
    return kubectl(['patch', 'addressblock', metadata.name, '--type=json', '-p', JSON.stringify(patch)]);
  });
  const annotation = `podsplit.io/next=${unknown}`;
  await Promise.all([
    ...blocks,
    merge('spec').then(() => merge('status', '--subresource=status')),
    namespace.kubectl(['annotate', sharedKinds, ...generated, annotation]),
    namespace.kubectl(['annotate', 'pod', ...names(pieces), annotation]),
  ]);
}

export interface Versioned extends KubeObject {
  readonly metadata: Meta & { readonly resourceVersion: string };
}

export interface NextBlock extends Versioned {
  readonly spec: {
    readonly workload: { readonly namespace: string; readonly nad: string };
    readonly next?: string;
    readonly claims: readonly { readonly next?: string }[];
  };
}

export async function blocksOf(namespace: TestNamespace): Promise<readonly NextBlock[]> {
  const blocks = await listAll<NextBlock>('addressBlocks');
  return blocks.filter(({ spec }) => spec.workload.namespace === namespace.name);
}

/** What the Pods of a workload share, whoever made it. */
export function sharedIn(namespace: TestNamespace): Promise<readonly Versioned[]> {
  return listKinds<Versioned>(sharedKinds, '-n', namespace.name, ...generated);
}

/** Likewise into what the agents keep on their nodes. */
export async function writeNextFiles(): Promise<void> {
  const script = `cd /run/podsplit && for file in sandboxes/*.json isolated/*.json; do
    test ! -e "$file" || sed -i '1s/^{/{"next":true,/' "$file"
  done`;
  for (const { metadata } of await listAll<KubeObject>('nodes')) await onNode(metadata.name, ['sh', '-c', script]);
}
