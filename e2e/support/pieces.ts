import { networkStatusAnnotation, ownLabels, peerInterface } from '../../controller/api/names.ts';
import { eventually } from './eventually.ts';
import type { TestNamespace } from './namespace.ts';
import { condition, podIPs, type Event, type Pod, type PodSplit } from './objects.ts';

/** A split Pod as it runs: its pieces by container. */
export interface SplitPod {
  readonly primary: Pod;
  readonly pieces: ReadonlyMap<string, Pod>;
}

/** Of the workload whose Pods carry `app=NAME`, those on their way out left out. */
export async function splitPods(namespace: TestNamespace, app: string): Promise<readonly SplitPod[]> {
  const pods = (await namespace.list<Pod>('pods')).filter((pod) => pod.metadata.deletionTimestamp === undefined);
  return pods
    .filter((pod) => pod.metadata.labels?.['app'] === app)
    .map((primary) => {
      const split = primary.metadata.labels?.[ownLabels.split];
      const pieces =
        split === undefined ? [primary] : pods.filter((pod) => pod.metadata.labels?.[ownLabels.split] === split);
      return { primary, pieces: new Map(pieces.flatMap((pod) => sideBySide(pod).map((name) => [name, pod]))) };
    });
}

/** Names of its containers, native sidecars among them. */
function sideBySide({ spec: { containers, initContainers = [] } }: Pod): readonly string[] {
  const sidecars = initContainers.filter(({ restartPolicy }) => restartPolicy === 'Always');
  return [...containers, ...sidecars].map(({ name }) => name);
}

/** Until exactly `count` Pods of the workload are there, each split into `containers`, all Ready, and none is ending. */
export function readySplitPods(
  namespace: TestNamespace,
  app: string,
  count: number,
  containers: readonly string[],
): Promise<readonly SplitPod[]> {
  return eventually(`${count} split Pods of ${app} are ready`, async () => {
    const found = await splitPods(namespace, app);
    if (found.length !== count) throw new Error(`${found.length} Pods: ${found.map(describe).join('; ')}`);
    for (const split of found) {
      const names = [...split.pieces.keys()].sort();
      const separate = new Set([...split.pieces.values()].map((pod) => pod.metadata.uid)).size;
      if (names.join() !== [...containers].sort().join() || separate !== containers.length) {
        throw new Error(`${separate} pieces: ${describe(split)}`);
      }
      if (![...split.pieces.values()].every(isReady)) throw new Error(`not ready: ${describe(split)}`);
    }
    return found;
  });
}

export function isReady(pod: Pod): boolean {
  return condition(pod, 'Ready')?.status === 'True';
}

function describe({ primary, pieces }: SplitPod): string {
  const states = [...pieces].map(([container, pod]) => {
    const gate = condition(pod, 'podsplit.io/pieces-ready');
    const why = gate === undefined || gate.status === 'True' ? '' : ` (${gate.reason ?? ''}: ${gate.message ?? ''})`;
    return `${container} ${pod.status.phase}${isReady(pod) ? ' ready' : ''}${why}`;
  });
  return `${primary.metadata.name}: ${states.join(', ')}`;
}

/** Of a piece on the peer network, as Multus reports them (NPWG multi-network specification v1.3, section 5). */
export function peerAddresses(pod: Pod): readonly string[] {
  const status = pod.metadata.annotations?.[networkStatusAnnotation];
  if (status === undefined) return [];
  const networks = JSON.parse(status) as readonly { interface?: string; ips?: readonly string[] }[];
  return networks.filter((network) => network.interface === peerInterface).flatMap((network) => network.ips ?? []);
}

/** Every address at which somebody may try a piece, loopback left out. */
export function addressesOf(pod: Pod): readonly string[] {
  return [...podIPs(pod), ...peerAddresses(pod)];
}

export async function podSplitOf(namespace: TestNamespace, primary: Pod): Promise<PodSplit> {
  const found = (await namespace.list<PodSplit>('podSplits')).find((one) => one.spec.pod.uid === primary.metadata.uid);
  if (found === undefined) throw new Error(`${primary.metadata.name} has no PodSplit`);
  return found;
}

/** Until the Event is there; a user sees it in `kubectl describe`. */
export function eventOf(namespace: TestNamespace, reason: string, kind: string, name?: string): Promise<Event> {
  return eventually(
    `Event ${reason} on ${kind} ${name ?? ''}`,
    async () => {
      const events = await namespace.list<Event>('events');
      const found = events.find(
        (event) =>
          event.reason === reason &&
          event.involvedObject.kind === kind &&
          (name === undefined || event.involvedObject.name === name),
      );
      if (found !== undefined) return found;
      throw new Error(`there are ${[...new Set(events.map((event) => event.reason))].join(', ')}`);
    },
    30_000,
  );
}
