import {
  agentName,
  agentNamespace,
  apiVersion,
  controllerName,
  group,
  ownLabels,
  ownPods,
  systemNamespace,
  volumeDriver,
} from '../api/names.ts';
import { at, isRecord, list as listIn, parseJson } from '../api/json.ts';
import type { SplitNetwork } from '../api/resources.ts';
import type { KubeClient, ListOptions, ObjectRef } from '../kube/client.ts';
import { isApiError } from '../kube/errors.ts';
import {
  resources,
  type ConfigMap,
  type CSIDriver,
  type CustomResourceDefinition,
  type DaemonSet,
  type Deployment,
  type Event,
  type KubeObject,
  type Lease,
  type MutatingWebhookConfiguration,
  type Namespace,
  type NetworkAttachmentDefinition,
  type Node,
  type Pod,
  type Resource,
  type Secret,
  type ValidatingAdmissionPolicy,
  type ValidatingAdmissionPolicyBinding,
} from '../kube/resources.ts';
import type { Seen } from './check-outcome.ts';
import { version as ownVersion } from '../version.ts';
import { unanswered } from './find-pod.ts';

/** All that a check knows: what the API server told this user, once. */
export interface Snapshot {
  readonly server: string;
  /** Of this plugin. */
  readonly pluginVersion: string;
  /** Epoch milliseconds, by the clock of this machine. */
  readonly now: number;
  /** `v1.34.1`. */
  readonly version: Seen<string>;
  /** Plurals that the API server serves of these versions: anybody who logged in may ask it. */
  readonly ownKinds: Seen<readonly string[]>;
  readonly networkKinds: Seen<readonly string[]>;
  readonly multiPolicyKinds: Seen<readonly string[]>;
  readonly nodes: Seen<readonly Node[]>;
  readonly namespaces: Seen<readonly Namespace[]>;
  readonly daemonSets: Seen<readonly DaemonSet[]>;
  readonly webhooks: Seen<readonly MutatingWebhookConfiguration[]>;
  readonly networks: Seen<readonly NetworkAttachmentDefinition[]>;
  /** Pods that opted in, and their pieces. */
  readonly splitPods: Seen<readonly Pod[]>;
  /** Why sandboxes could not be made. */
  readonly sandboxEvents: Seen<readonly Event[]>;
  /** What agents found out of order. */
  readonly agentEvents: Seen<readonly Event[]>;
  readonly crds: Seen<readonly CustomResourceDefinition[]>;
  readonly guards: Seen<readonly ValidatingAdmissionPolicy[]>;
  readonly guardBindings: Seen<readonly ValidatingAdmissionPolicyBinding[]>;
  readonly csiDriver: Seen<CSIDriver | undefined>;
  readonly splitNetworks: Seen<readonly SplitNetwork[]>;
  readonly controller: Seen<Deployment | undefined>;
  readonly controllerPods: Seen<readonly Pod[]>;
  readonly agents: Seen<DaemonSet | undefined>;
  readonly agentPods: Seen<readonly Pod[]>;
  readonly lease: Seen<Lease | undefined>;
  /** It was renewed while we looked, whatever the clocks say. */
  readonly leaseMoved: boolean;
  readonly certificate: Seen<Secret | undefined>;
  /** Those that DaemonSets of Multus mount, and Cilium's. */
  readonly configMaps: Seen<readonly ConfigMap[]>;
}

export const certificateSecret = 'podsplit-webhook-tls';
export const webhookName = 'podsplit';
export const ownPlurals = [
  resources.podSplits,
  resources.splitNetworks,
  resources.addressBlocks,
  resources.containerNetworkPolicies,
].map(({ plural }) => plural);

/** Reasons of the agents' Events, as docs/operations.md has them, and what to do. */
export const agentReports = {
  RulesRepaired: {
    what: 'found rules of pieces changed on the node, and set them right',
    mend: 'Find out who is root there: kubectl get events -A --field-selector reason=RulesRepaired',
  },
  WiringRefused: {
    what: 'refused a wiring that somebody wrote on a running Pod',
    mend: 'Find out who wrote it: kubectl get events -A --field-selector reason=WiringRefused',
  },
  SandboxUnread: {
    what: 'keep pieces as they are, because another version of the agent wrote what is known of them',
    mend: 'Upgrade again, or delete these Pods: kubectl get events -A --field-selector reason=SandboxUnread',
  },
  Eth0PassedAround: {
    what: "found programs of the network plugin ahead of podsplit's filter on the node's end of eth0",
    mend: "See that the network plugin checks source addresses. The piece's own table and net1 are not affected.",
  },
} as const;

/** Longer than the controller's renewals are apart (2 s). */
const leasePauseMs = 5000;

/** @throws CliError where the API server does not answer, or does not know who asks */
export async function readSnapshot(
  client: KubeClient,
  now: number,
  pause: (milliseconds: number) => Promise<void>,
): Promise<Snapshot> {
  const read = new Reading(client);
  // First and alone: where nobody answers it is said once.
  const version = await read.version();
  const inController = { namespace: systemNamespace };
  const inAgents = { namespace: agentNamespace };
  const daemonSets = read.list(resources.daemonSets);
  const { lease, ...seen } = await together({
    daemonSets,
    ownKinds: read.kinds(apiVersion),
    networkKinds: read.kinds('k8s.cni.cncf.io/v1'),
    multiPolicyKinds: read.kinds('k8s.cni.cncf.io/v1beta1'),
    nodes: read.list(resources.nodes),
    namespaces: read.list(resources.namespaces),
    webhooks: read.list(resources.mutatingWebhookConfigurations),
    networks: read.list(resources.networkAttachmentDefinitions),
    splitPods: read.list(resources.pods, { labelSelector: ownLabels.role }),
    sandboxEvents: read.list(resources.events, { fieldSelector: 'reason=FailedCreatePodSandBox' }),
    agentEvents: read.events(Object.keys(agentReports)),
    crds: read.each(
      resources.customResourceDefinitions,
      ownPlurals.map((plural) => ({ name: `${plural}.${group}` })),
    ),
    guards: read.list(resources.validatingAdmissionPolicies),
    guardBindings: read.list(resources.validatingAdmissionPolicyBindings),
    csiDriver: read.get(resources.csiDrivers, { name: volumeDriver }),
    splitNetworks: read.list(resources.splitNetworks),
    controller: read.get(resources.deployments, { ...inController, name: controllerName }),
    controllerPods: read.list(resources.pods, { ...inController, labelSelector: ownPods('controller') }),
    agents: read.get(resources.daemonSets, { ...inAgents, name: agentName }),
    agentPods: read.list(resources.pods, { ...inAgents, labelSelector: ownPods('agent') }),
    lease: read.lease(now, pause),
    certificate: read.get(resources.secrets, { ...inController, name: certificateSecret }),
    configMaps: daemonSets.then((sets) =>
      read.each(resources.configMaps, sets.kind === 'seen' ? configOf(sets.value) : []),
    ),
  });
  return { server: client.server, pluginVersion: ownVersion, now, version, ...seen, ...lease };
}

/** Each under its own name, all of them asked at the same time. */
async function together<T extends object>(reads: { readonly [K in keyof T]: Promise<T[K]> }): Promise<T> {
  const all = Object.entries<Promise<unknown>>(reads).map(async ([name, read]) => [name, await read] as const);
  return Object.fromEntries(await Promise.all(all)) as T;
}

/** What of theirs says how Multus is told to behave, and what Cilium does to other CNI configurations. */
function configOf(daemonSets: readonly DaemonSet[]): readonly ObjectRef[] {
  return daemonSets.flatMap(({ metadata: { namespace, name }, spec }): readonly ObjectRef[] => {
    if (name === 'cilium') return [{ namespace, name: 'cilium-config' }];
    if (!/multus/.test(name)) return [];
    const volumes = spec?.template.spec?.volumes ?? [];
    return volumes.flatMap(({ configMap }) =>
      configMap?.name === undefined ? [] : [{ namespace, name: configMap.name }],
    );
  });
}

/** Of one thing each: what a user may not read is no failure. */
class Reading {
  private readonly client: KubeClient;

  constructor(client: KubeClient) {
    this.client = client;
  }

  version(): Promise<Seen<string>> {
    return this.seen('get /version', async () => {
      const { body } = await this.client.raw({ method: 'GET', path: '/version' });
      const version = at(parseJson(body), ['gitVersion']);
      return typeof version === 'string' ? version : '';
    });
  }

  kinds(version: string): Promise<Seen<readonly string[]>> {
    return this.orNothing([], `get /apis/${version}`, async () => {
      const { body } = await this.client.raw({ method: 'GET', path: `/apis/${version}` });
      const names = listIn(at(parseJson(body), ['resources'])).map((each) =>
        isRecord(each) ? each['name'] : undefined,
      );
      return names.filter((name) => typeof name === 'string');
    });
  }

  list<T extends KubeObject>(resource: Resource<T>, options: ListOptions = {}): Promise<Seen<readonly T[]>> {
    return this.orNothing([], rightTo('list', resource, options.namespace), async () => {
      return (await this.client.list(resource, options)).items;
    });
  }

  /** The API server selects by one reason at a time. */
  async events(reasons: readonly string[]): Promise<Seen<readonly Event[]>> {
    const all = await Promise.all(
      reasons.map((reason) => this.list(resources.events, { fieldSelector: `reason=${reason}` })),
    );
    const found: Event[] = [];
    for (const one of all) {
      if (one.kind === 'hidden') return one;
      found.push(...one.value);
    }
    return { kind: 'seen', value: found };
  }

  get<T extends KubeObject>(resource: Resource<T>, ref: ObjectRef): Promise<Seen<T | undefined>> {
    return this.orNothing(undefined, rightTo('get', resource, ref.namespace), () => this.client.get(resource, ref));
  }

  /** Those of them that are there. */
  async each<T extends KubeObject>(resource: Resource<T>, refs: readonly ObjectRef[]): Promise<Seen<readonly T[]>> {
    const all = await Promise.all(refs.map((ref) => this.get(resource, ref)));
    const found: T[] = [];
    for (const one of all) {
      if (one.kind === 'hidden') return one;
      if (one.value !== undefined) found.push(one.value);
    }
    return { kind: 'seen', value: found };
  }

  /** Looked at twice where it seems old: the clock that says so may be wrong. */
  async lease(now: number, pause: (milliseconds: number) => Promise<void>) {
    const ref = { namespace: systemNamespace, name: controllerName };
    const lease = await this.get(resources.leases, ref);
    if (lease.kind === 'hidden' || lease.value === undefined || isFresh(lease.value, now)) {
      return { lease, leaseMoved: false };
    }
    await pause(leasePauseMs);
    const again = await this.get(resources.leases, ref);
    const renewed = (seen: Seen<Lease | undefined>) => (seen.kind === 'seen' ? seen.value?.spec?.renewTime : undefined);
    return { lease: again, leaseMoved: renewed(again) !== renewed(lease) };
  }

  private orNothing<T>(nothing: T, right: string, read: () => Promise<T>): Promise<Seen<T>> {
    return this.seen(right, async () => {
      try {
        return await read();
      } catch (error) {
        // No such object, or no such kind.
        if (isApiError(error, 'NotFound')) return nothing;
        throw error;
      }
    });
  }

  private async seen<T>(right: string, read: () => Promise<T>): Promise<Seen<T>> {
    try {
      return { kind: 'seen', value: await read() };
    } catch (error) {
      if (!isApiError(error)) throw error;
      if (error.code === 'Forbidden') return { kind: 'hidden', right };
      throw unanswered(error, right, undefined, this.client.server);
    }
  }
}

function rightTo(verb: string, resource: Resource, namespace: string | undefined): string {
  const [apiGroup] = resource.apiVersion.split('/');
  const what = resource.apiVersion.includes('.') ? `${resource.plural}.${apiGroup ?? ''}` : resource.plural;
  return `${verb} ${what}${namespace === undefined ? '' : ` in namespace ${namespace}`}`;
}

/** As others judge it who would lead. */
export function isFresh({ spec }: Lease, now: number): boolean {
  const renewed = Date.parse(spec?.renewTime ?? '');
  return (
    spec?.holderIdentity !== undefined &&
    spec.holderIdentity !== '' &&
    now - renewed <= (spec.leaseDurationSeconds ?? 15) * 1000
  );
}
