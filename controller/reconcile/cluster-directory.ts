import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import { Reflector, type ReflectorHooks, watchedMetadata } from '../kube/reflector.ts';
import {
  resources,
  type EndpointSlice,
  type Namespace,
  type Pod,
  type Resource,
  type Service,
} from '../kube/resources.ts';
import type { KubeObject } from '../kube/resources.ts';
import type { Logger } from '../observability/log.ts';
import type { Directory } from '../policies/directory.ts';
import { directoryOf } from '../policies/read-directory.ts';
import type { Watching } from './world.ts';

export interface ClusterDirectoryOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly hooks?: (resource: string) => ReflectorHooks;
}

/** Changes come in crowds (a rollout, a node that goes): policies are resolved anew once for all of a moment. */
const calmMs = 200;

/**
 * What policies' selectors are resolved against: all Pods, namespaces and Services of the cluster. It is watched from the
 * first ContainerNetworkPolicy on, because most clusters have none, and Pods are many.
 */
export class ClusterDirectory {
  private readonly options: ClusterDirectoryOptions;
  private readonly pods: Reflector<Pod>;
  private readonly namespaces: Reflector<Namespace>;
  private readonly services: Reflector<Service>;
  private readonly endpointSlices: Reflector<EndpointSlice>;
  private readonly handlers: (() => void)[] = [];
  private isStarted = false;
  private isStopped = false;
  private isTold = true;
  private known: Directory | undefined;

  constructor(options: ClusterDirectoryOptions) {
    this.options = options;
    this.pods = this.watch(resources.pods, slimPod);
    this.namespaces = this.watch(resources.namespaces, ({ apiVersion, kind, metadata }) => ({
      apiVersion,
      kind,
      metadata: slimMetadata(metadata),
    }));
    this.services = this.watch(resources.services, ({ apiVersion, kind, metadata, spec }) => ({
      apiVersion,
      kind,
      metadata: slimMetadata(metadata),
      spec: { clusterIPs: spec?.clusterIPs ?? [], ports: spec?.ports ?? [] },
    }));
    this.endpointSlices = this.watch(resources.endpointSlices, ({ metadata, endpoints, ...slice }) => ({
      ...slice,
      metadata: slimMetadata(metadata),
      endpoints: (endpoints ?? []).map(({ addresses }) => ({ addresses })),
    }));
  }

  /** Undefined as long as it is not known. */
  directory(): Directory | undefined {
    if (!this.all.every((reflector) => reflector.hasSynced())) return undefined;
    this.known ??= directoryOf({
      pods: this.pods.store.list(),
      namespaces: this.namespaces.store.list(),
      services: this.services.store.list(),
      endpointSlices: this.endpointSlices.store.list(),
    });
    return this.known;
  }

  /** Called a moment after it changed, once for all that changed in that moment. */
  onChange(handler: () => void): void {
    this.handlers.push(handler);
  }

  /** May be called again and again. */
  start(): void {
    if (this.isStarted || this.isStopped) return;
    this.isStarted = true;
    for (const reflector of this.all) {
      reflector.start();
      // A list that is empty changes nothing, and yet makes the directory known.
      void reflector.whenSynced().then(() => {
        this.changed();
      });
    }
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    await Promise.all(this.all.map((reflector) => reflector.stop()));
  }

  /** Those that run: nothing is heard of the others. */
  get watching(): readonly Watching[] {
    return this.isStarted ? this.all : [];
  }

  private get all(): readonly Watching[] {
    return [this.pods, this.namespaces, this.services, this.endpointSlices];
  }

  private watch<T extends KubeObject>(resource: Resource<T>, slim: (object: T) => T): Reflector<T> {
    const { client, clock, log, hooks } = this.options;
    const reflector = new Reflector<T>({
      client,
      resource,
      slim,
      clock,
      log: log.child({ resource: resource.plural, for: 'policies' }),
      ...(hooks === undefined ? {} : { hooks: hooks(`${resource.plural}-of-cluster`) }),
    });
    reflector.onChange(() => {
      this.changed();
    });
    return reflector;
  }

  private changed(): void {
    this.known = undefined;
    if (!this.isTold || this.isStopped) return;
    this.isTold = false;
    this.options.clock.after(calmMs, () => {
      this.isTold = true;
      for (const handler of this.handlers) handler();
    });
  }
}

function slimMetadata(metadata: KubeObject['metadata']) {
  const { labels } = metadata;
  return { ...watchedMetadata(metadata), ...(labels === undefined ? {} : { labels }) };
}

function slimPod({ apiVersion, kind, metadata, spec, status }: Pod): Pod {
  const portsOf = (containers: NonNullable<Pod['spec']>['containers'] | undefined) =>
    (containers ?? []).map(({ name, ports, restartPolicy }) => ({
      name,
      ...(ports === undefined ? {} : { ports }),
      ...(restartPolicy === undefined ? {} : { restartPolicy }),
    }));
  return {
    apiVersion,
    kind,
    metadata: slimMetadata(metadata),
    spec: {
      containers: portsOf(spec?.containers),
      initContainers: portsOf(spec?.initContainers),
      ...(spec?.hostNetwork === undefined ? {} : { hostNetwork: spec.hostNetwork }),
    },
    status: {
      ...(status?.phase === undefined ? {} : { phase: status.phase }),
      ...(status?.podIPs === undefined ? {} : { podIPs: status.podIPs }),
    },
  };
}
