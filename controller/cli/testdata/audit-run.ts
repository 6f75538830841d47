import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { AuditReport } from '../../audit/report.ts';
import type { KubeClient, ListOptions } from '../../kube/client.ts';
import { ApiError, type ApiErrorCode } from '../../kube/errors.ts';
import type { KubeObject, Resource } from '../../kube/resources.ts';
import { run } from '../run.ts';

export const testdata = join(import.meta.dirname, 'audit');
export const repository = join(import.meta.dirname, '../../..');

export interface Given {
  readonly stdin?: string;
  readonly colours?: boolean;
  readonly objects?: readonly KubeObject[];
  readonly refused?: Readonly<Record<string, ApiErrorCode>>;
}

export async function podsplitAudit(args: readonly string[], given: Given = {}) {
  let stdout = '';
  let stderr = '';
  const unwanted = (): never => {
    throw new Error('the audit does nothing else');
  };
  const exitCode = await run(['audit', ...args], {
    readFile: (path) => readFile(resolve(testdata, path)),
    readStdin: () => Promise.resolve(Buffer.from(given.stdin ?? '')),
    stdinIsTerminal: given.stdin === undefined,
    stdout: (text) => (stdout += text),
    stderr: (text) => (stderr += text),
    colours: given.colours ?? false,
    terminal: false,
    now: () => Date.parse('2026-01-02T03:04:05Z'),
    pause: unwanted,
    connect: () =>
      given.objects === undefined
        ? Promise.reject(new Error('files need no cluster'))
        : Promise.resolve({ client: clientOf(given.objects, given.refused ?? {}), namespace: 'shop' }),
    kubectl: unwanted,
    readKubectl: unwanted,
  });
  return { exitCode, stdout, stderr };
}

function clientOf(objects: readonly KubeObject[], refused: Readonly<Record<string, ApiErrorCode>>): KubeClient {
  const client = {
    server: 'https://cluster.example',
    list: <T extends KubeObject>({ kind, plural }: Resource<T>, { namespace, labelSelector }: ListOptions = {}) => {
      const code = refused[plural];
      if (code !== undefined) {
        return Promise.reject(new ApiError({ code, message: 'no', path: '/', status: 0, maybeHappened: false }));
      }
      const [key = '', value] = labelSelector?.split('=') ?? [];
      const items = objects.filter(
        (object) =>
          object.kind === kind &&
          (namespace === undefined || object.metadata.namespace === namespace) &&
          (labelSelector === undefined || object.metadata.labels?.[key] === value),
      );
      return Promise.resolve({ items, resourceVersion: '1' });
    },
    get: <T extends KubeObject>({ kind, plural }: Resource<T>, { name }: { readonly name: string }) => {
      const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
      const code = refused[plural] ?? (found === undefined ? 'NotFound' : undefined);
      if (code === undefined) return Promise.resolve(found);
      return Promise.reject(new ApiError({ code, message: 'no', path: '/', status: 0, maybeHappened: false }));
    },
    close: () => undefined,
  };
  return client as unknown as KubeClient;
}

export const manifests = readdirSync(testdata).filter((name) => name.endsWith('.yaml'));

export async function reportOf(args: readonly string[], given: Given = {}): Promise<AuditReport> {
  return JSON.parse((await podsplitAudit([...args, '-o', 'json'], given)).stdout) as AuditReport;
}

export const everything = manifests.flatMap((name) => ['-f', name]);
