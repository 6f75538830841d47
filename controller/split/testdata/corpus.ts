/* eslint-disable no-restricted-imports -- Tests read these files; the core does not import this one. */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import type { IPod } from 'kubernetes-models/v1/Pod';
import type { ResourceDefaults } from '../../api/resource-defaults.ts';
import { formatManifest, parseManifests } from '../../cli/manifest-yaml.ts';
import { withNamespaceDefaults, type Labels } from '../namespace-defaults.ts';
import type { AdmitOptions } from '../../isolate/admit.ts';

/**
 * The corpus of golden cases: `NAME.yaml` is a Pod as a user or a workload's controller creates it, after its namespace where that
 * has something to say, `NAME.golden.yaml` what
 * becomes of it. Webhook, controller and CLI are all tested on it. `UPDATE_GOLDEN=1` writes the golden files anew.
 */
export interface Case {
  readonly name: string;
  /** As it is created: what its namespace says is not on it yet. */
  readonly created: IPod;
  /** Of its namespace. */
  readonly labels: Labels;
  /** With what its namespace says, as far as that can be read. */
  readonly pod: IPod;
  /** Undefined where nobody has written it yet. */
  readonly golden: unknown;
}

const defaults: ResourceDefaults = {
  requests: { cpu: '10m', memory: '32Mi' },
  limits: { cpu: '500m', memory: '128Mi' },
};

export const corpusOptions: AdmitOptions = {
  image: 'podsplit:test',
  maxContainers: 14,
  // Cases that show the other mode, or another way to it, say so by annotation or by network.
  install: { otherwise: 'init', byNetwork: new Map([['of-node-mode', 'node']]) },
  // Cases that show a guard ask for it.
  guards: ['token'],
  resourceDefaults: new Map([['of-defaults', defaults]]),
  readWriteOncePodClaims: new Set(['one-pod-only']),
};

const folder = new URL('.', import.meta.url);
const goldenSuffix = '.golden.yaml';

export function corpus(): readonly Case[] {
  return names('.yaml').map((name) => {
    const { created, labels } = readPod(name);
    const given = withNamespaceDefaults(created, labels);
    return { name, created, labels, pod: given.kind === 'pod' ? given.pod : created, golden: readGolden(name) };
  });
}

/** Names of golden files that no case produces. */
export function orphanedGoldens(): readonly string[] {
  const cases = new Set(names('.yaml'));
  return names(goldenSuffix).filter((name) => !cases.has(name));
}

export function writeGolden(name: string, value: unknown): void {
  writeFileSync(new URL(`${name}${goldenSuffix}`, folder), formatManifest(value));
}

function names(suffix: string): readonly string[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith(suffix) && (suffix === goldenSuffix || !file.endsWith(goldenSuffix)))
    .map((file) => file.slice(0, -suffix.length))
    .sort();
}

function readPod(name: string): Pick<Case, 'created' | 'labels'> {
  const documents = readAll(new URL(`${name}.yaml`, folder));
  // Some of the cases are no Pods: that is for `split` to find.
  const created = documents.at(-1) as IPod;
  return { created, labels: documents.length > 1 ? ((documents[0] as IPod).metadata?.labels ?? {}) : {} };
}

function readGolden(name: string): unknown {
  const exists = names(goldenSuffix).includes(name);
  return exists ? readAll(new URL(`${name}${goldenSuffix}`, folder))[0] : undefined;
}

function readAll(file: URL): readonly unknown[] {
  const parsed = parseManifests(readFileSync(file, 'utf8'));
  if (parsed.kind === 'invalid') throw new Error(`${file.pathname}:${parsed.line}: ${parsed.message}`);
  return parsed.documents;
}
