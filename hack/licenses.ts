// The licences of what is distributed with podsplit and is not its own: they ask that their texts go along.

import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { isRecord } from '../controller/api/json.ts';

export interface ThirdParty {
  /** `name@version`. */
  readonly name: string;
  /** As its package names it, by an SPDX identifier; empty where it leaves that to the text. */
  readonly license: string;
  readonly text: string;
}

const licenseFile = /^(licen[cs]e|copying|notice)/i;

/**
 * The packages that files come from, each once.
 *
 * @param inputs paths below `root`, as esbuild's metafile has them
 * @throws where a package brings no text and no name of its licence
 */
export async function packagesOf(inputs: readonly string[], root: string): Promise<readonly ThirdParty[]> {
  const folders = new Set(inputs.flatMap((input) => packageFolder(input) ?? []));
  const found = await Promise.all([...folders].map((folder) => readPackage(join(root, folder))));
  return sorted(found);
}

/** The innermost package: `node_modules/a/node_modules/@b/c/d.js` is of `node_modules/a/node_modules/@b/c`. */
function packageFolder(path: string): string | undefined {
  return /^(.*\bnode_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
}

/** Node itself, which the image ships: the package with its binary is one for each architecture. */
export async function nodeLicense(root: string): Promise<ThirdParty> {
  const { resolve } = createRequire(join(root, 'node_modules', 'node', 'package.json'));
  return readPackage(join(resolve(`node-linux-${process.arch}/package.json`), '..'));
}

async function readPackage(folder: string): Promise<ThirdParty> {
  const manifest: unknown = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
  const { name, version, license } = isRecord(manifest) ? manifest : {};
  const text = await licenseIn(folder);
  if (typeof license !== 'string' && text === '') throw new Error(`${folder} says nothing of its licence`);
  return { name: `${String(name)}@${String(version)}`, license: typeof license === 'string' ? license : '', text };
}

/** All that a folder has of texts, one after the other. */
export async function licenseIn(folder: string): Promise<string> {
  const files = (await readdir(folder)).filter((file) => licenseFile.test(file)).sort();
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
  return texts.map((text) => text.trim()).join('\n\n');
}

/** One file for people to read. */
export function licenseText(parties: readonly ThirdParty[]): string {
  const line = '-'.repeat(80);
  return sorted(parties)
    .map(({ name, license, text }) => {
      const said = text === '' ? 'The package brings no text of its licence.' : text;
      return `${line}\n${name}${license === '' ? '' : ` (${license})`}\n${line}\n\n${said}\n`;
    })
    .join('\n');
}

function sorted(parties: readonly ThirdParty[]): readonly ThirdParty[] {
  const byName = new Map(parties.map((party) => [party.name, party]));
  return [...byName.values()].sort((one, other) => (one.name < other.name ? -1 : 1));
}
