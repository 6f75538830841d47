import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { isApiError } from '../../controller/kube/errors.ts';
import { resources, type Deployment, type Pod, type Resource } from '../../controller/kube/resources.ts';
import { violations, type Violation } from '../../hack/invariants.ts';
import type { Child } from '../../hack/simulation/child.ts';
import type { SimulatedCluster } from '../../hack/simulation/cluster.ts';
import { startController, untilLeading, type ControllerPorts } from '../../hack/simulation/podsplit.ts';
import { readSnapshot } from '../../hack/snapshot.ts';
import { CallProxy, type Side } from './call-proxy.ts';
import { patience, patienceMs } from './eventually.ts';

/** What happens at the cut: the controller is killed and another one started, or it lives and misses an answer. */
export interface Fault {
  readonly side: Side;
  readonly dies: boolean;
  /** By how much its clock is set, and stays set. */
  readonly clockMs?: number;
}

const betweenLooksMs = 200;
/** Objects that pieces of one workload share stay for ten seconds after their making: another Pod may come. */
const lingering: readonly Violation['check'][] = ['NetworkUsed', 'PolicyUsed', 'BudgetUsed'];

/** One run of the scenario: which call it was cut at, if it came that far, and all that was made in it. */
export interface Outcome {
  readonly namespace: string;
  readonly calls: readonly string[];
  readonly cut: string | undefined;
}

/** A simulated cluster with a controller whose line can be cut, through the life of one Deployment after the other. */
export class Sweep {
  private readonly cluster: SimulatedCluster;
  private readonly ports: ControllerPorts;
  private readonly proxy: CallProxy;
  private controller: Child;
  private runs = 0;

  private constructor(cluster: SimulatedCluster, ports: ControllerPorts, proxy: CallProxy, controller: Child) {
    this.cluster = cluster;
    this.ports = ports;
    this.proxy = proxy;
    this.controller = controller;
  }

  static async start(cluster: SimulatedCluster, ports: ControllerPorts): Promise<Sweep> {
    const proxy = await CallProxy.start(cluster);
    const via = { server: proxy.url, ca: proxy.ca };
    const controller = await startController({ cluster, ports, via, ...settableClock(cluster) });
    await untilLeading(controller, ports);
    return new Sweep(cluster, ports, proxy, controller);
  }

  async stop(): Promise<void> {
    await this.controller.kill();
    await this.proxy.close();
  }

  /** A split Deployment comes, shrinks and goes, and something goes wrong at one call of it, if so ordered. */
  async run(fault?: Fault & { readonly at: number }): Promise<Outcome> {
    const namespace = `sweep-${process.pid}-${this.runs++}`;
    await this.makeNamespace(namespace);
    let cut: string | undefined;
    let recovered: Promise<void> | undefined;
    this.proxy.watch(
      namespace,
      fault && {
        at: fault.at,
        side: fault.side,
        meanwhile: async () => {
          if (fault.dies) await this.controller.kill();
          if (fault.clockMs !== undefined) await this.setClock(fault.clockMs);
        },
        over: (call) => {
          cut = call;
          if (!fault.dies) return;
          recovered = this.restart();
          // It is awaited at the end of the run.
          recovered.catch(() => undefined);
        },
      },
    );
    const { calls } = this.proxy;
    try {
      await this.scenario(namespace, fault?.clockMs !== undefined);
      // The cut is to come: what the pieces shared is taken away later.
      if (fault !== undefined && cut === undefined) await this.leftovers([{ namespace, calls, cut }]);
    } finally {
      await recovered;
    }
    return { namespace, calls, cut };
  }

  /** What earlier runs left behind, now that nothing lingers any more. */
  async leftovers(outcomes: readonly Outcome[]): Promise<void> {
    await this.settled(
      'nothing is left',
      (found) => found,
      async () => {
        for (const { namespace, cut } of outcomes) {
          const left = await this.objectsIn(namespace);
          if (left.length > 0) throw new Error(`after the cut at ${cut ?? 'no call'}: ${left.join(', ')}`);
        }
      },
    );
  }

  private async restart(): Promise<void> {
    const { cluster, ports, proxy } = this;
    // The dead leader's lease would run out in 15 s. It leads no more, that is certain.
    await this.forgive(cluster.client.delete(resources.leases, { namespace: 'podsplit-system', name: 'podsplit' }));
    const via = { server: proxy.url, ca: proxy.ca };
    this.controller = await startController({ cluster, ports, via, ...settableClock(cluster) });
    await untilLeading(this.controller, ports);
  }

  private async setClock(byMs: number): Promise<void> {
    await writeFile(clockFile(this.cluster), String(byMs));
    this.controller.signal('SIGUSR2');
  }

  /** @param whole it becomes whole before it goes: the garbage collector would take what is the controller's to take */
  private async scenario(namespace: string, whole: boolean): Promise<void> {
    const { client } = this.cluster;
    const ref = { namespace, name: 'web' };
    await client.create(resources.deployments, deployment(namespace, 2));
    const own = (found: readonly Violation[]) =>
      found.filter(({ check, object }) => !lingering.includes(check) || object.includes(`${namespace}/`));
    await this.settled('two Pods run, in three pieces each', own, () => this.expectRunning(namespace, 2));
    await client.patch(resources.deployments, ref, { type: 'merge', body: { spec: { replicas: 1 } } });
    await this.settled('one Pod is left', own, () => this.expectRunning(namespace, 1));
    if (whole) {
      const template = { metadata: { annotations: { 'podsplit.io/mode': null } } };
      await client.patch(resources.deployments, ref, { type: 'merge', body: { spec: { template } } });
      await this.settled('one whole Pod is left', own, async () => {
        const left = (await this.objectsIn(namespace)).filter((object) => !/^Pod web-\w+-\w+$/.test(object));
        if (left.length > 0) throw new Error(left.join(', '));
      });
    }
    await client.delete(resources.deployments, ref, { propagationPolicy: 'Background' });
    const young = (found: readonly Violation[]) => found.filter(({ check }) => !lingering.includes(check));
    await this.settled('all Pods are gone', young, () => this.expectRunning(namespace, 0));
  }

  /** Everything of that many Pods, and of no other. */
  private async expectRunning(namespace: string, pods: number): Promise<void> {
    const { client } = this.cluster;
    const found = (await client.list(resources.pods, { namespace })).items;
    const primaries = found.filter(({ metadata }) => metadata.labels?.['podsplit.io/role'] === 'primary');
    const ready = primaries.filter(isReady);
    const splits = (await client.list(resources.podSplits, { namespace })).items;
    const blocks = (await client.list(resources.addressBlocks)).items;
    const claims = blocks
      .filter(({ spec }) => spec.workload.namespace === namespace)
      .flatMap(({ spec }) => spec.claims);
    const seen = {
      pods: found.length,
      ready: ready.length,
      running: splits.filter(({ status }) => status?.phase === 'Running' && status.readyPieces === '3/3').length,
      splits: splits.length,
      claims: claims.length,
    };
    const wanted = { pods: 3 * pods, ready: pods, running: pods, splits: pods, claims: pods };
    if (JSON.stringify(seen) !== JSON.stringify(wanted)) {
      throw new Error(`${JSON.stringify(seen)}, not ${JSON.stringify(wanted)}`);
    }
  }

  /** Waits until it is so and the invariants hold, but for those that `relevant` takes out. Never is an address doubled. */
  private async settled(
    what: string,
    relevant: (found: readonly Violation[]) => readonly Violation[],
    expected: () => Promise<void>,
  ): Promise<void> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      const found = violations(await readSnapshot(this.cluster.client));
      const doubled = found.find(({ check }) => check === 'AddressOnce');
      if (doubled !== undefined) throw new Error(`${what}: ${doubled.object}: ${doubled.message}`);
      try {
        await expected();
        const [first] = relevant(found);
        if (first === undefined) return;
        throw new Error(`${first.check}: ${first.object}: ${first.message}`);
      } catch (error) {
        const last = error instanceof Error ? error.message : String(error);
        if (performance.now() > deadline)
          throw new Error(`${what}: not within ${patienceMs / 1000} s; last: ${last}`, { cause: error });
      }
      await pause(betweenLooksMs);
    }
  }

  private async objectsIn(namespace: string): Promise<readonly string[]> {
    const { client } = this.cluster;
    const { pods, podSplits, networkAttachmentDefinitions, networkPolicies, addressBlocks } = resources;
    const { podDisruptionBudgets } = resources;
    const lists: readonly Resource[] = [
      pods,
      podSplits,
      networkAttachmentDefinitions,
      networkPolicies,
      podDisruptionBudgets,
    ];
    const own = await Promise.all(lists.map((resource) => client.list(resource, { namespace })));
    const blocks = (await client.list(addressBlocks)).items.filter(({ spec }) => spec.workload.namespace === namespace);
    return [...own.flatMap(({ items }) => items), ...blocks].map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  }

  private async makeNamespace(name: string): Promise<void> {
    const { client } = this.cluster;
    await client.create(resources.namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    await this.cluster.kubectl(['-n', name, 'wait', '--for=create', 'serviceaccount/default', patience]);
  }

  private async forgive(deletion: Promise<void>): Promise<void> {
    try {
      await deletion;
    } catch (error) {
      if (!isApiError(error, 'NotFound')) throw error;
    }
  }
}

function clockFile({ folder }: SimulatedCluster): string {
  return join(folder, 'clock');
}

function settableClock(cluster: SimulatedCluster) {
  return {
    node: ['--import', join(import.meta.dirname, 'settable-clock.ts')],
    env: { CLOCK_FILE: clockFile(cluster) },
  };
}

function isReady({ status }: Pod): boolean {
  return status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
}

function deployment(namespace: string, replicas: number): Deployment {
  const labels = { app: 'web' };
  const container = (name: string, containerPort: number) => ({
    name,
    image: `registry.invalid/${name}:1`,
    ports: [{ containerPort }],
    resources: { limits: { cpu: '10m', memory: '16Mi' } },
  });
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { namespace, name: 'web' },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels, annotations: { 'podsplit.io/mode': 'split' } },
        spec: { containers: [container('web', 8080), container('cache', 6379), container('metrics', 9100)] },
      },
    },
  };
}
