import { setTimeout as pause } from 'node:timers/promises';
import type { KubeClient } from '../../controller/kube/client.ts';
import { resources, type Deployment } from '../../controller/kube/resources.ts';
import { until } from '../cluster/run.ts';

/** A look lists all Deployments, and loads what is measured. */
const betweenLooksMs = 100;

/** Deployments of one kind of Pod in a namespace of their own. */
export interface Crowd {
  readonly namespace: string;
  readonly deployments: number;
  readonly replicas: number;
  /** Of each Pod. */
  readonly containers: number;
  readonly split: boolean;
}

function deployment({ namespace, replicas, containers, split }: Crowd, index: number): Deployment {
  const labels = { app: `crowd-${index}` };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { namespace, name: `crowd-${index}` },
    spec: {
      replicas,
      progressDeadlineSeconds: 3600,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels, ...(split ? { annotations: { 'podsplit.io/mode': 'split' } } : {}) },
        spec: {
          containers: Array.from({ length: containers }, (_, container) => ({
            name: `c${container}`,
            image: `registry.invalid/c${container}:1`,
            ports: [{ containerPort: 8000 + container }],
            resources: { requests: { cpu: '10m', memory: '16Mi' } },
          })),
        },
      },
    },
  };
}

/** All at once; returns after how many seconds every Pod was Ready. */
export async function bringUp(client: KubeClient, crowd: Crowd, withinSeconds: number): Promise<number> {
  const { namespace, deployments, replicas } = crowd;
  await client.create(resources.namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  await until('the default ServiceAccount', 30, async () => {
    const { body } = await client.raw({ method: 'GET', path: `/api/v1/namespaces/${namespace}/serviceaccounts` });
    return body.includes('"name":"default"');
  });
  const started = performance.now();
  const all = Array.from({ length: deployments }, (_, index) => deployment(crowd, index));
  await Promise.all(all.map((one) => client.create(resources.deployments, one)));
  await untilReady(client, namespace, deployments * replicas, withinSeconds);
  return (performance.now() - started) / 1000;
}

export async function untilReady(client: KubeClient, namespace: string, pods: number, seconds: number): Promise<void> {
  let ready = 0;
  const isSo = async (): Promise<boolean> => {
    const { items } = await client.list(resources.deployments, { namespace });
    ready = items.reduce((sum, { status }) => sum + (status?.readyReplicas ?? 0), 0);
    return ready === pods && items.every(({ status }) => status?.replicas === status?.readyReplicas);
  };
  await until(`${pods} Ready Pods`, seconds, isSo, betweenLooksMs).catch((error: unknown) => {
    throw new Error(`${String(error)}; ${ready} were`, { cause: error });
  });
}

export async function takeDown(client: KubeClient, namespace: string, withinSeconds: number): Promise<void> {
  await client.delete(resources.namespaces, { name: namespace });
  await until(`the end of ${namespace}`, withinSeconds, async () => {
    const { items } = await client.list(resources.namespaces, { fieldSelector: `metadata.name=${namespace}` });
    return items.length === 0;
  });
}

/**
 * Deletes so many Pods a second, the oldest first; their ReplicaSets make others. Returns how many it deleted.
 *
 * @param selector of the Pods that users know: the primaries
 */
export async function churn(
  client: KubeClient,
  namespace: string,
  { perSecond, seconds, selector }: { readonly perSecond: number; readonly seconds: number; readonly selector: string },
): Promise<number> {
  const { items } = await client.list(resources.pods, { namespace, labelSelector: selector });
  const names = items.map(({ metadata }) => metadata.name);
  const started = performance.now();
  const total = perSecond * seconds;
  for (let index = 0; index < total; index++) {
    const due = started + (1000 * index) / perSecond;
    if (due > performance.now()) await pause(due - performance.now());
    if (names.length === 0) {
      const again = await client.list(resources.pods, { namespace, labelSelector: selector });
      names.push(...again.items.filter(({ metadata }) => metadata.deletionTimestamp === undefined).map(nameOf));
    }
    const name = names.shift();
    if (name !== undefined) void client.delete(resources.pods, { namespace, name }).catch(() => undefined);
  }
  return total;
}

function nameOf({ metadata }: { readonly metadata: { readonly name: string } }): string {
  return metadata.name;
}
