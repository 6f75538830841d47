import { setTimeout as pause } from 'node:timers/promises';
import { ownLabels } from '../../controller/api/names.ts';
import type { KubeClient } from '../../controller/kube/client.ts';
import { isApiError } from '../../controller/kube/errors.ts';
import { resources, type Deployment, type Resource } from '../../controller/kube/resources.ts';
import { until } from '../cluster/run.ts';
import { sideBySide } from './side-by-side.ts';

/** Deployments of one kind of Pod, in namespaces of their own. All that belongs to the crowd carries a label with its name. */
export interface Crowd {
  readonly name: string;
  readonly namespaces: number;
  /** In each namespace. */
  readonly deployments: number;
  readonly replicas: number;
  /** Of each Pod. */
  readonly containers: number;
  readonly split: boolean;
}

const label = 'crowd';

export function podsOf({ namespaces, deployments, replicas }: Crowd): number {
  return namespaces * deployments * replicas;
}

/** Selects its Pods, as users know them: of a split one the primary. */
export function selectorOf({ name, split }: Crowd): string {
  return split ? `${label}=${name},podsplit.io/role=primary` : `${label}=${name}`;
}

function namespacesOf({ name, namespaces }: Crowd): readonly string[] {
  return Array.from({ length: namespaces }, (_, index) => `${name}-${index}`);
}

function deploymentsOf(crowd: Crowd): readonly Deployment[] {
  return namespacesOf(crowd).flatMap((namespace) =>
    Array.from({ length: crowd.deployments }, (_, index) => deployment(crowd, namespace, `crowd-${index}`)),
  );
}

function deployment(crowd: Crowd, namespace: string, name: string): Deployment {
  const labels = { app: name, [label]: crowd.name };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { namespace, name, labels },
    spec: {
      replicas: crowd.replicas,
      progressDeadlineSeconds: 3600,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels, ...(crowd.split ? { annotations: { 'podsplit.io/mode': 'split' } } : {}) },
        spec: {
          containers: Array.from({ length: crowd.containers }, (_, container) => ({
            name: `c${container}`,
            image: `registry.invalid/c${container}:1`,
            ports: [{ containerPort: 8000 + container }],
            resources: { requests: { cpu: '10m', memory: '16Mi' }, limits: { cpu: '10m', memory: '16Mi' } },
          })),
        },
      },
    },
  };
}

/** As many requests at once as a client of its own would have: the API server is what is measured. */
const atOnce = 32;
/** Of all Pods of a namespace. */
const deletionsAtOnce = 4;

/** All at once; returns after how many seconds every Pod was Ready. */
export async function bringUp(client: KubeClient, crowd: Crowd, withinSeconds: number): Promise<number> {
  await sideBySide(atOnce, namespacesOf(crowd), (name) =>
    client.create(resources.namespaces, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels: { [label]: crowd.name } },
    }),
  );
  await until('the default ServiceAccounts', 60, async () => {
    const { body } = await client.raw({ method: 'GET', path: '/api/v1/serviceaccounts' });
    return namespacesOf(crowd).every((name) => body.includes(`"namespace":"${name}"`));
  });
  const started = performance.now();
  await sideBySide(atOnce, deploymentsOf(crowd), (one) => client.create(resources.deployments, one));
  await untilReady(client, crowd, withinSeconds);
  return (performance.now() - started) / 1000;
}

/** A rolling restart of all at once, as `kubectl rollout restart` does it; returns how many seconds it took. */
export async function restart(client: KubeClient, crowd: Crowd, withinSeconds: number): Promise<number> {
  const started = performance.now();
  const annotations = { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() };
  const body = { spec: { template: { metadata: { annotations } } } };
  await sideBySide(atOnce, deploymentsOf(crowd), ({ metadata }) =>
    client.patch(resources.deployments, metadata, { type: 'merge', body }),
  );
  await untilReady(client, crowd, withinSeconds);
  return (performance.now() - started) / 1000;
}

/** A look lists all Deployments, and loads what is measured: the more there are, the less often. */
function betweenLooksMs({ namespaces, deployments }: Crowd): number {
  return Math.max(100, namespaces * deployments);
}

/** Until each Pod that is wanted is Ready, of the newest template, and no other is left. */
export async function untilReady(client: KubeClient, crowd: Crowd, seconds: number): Promise<void> {
  let ready = 0;
  const isSo = async (): Promise<boolean> => {
    const { items } = await client.list(resources.deployments, { labelSelector: `${label}=${crowd.name}` });
    ready = items.reduce((sum, { status }) => sum + (status?.readyReplicas ?? 0), 0);
    return ready === podsOf(crowd) && items.every(isSettled);
  };
  await until(`${podsOf(crowd)} Ready Pods`, seconds, isSo, betweenLooksMs(crowd)).catch((error: unknown) => {
    throw new Error(`${String(error)}; ${ready} were`, { cause: error });
  });
}

function isSettled({ metadata, spec, status }: Deployment): boolean {
  const { observedGeneration, replicas, updatedReplicas, readyReplicas } = status ?? {};
  return (
    observedGeneration === metadata.generation &&
    [replicas, updatedReplicas, readyReplicas].every((count) => count === spec?.replicas)
  );
}

/** Generated for split Pods: of all of it nothing may be left when they have ended. */
const generated: Readonly<Record<string, Resource>> = {
  PodSplits: resources.podSplits,
  AddressBlocks: resources.addressBlocks,
  NetworkAttachmentDefinitions: resources.networkAttachmentDefinitions,
  NetworkPolicies: resources.networkPolicies,
  PodDisruptionBudgets: resources.podDisruptionBudgets,
};

/** Ends the workloads, and returns what is left of what was generated for them once their Pods are gone, by kind. */
export async function endAll(
  client: KubeClient,
  crowd: Crowd,
  withinSeconds: number,
): Promise<readonly (readonly [kind: string, count: number])[]> {
  await sideBySide(atOnce, deploymentsOf(crowd), ({ metadata }) => client.delete(resources.deployments, metadata));
  await until('the end of all Pods', withinSeconds, async () => {
    return (await countOf(client, resources.pods, `${label}=${crowd.name}`)) === 0;
  });
  let left: (readonly [string, number])[] = [];
  const count = async (): Promise<boolean> => {
    left = await Promise.all(
      Object.entries(generated).map(
        async ([kind, resource]) => [kind, await countOf(client, resource, ownLabels.workload)] as const,
      ),
    );
    return left.every(([, found]) => found === 0);
  };
  await until('the end of all that was generated', withinSeconds, count).catch(() => undefined);
  return left.filter(([, found]) => found > 0);
}

async function countOf(client: KubeClient, resource: Resource, labelSelector: string): Promise<number> {
  const { items } = await client.list(resource, { labelSelector });
  return items.length;
}

export async function takeDown(client: KubeClient, crowd: Crowd, withinSeconds: number): Promise<void> {
  await sideBySide(atOnce, namespacesOf(crowd), (name) => client.delete(resources.namespaces, { name }));
  // Their own end would give each Pod its grace period, one namespace after the other.
  await sideBySide(deletionsAtOnce, namespacesOf(crowd), (name) => deletePods(client, name, withinSeconds));
  await until(`the end of ${crowd.name}`, withinSeconds, async () => {
    const { items } = await client.list(resources.namespaces, { labelSelector: `${label}=${crowd.name}` });
    return items.length === 0;
  });
}

/** All of a namespace. A busy API server cuts the request after a minute, and has deleted what it came to. */
async function deletePods(client: KubeClient, namespace: string, withinSeconds: number): Promise<void> {
  await until(`the deletion of the Pods in ${namespace}`, withinSeconds, async () => {
    try {
      await client.raw({
        method: 'DELETE',
        path: `/api/v1/namespaces/${namespace}/pods`,
        query: { gracePeriodSeconds: '0' },
        timeoutMs: 300_000,
      });
      return true;
    } catch (error) {
      if (isApiError(error, 'Unreachable', 'Timeout')) return false;
      throw error;
    }
  });
}

/** Deletes so many Pods a second, the oldest first; their ReplicaSets make others. Returns how many it deleted. */
export async function churn(
  client: KubeClient,
  crowd: Crowd,
  { perSecond, seconds }: { readonly perSecond: number; readonly seconds: number },
): Promise<number> {
  const selection = { labelSelector: selectorOf(crowd) };
  const targets: { readonly namespace: string; readonly name: string }[] = [];
  const started = performance.now();
  const total = perSecond * seconds;
  for (let index = 0; index < total; index++) {
    const due = started + (1000 * index) / perSecond;
    if (due > performance.now()) await pause(due - performance.now());
    if (targets.length === 0) {
      const { items } = await client.list(resources.pods, selection);
      const living = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
      targets.push(...living.map(({ metadata: { namespace = '', name } }) => ({ namespace, name })));
    }
    const target = targets.shift();
    if (target !== undefined) void client.delete(resources.pods, target).catch(() => undefined);
  }
  return total;
}
