import { ClusterDns } from './cluster-dns.ts';
import { isIsolateNad, splitId } from '../api/identity.ts';
import { sameJson } from '../api/same-json.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../kube/clock.ts';
import type { EventRecorder } from '../kube/events.ts';
import type { NetworkPolicy } from '../kube/resources.ts';
import { objectKey } from '../kube/store.ts';
import { WorkQueue } from '../kube/work-queue.ts';
import { sooner, startWorkers, type Outcome, type Workers } from '../kube/worker.ts';
import type { Logger } from '../observability/log.ts';
import { queueHooks, reflectorHooks, workerHooks, type Metrics } from '../observability/metrics.ts';
import { isOwnBudget } from '../policies/disruption-budget.ts';
import { inexactFor } from '../policies/inexact.ts';
import type { SplitOptions } from '../split/plan.ts';
import { AddressBook } from './address-book.ts';
import { IsolateNads } from './isolate-nads.ts';
import { IsolatedPodReconciler } from './isolated-pod.ts';
import { readPod, splitKey } from './piece-pod.ts';
import { policyIndexes } from './policy-indexes.ts';
import { MoveBook } from './moves.ts';
import { PolicyMirrors } from './policy-mirrors.ts';
import { Reporter } from './reporter.ts';
import { PolicyStatusReconciler } from './policy-status.ts';
import { SplitNetworkReconciler } from './split-network.ts';
import { SplitPodReconciler } from './split-pod.ts';
import { sweepAfterMs } from './sweep.ts';
import { WorkloadObjects } from './workload-objects.ts';
import { workloadIndex, World } from './world.ts';
import { changedClaims, onlyCountChanged, onlyStatusChanged } from './changes.ts';

export interface ControllerOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly events: EventRecorder;
  readonly split: SplitOptions;
  readonly workers?: number;
  /** Of the cluster's DNS, where the controller is told of them. */
  readonly clusterDns?: readonly string[] | undefined;
}

/** How many addresses of a SplitNetwork are taken is said this late: a thousand Pods at once are not a thousand writes. */
const countMs = 1_000;
/** How many Pods are in which phase is counted this often, for the metrics. */
const phasesMs = 60_000;
/** A Pod that opted in with one container: said once, not again by each new leader. */
const freshMs = 120_000;

/** The reconcilers with their queues: what the leader runs. */
export class Controller {
  readonly world: World;
  private readonly options: ControllerOptions;
  private readonly splits: WorkQueue;
  private readonly workloads: WorkQueue;
  private readonly networks: WorkQueue;
  private readonly policies: WorkQueue;
  private readonly networkPolicies: WorkQueue;
  private readonly mirrors: PolicyMirrors;
  private readonly isolated: WorkQueue;
  private running: readonly Workers[] = [];
  private cancelSweep: () => void = () => undefined;
  private cancelCount: () => void = () => undefined;

  constructor(options: ControllerOptions) {
    const { clock, metrics } = options;
    this.options = options;
    this.world = new World({ ...options, hooks: (resource) => reflectorHooks(metrics, resource) });
    this.splits = new WorkQueue({ clock, hooks: queueHooks(metrics, 'split-pod'), maxDelayMs: 15_000 });
    this.workloads = new WorkQueue({ clock, hooks: queueHooks(metrics, 'workload'), maxDelayMs: 15_000 });
    this.networks = new WorkQueue({ clock, hooks: queueHooks(metrics, 'split-network'), maxDelayMs: 15_000 });
    this.policies = new WorkQueue({ clock, hooks: queueHooks(metrics, 'policy'), maxDelayMs: 15_000 });
    this.networkPolicies = new WorkQueue({ clock, hooks: queueHooks(metrics, 'network-policy'), maxDelayMs: 15_000 });
    this.mirrors = new PolicyMirrors({ ...options, world: this.world });
    this.isolated = new WorkQueue({ clock, hooks: queueHooks(metrics, 'isolated-pod'), maxDelayMs: 15_000 });
    this.subscribe();
    this.subscribePolicies();
  }

  async start(): Promise<void> {
    const { client, clock, log, metrics, events, split, workers = 16 } = this.options;
    const { world, mirrors } = this;
    await world.start();
    const objects = new WorkloadObjects({ client, world, events, clock, log, options: split });
    const reporter = new Reporter({ client, world, events, clock });
    const addresses = new AddressBook(client, world);
    const clusterDns = new ClusterDns({ client, clock, addresses: this.options.clusterDns });
    const splitPods = new SplitPodReconciler({
      client,
      world,
      addresses,
      objects,
      mirrors,
      moves: new MoveBook({ client, world, clock }),
      options: split,
      clusterDns,
      reporter,
      clock,
      log,
      waiting: () => this.splits.depth,
      released: (seconds) => {
        metrics.wiringDuration.observe(seconds);
      },
    });
    const isolateNads = new IsolateNads({ client, world, events, clock });
    const isolatedPods = new IsolatedPodReconciler({
      client,
      world,
      nads: isolateNads,
      clusterDns,
      reporter,
      clock,
      options: split,
      released: (seconds) => {
        metrics.wiringDuration.observe(seconds);
      },
    });
    const splitNetworks = new SplitNetworkReconciler({ client, world, clock });
    const policies = new PolicyStatusReconciler({ client, world, clock, options: split });
    this.running = [
      this.workers('split-network', this.networks, 1, (key) => splitNetworks.reconcile(key)),
      this.workers('split-pod', this.splits, workers, (key) => splitPods.reconcile(key)),
      this.workers('policy', this.policies, 1, (key) => policies.reconcile(key)),
      this.workers('isolated-pod', this.isolated, workers, (key) => isolatedPods.reconcile(key)),
      this.workers('workload', this.workloads, 2, async (key) =>
        sooner(await objects.reconcile(key), await isolateNads.reconcile(key)),
      ),
      this.workers('network-policy', this.networkPolicies, 2, (key) => mirrors.reconcile(key)),
    ];
    this.sweep();
    this.countPhases();
  }

  async stop(): Promise<void> {
    this.cancelSweep();
    this.cancelCount();
    await Promise.all(this.running.map((workers) => workers.stop()));
    await this.world.stop();
  }

  private workers(name: string, queue: WorkQueue, concurrency: number, reconcile: (key: string) => Promise<Outcome>) {
    const { clock, log, metrics } = this.options;
    return startWorkers({ name, queue, concurrency, reconcile, clock, log, hooks: workerHooks(metrics, name) });
  }

  /** From what changed to the keys that have to be looked at. What kind of change it was does not matter. */
  private subscribe(): void {
    const { world } = this;
    world.pods.onChange((change) => {
      const { kind, object } = change;
      const pod = readPod(object);
      if (pod?.role === 'whole' && kind === 'added') this.sayLeftAlone(object);
      if (pod?.role === 'isolated') this.isolated.add(splitKey(pod));
      else if (pod !== undefined && pod.role !== 'whole') this.splits.add(splitKey(pod));
      if (kind !== 'updated' || !onlyStatusChanged(change.previous, object)) {
        for (const key of workloadIndex(object)) this.workloads.add(key);
      }
      const same = kind === 'updated' && sameJson(change.previous.metadata.labels, object.metadata.labels);
      if (pod?.role !== 'primary' || same) return;
      for (const key of this.mirrors.keysFor(pod, kind === 'deleted')) this.networkPolicies.add(key);
    });
    world.podSplits.onChange(({ object }) => {
      const key = `${object.metadata.namespace ?? ''}/${splitId(object.spec.pod.uid)}`;
      (isIsolateNad(object.spec.networkAttachmentDefinition) ? this.isolated : this.splits).add(key);
    });
    world.blocks.onChange((change) => {
      const { kind, object } = change;
      for (const key of changedClaims(kind === 'updated' ? change.previous : undefined, object)) this.splits.add(key);
      this.networks.addAfter(object.spec.network, countMs);
      if (kind === 'deleted') this.wakeGated();
    });
    world.networks.onChange((change) => {
      const { object } = change;
      // Its own count: to look again at once would be to write again at once.
      if (change.kind === 'updated' && onlyCountChanged(change.previous, object)) {
        this.networks.addAfter(object.metadata.name, countMs);
        return;
      }
      for (const network of world.networks.store.list()) this.networks.add(network.metadata.name);
      this.networks.add(object.metadata.name);
      this.wakeGated();
    });
    world.nads.onChange(({ object }) => {
      for (const key of workloadIndex(object)) this.workloads.add(key);
    });
    world.budgets.onChange((change) => {
      // The API server's own controller writes their status all the time.
      if (change.kind === 'updated' && sameJson(change.previous.spec, change.object.spec)) return;
      for (const key of workloadIndex(change.object)) this.workloads.add(key);
      // A workload that comes has its own made: that is no news to all others of the namespace.
      if (!isOwnBudget(change.object)) this.addSplits(change.object.metadata.namespace ?? '');
    });
    world.networkPolicies.onChange((change) => {
      this.policyChanged(change.object);
      if (change.kind === 'updated') this.wakeInexact(change.previous);
      this.wakeInexact(change.object);
    });
  }

  /** A policy, or what its selectors find: every split Pod that it might be about is looked at. */
  private subscribePolicies(): void {
    const { world } = this;
    world.containerPolicies.onChange(({ object }) => {
      this.addPoliced(object.metadata.namespace ?? '');
    });
    world.onDirectoryChange(() => {
      const policies = world.containerPolicies.store.list();
      for (const namespace of new Set(policies.map(({ metadata }) => metadata.namespace ?? '')))
        this.addPoliced(namespace);
    });
  }

  private addPoliced(namespace: string): void {
    for (const pod of this.world.pods.store.byIndex('namespace', namespace)) {
      const read = readPod(pod);
      if (read?.role === 'primary') this.splits.add(splitKey(read));
      if (read?.role === 'isolated') this.isolated.add(splitKey(read));
      for (const key of workloadIndex(pod)) this.workloads.add(key);
    }
    for (const { metadata } of this.world.policiesOf(namespace)) this.policies.add(`${namespace}/${metadata.name}`);
  }

  private addSplits(namespace: string): void {
    for (const pod of this.world.pods.store.byIndex('namespace', namespace)) {
      const read = readPod(pod);
      if (read?.role === 'primary') this.splits.add(splitKey(read));
    }
  }

  private policyChanged(policy: NetworkPolicy): void {
    const own = workloadIndex(policy);
    const originals = policyIndexes.mirrorOf(policy);
    for (const key of originals) this.networkPolicies.add(key);
    if (originals.length > 0) return;
    const workloads = own.length > 0 ? own : this.workloadsIn(policy.metadata.namespace ?? '');
    for (const key of workloads) this.workloads.add(key);
    if (own.length === 0) this.networkPolicies.add(objectKey(policy));
  }

  /** PodSplits say which policies mean other things for siblings. Few policies can. */
  private wakeInexact(policy: NetworkPolicy): void {
    if (policyIndexes.inexact(policy).length === 0) return;
    for (const object of this.world.pods.store.list()) {
      const pod = readPod(object);
      if (pod?.role === 'primary' && inexactFor(policy, pod).length > 0) this.splits.add(splitKey(pod));
    }
  }

  /** Pods that wait for addresses or for their SplitNetwork need not wait for their next try. */
  private wakeGated(): void {
    for (const key of this.world.pods.store.countsOf('gated').keys()) this.splits.add(key);
  }

  private workloadsIn(namespace: string): readonly string[] {
    return this.world.nads.store
      .list()
      .filter((nad) => nad.metadata.namespace === namespace)
      .flatMap(workloadIndex);
  }

  private sayLeftAlone(
    pod: Parameters<typeof readPod>[0] & { readonly metadata: { readonly creationTimestamp?: string } },
  ): void {
    const read = readPod(pod);
    const age = this.options.clock.now() - Date.parse(pod.metadata.creationTimestamp ?? '');
    if (read === undefined || age > freshMs) return;
    const { namespace, name, uid } = read;
    this.options.events.event(
      { apiVersion: 'v1', kind: 'Pod', namespace, name, uid },
      'Normal',
      'NotSplit',
      'podsplit.io/mode is set, but the Pod has one container: there is nothing to split or isolate, and it runs as it is.',
    );
  }

  private sweep(): void {
    const { world } = this;
    const isolated = world.pods.store.countsOf('isolated');
    for (const key of isolated.keys()) this.isolated.add(key);
    const split = world.pods.store.countsOf('pieces');
    for (const key of split.keys()) this.splits.add(key);
    for (const { metadata } of world.containerPolicies.store.list()) {
      this.policies.add(`${metadata.namespace ?? ''}/${metadata.name}`);
    }
    for (const key of world.blocks.store.countsOf('split').keys()) this.splits.add(key);
    for (const policy of world.networkPolicies.store.list()) this.networkPolicies.add(objectKey(policy));
    const generated = [
      ...world.nads.store.list(),
      ...world.networkPolicies.store.list(),
      ...world.budgets.store.list(),
    ];
    for (const object of generated) for (const key of workloadIndex(object)) this.workloads.add(key);
    this.cancelSweep = this.options.clock.after(sweepAfterMs(isolated.size + split.size), () => {
      this.sweep();
    });
  }

  private countPhases(): void {
    const { splits } = this.options.metrics;
    splits.reset();
    for (const [phase, count] of this.world.podSplits.store.countsOf('phase')) splits.set({ phase }, count);
    this.cancelCount = this.options.clock.after(phasesMs, () => {
      this.countPhases();
    });
  }
}
