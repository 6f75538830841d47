// Where the containers of examples/web run: in one Pod, or in a piece each.

import { networkStatusAnnotation, ownLabels, peerInterface } from '../../controller/api/names.ts';
import type { Command } from '../../examples/web/trials.ts';
import { kubectl } from './command.ts';

export interface WebPod {
  readonly name: string;
  readonly podIPs: readonly string[];
  /** By container name. */
  readonly containers: ReadonlyMap<string, Location>;
}

export interface Location {
  readonly pod: string;
  readonly container: string;
  /** The addresses of the Pod it runs in, on eth0 and on the peer network. */
  readonly own: readonly string[];
  /** All addresses at which somebody may try it: loopback and the primary's Pod IPs as well. */
  readonly addresses: readonly string[];
}

/** The part of the API's Pod that is read here. */
interface PodJson {
  readonly metadata: {
    readonly name: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly spec: { readonly containers: readonly { readonly name: string }[] };
  readonly status: { readonly phase: string; readonly podIPs?: readonly { readonly ip: string }[] };
}

const loopback = ['127.0.0.1', '::1'];

/** The Pods of the Deployment that are not on their way out, with their pieces. */
export async function webPods(namespace: string): Promise<readonly WebPod[]> {
  const json = JSON.parse(await kubectl(['-n', namespace, 'get', 'pods', '-o', 'json'])) as {
    items: readonly PodJson[];
  };
  return findWebPods(json.items);
}

export function findWebPods(pods: readonly PodJson[]): readonly WebPod[] {
  const alive = pods.filter((pod) => pod.metadata.deletionTimestamp === undefined);
  const primaries = alive.filter((pod) => pod.metadata.labels?.['app'] === 'web' && pod.status.phase === 'Running');
  return primaries.map((primary) => {
    const split = primary.metadata.labels?.[ownLabels.split];
    const siblings = alive.filter((pod) => pod !== primary && pod.metadata.labels?.[ownLabels.split] === split);
    return webPod(primary, split === undefined ? [] : siblings);
  });
}

function webPod(primary: PodJson, siblings: readonly PodJson[]): WebPod {
  const shared = podIPs(primary);
  const containers = [primary, ...siblings].flatMap((pod) => {
    const own = [...podIPs(pod), ...peerAddresses(pod)];
    const addresses = [...new Set([...loopback, ...shared, ...own])];
    return pod.spec.containers.map(
      ({ name }) => [name, { pod: pod.metadata.name, container: name, own, addresses }] as const,
    );
  });
  return { name: primary.metadata.name, podIPs: shared, containers: new Map(containers) };
}

function podIPs(pod: PodJson): readonly string[] {
  return (pod.status.podIPs ?? []).map(({ ip }) => ip);
}

/** As Multus reports them (NPWG multi-network specification v1.3, section 5). */
function peerAddresses(pod: PodJson): readonly string[] {
  const status = pod.metadata.annotations?.[networkStatusAnnotation];
  if (status === undefined) return [];
  const networks = JSON.parse(status) as readonly { interface?: string; ips?: readonly string[] }[];
  return networks.filter((network) => network.interface === peerInterface).flatMap((network) => network.ips ?? []);
}

/** The command with this Pod's addresses filled in, as arguments of `kubectl exec`. */
export function execArguments(namespace: string, pod: WebPod, command: Command): readonly string[] {
  const at = pod.containers.get(command.from);
  const place = at === undefined ? [command.from] : [at.pod, '-c', at.container];
  const argv = command.argv.flatMap((word) => {
    const container = /^\{addresses of (.+)\}$/.exec(word)?.[1];
    return container === undefined
      ? [word.replaceAll('{host}', host(pod))]
      : (pod.containers.get(container)?.addresses ?? []);
  });
  return ['-n', namespace, 'exec', ...place, '--', ...argv];
}

/** An IPv6 address stands in brackets in a URL (RFC 3986). */
function host(pod: WebPod): string {
  const [first = ''] = pod.podIPs;
  return first.includes(':') ? `[${first}]` : first;
}
