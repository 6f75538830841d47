import { CliError } from './cli-error.ts';
import type { Cluster, ClusterOptions } from './flows-command.ts';
import { parseManifests } from './manifest-yaml.ts';
import { isRecord } from '../api/json.ts';

/** How the command reaches the outside: tests hand in their own. */
export interface Io {
  readFile(path: string): Promise<Uint8Array>;
  readStdin(): Promise<Uint8Array>;
  /** True where stdin is a terminal: then nobody pipes anything in. */
  readonly stdinIsTerminal: boolean;
  stdout(text: string): void;
  stderr(text: string): void;
  /** Whether stdout is a terminal that can be cleared. */
  readonly terminal: boolean;
  /** Whether stdout goes to somebody who sees colours. */
  readonly colours: boolean;
  /** Epoch milliseconds. */
  now(): number;
  pause(milliseconds: number): Promise<void>;
  connect(options: ClusterOptions): Promise<Cluster>;
  /** Hands over to kubectl, and gives its exit code. */
  kubectl(args: readonly string[]): Promise<number>;
  /** What kubectl prints. */
  readKubectl(args: readonly string[]): Promise<{ readonly exitCode: number; readonly stdout: string }>;
}

/** Of it, what reads. */
export type Input = Pick<Io, 'readFile' | 'readStdin' | 'stdinIsTerminal'>;

/** One Kubernetes object of the input, raw. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string | undefined;
  readonly object: Readonly<Record<string, unknown>>;
  readonly origin: Origin;
}

/** Where an object of the input stands. */
export interface Origin {
  /** As the user named it; `-` is stdin. */
  readonly file: string;
  readonly text: string;
  /** Index among the documents of the text that are not empty. */
  readonly document: number;
  /** Within the document: into the items of Lists. */
  readonly path: readonly (string | number)[];
}

/** An API server takes 3 MiB an object; this is a generous file of them. */
const maxBytes = 64 * 1024 * 1024;

/** All objects of all files in their order, Lists taken apart. `-` is stdin. */
export async function readManifests(files: readonly string[], io: Input): Promise<readonly Manifest[]> {
  const manifests: Manifest[] = [];
  for (const file of files) {
    const source = file === '-' ? 'stdin' : file;
    const text = await readText(file, io);
    const found = manifestsOf(text, source, file);
    if (found.length === 0) {
      throw new CliError(`${source} has no object in it. Give a manifest in YAML or JSON, as kubectl apply takes it.`);
    }
    manifests.push(...found);
  }
  return manifests;
}

/** One object, for options that take a file. */
export async function readManifest(file: string, io: Io): Promise<Manifest> {
  const [manifest, ...more] = await readManifests([file], io);
  if (manifest === undefined || more.length > 0) {
    throw new CliError(`${file} has ${more.length + 1} objects, and should have one.`);
  }
  return manifest;
}

/** `-` is stdin. */
export async function readText(file: string, io: Input): Promise<string> {
  return decode(await readBytes(file, io), file === '-' ? 'stdin' : file);
}

async function readBytes(file: string, io: Input): Promise<Uint8Array> {
  if (file === '-') {
    if (io.stdinIsTerminal) throw new CliError('Nothing is piped into stdin. Name a file: -f FILE.');
    return io.readStdin();
  }
  try {
    return await io.readFile(file);
  } catch (error) {
    throw new CliError(`Cannot read ${file}: ${reasonOf(error)}. Give the path of a file, or - for stdin.`);
  }
}

const readErrors: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a directory',
  EACCES: 'permission denied',
};

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? String(error.code) : '';
  return readErrors[code] ?? error.message;
}

function decode(bytes: Uint8Array, source: string): string {
  if (bytes.length > maxBytes) {
    throw new CliError(`${source} has ${bytes.length} bytes, more than ${maxBytes}. Split it into smaller files.`);
  }
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    if (!text.includes('\u0000')) return text;
  } catch {
    // Falls through: the same answer as for NUL.
  }
  throw new CliError(`${source} is not text. Give a manifest in YAML or JSON, encoded in UTF-8.`);
}

function manifestsOf(text: string, source: string, file: string): readonly Manifest[] {
  const parsed = parseManifests(text);
  if (parsed.kind === 'invalid') {
    throw new CliError(`${source}:${parsed.line}: ${parsed.message}. Correct the YAML; yamllint finds such places.`);
  }
  return parsed.documents.flatMap((document, index) =>
    objectsIn(document, `${source}, object ${index + 1}`, { file, text, document: index, path: [] }),
  );
}

/** What a document holds: one object, or those of a List. Items of a typed list, as an API server sends it, have no kind. */
function objectsIn(document: unknown, where: string, origin: Origin): readonly Manifest[] {
  if (!isRecord(document)) throw new CliError(`${where}: is not a Kubernetes object, but ${describe(document)}.`);
  const { kind, apiVersion, items } = document;
  if (typeof kind !== 'string' || typeof apiVersion !== 'string' || kind === '' || apiVersion === '') {
    throw new CliError(`${where}: has no ${typeof kind === 'string' && kind !== '' ? 'apiVersion' : 'kind'}.`);
  }
  if (!kind.endsWith('List') || !Array.isArray(items)) return [manifestOf(document, kind, apiVersion, origin)];
  const itemKind = kind.slice(0, -'List'.length);
  const defaults = itemKind === '' ? {} : { kind: itemKind, apiVersion };
  return items.flatMap((item: unknown, index) =>
    objectsIn(isRecord(item) ? { ...defaults, ...item } : item, `${where}, item ${index + 1}`, {
      ...origin,
      path: [...origin.path, 'items', index],
    }),
  );
}

function manifestOf(
  object: Readonly<Record<string, unknown>>,
  kind: string,
  apiVersion: string,
  origin: Origin,
): Manifest {
  const metadata = isRecord(object['metadata']) ? object['metadata'] : {};
  const { name, generateName, namespace } = metadata;
  return {
    apiVersion,
    kind,
    name: typeof name === 'string' ? name : typeof generateName === 'string' ? generateName : '',
    namespace: typeof namespace === 'string' && namespace !== '' ? namespace : undefined,
    object,
    origin,
  };
}

function describe(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'string' ? `the text ${JSON.stringify(value.slice(0, 40))}` : `a ${typeof value}`;
}
