import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { splitId } from '../../api/identity.ts';
import type { PodSplit } from '../../api/resources.ts';
import type { KubeClient, WatchEvent, WatchOptions } from '../../kube/client.ts';
import type { ApiErrorCode } from '../../kube/errors.ts';
import { resources, type KubeObject, type Pod, type Resource } from '../../kube/resources.ts';
import type { Io } from '../input.ts';
import { parseManifests } from '../manifest-yaml.ts';
import { ran } from './ran.ts';
import { failure, storedClient } from './stored-client.ts';

export const testdata = import.meta.dirname;
export const now = Date.parse('2026-01-02T03:04:05Z');

export type Objects = readonly KubeObject[];

/** The label follows from the UID, and is not on Pods that are not wired. */
export function stored(): Objects {
  const parsed = parseManifests(readFileSync(join(testdata, 'status.yaml'), 'utf8'));
  if (parsed.kind === 'invalid') throw new Error(parsed.message);
  const objects = parsed.documents as KubeObject[];
  const wired = new Map(
    objects
      .filter(isPodSplit)
      .map(({ metadata, spec }) => [metadata.labels?.['podsplit.io/split'], splitId(spec.pod.uid)]),
  );
  return objects.map((object) => {
    const { labels = {} } = object.metadata;
    const split = wired.get(labels['podsplit.io/split'] ?? 'none');
    const own = split === undefined ? labels : { ...labels, 'podsplit.io/split': split };
    return { ...object, metadata: { ...object.metadata, labels: own } };
  });
}

export function isPodSplit(object: KubeObject): object is PodSplit {
  return object.kind === 'PodSplit';
}

export const deployment = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web', namespace: 'shop', uid: 'uid-web' },
  spec: { selector: { matchLabels: { app: 'web' } } },
};
export const unsplit = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'plain', namespace: 'shop', uid: 'uid-plain', labels: { app: 'plain' } },
  spec: { containers: [{ name: 'c' }] },
} satisfies Pod;

export interface Cluster {
  readonly objects?: Objects;
  readonly refused?: Readonly<Record<string, ApiErrorCode>>;
  /** What becomes of the objects, one after the other, each when the one before was seen. The last look fails. */
  readonly later?: readonly Objects[];
}

export class NoMore extends Error {}

export function clientOf({ objects = [...stored(), deployment, unsplit], refused = {}, later = [] }: Cluster): KubeClient {
  const states = [objects, ...later];
  let seen = 0;
  const state = (): Objects => {
    const found = states[seen];
    if (found === undefined) throw new NoMore();
    return found;
  };
  const client = storedClient({ objects: state, refused: (plural) => refused[plural] });
  return {
    ...client,
    list: async (resource, options) => ({ ...(await client.list(resource, options)), resourceVersion: String(seen) }),
    watch: <T extends KubeObject>(resource: Resource<T>, { resourceVersion, signal }: WatchOptions) =>
      (async function* (): AsyncGenerator<WatchEvent<T>> {
        expect(resourceVersion).to.equal(String(seen));
        yield { type: 'BOOKMARK', resourceVersion };
        if (resource === (resources.pods as Resource)) {
          seen += 1;
          yield { type: 'MODIFIED', object: unsplit as unknown as T };
          return;
        }
        await new Promise((resolve) => signal?.addEventListener('abort', resolve));
        throw failure('Aborted');
      })(),
  };
}

export async function status(args: readonly string[], cluster: Cluster = {}, io: Partial<Io> = {}) {
  let stdout = '';
  let stderr = '';
  const connect = () => Promise.resolve({ client: clientOf(cluster), namespace: 'shop' });
  const { exitCode } = await ran(['status', ...args], {
    stdout: (text) => (stdout += text),
    stderr: (text) => (stderr += text),
    now: () => now,
    pause: () => Promise.resolve(),
    connect,
    ...io,
  }).catch((error: unknown) => {
    if (!(error instanceof NoMore)) throw error;
    return { exitCode: 'watching' };
  });
  return { exitCode, stdout, stderr };
}

/** Of the one whose name begins so. */
export function ofPod(name: string): Objects {
  return stored().filter(({ metadata }) => metadata.name.startsWith(name));
}

/** Of a Pod that is ready all the same. */
export const conflict = {
  type: 'EgressVia',
  status: 'False',
  reason: 'EgressViaConflict',
  message: 'web has no way out.',
  lastTransitionTime: '2026-01-02T03:01:05Z',
} as const;
