import { existsSync } from 'node:fs';
import type { EventRecorder } from '../kube/events.ts';
import { KeyedLock } from '../kube/keyed-lock.ts';
import type { Pod } from '../kube/resources.ts';
import type { Host } from '../netns/host.ts';
import { readLocal } from '../netns/read.ts';
import type { Logger } from '../observability/log.ts';
import { readPod, splitKey, wiringText } from '../reconcile/piece-pod.ts';
import { formatIsolateWiring, parseIsolateWiring } from '../rules/isolate-wiring.ts';
import { WiringError } from '../rules/wiring-json.ts';
import { EndedSandboxes, goneOf, identityOf, rulesErrors } from './adds.ts';
import { AgentError } from './agent-error.ts';
import type { CniRequest, PodIdentity } from './cni-request.ts';
import type { IsolateEnforcer } from './isolate-enforcer.ts';
import type { IsolatedSandbox } from './isolate-sandbox.ts';
import { inNetns, netnsFile, refuseOwnNetns } from './netns.ts';
import type { Registry } from './registry.ts';
import { identities, type VerifiedPod } from './verify-isolated.ts';
import type { VerifyInput } from './verify-piece.ts';

export interface IsolatedPodsOptions {
  readonly host: Host;
  readonly registry: Registry<IsolatedSandbox>;
  readonly enforcer: IsolateEnforcer;
  /** @throws AgentError where the Pod is not to be isolated, or not so */
  readonly verify: (input: Omit<VerifyInput, 'node'>) => Promise<VerifiedPod>;
  /** The Pod's wiring as the watch last told it, if it did. */
  readonly watchedWiring: (pod: PodIdentity) => string | undefined;
  /** This node's addresses. */
  readonly hostIPs: readonly string[];
  /** Why the agent cannot answer yet, if it cannot. */
  readonly notReady: () => string | undefined;
  readonly behind: () => void;
  readonly events: Pick<EventRecorder, 'event'>;
  readonly applied: (seconds: number) => void;
  readonly repaired: () => void;
  readonly log: Logger;
}

/**
 * The isolated Pods of this node. Their chain has only podsplit's plugin: the Pod's own interface is there, and no process
 * yet, so that one call loads all rules. All that is done for one Pod is done one after the other.
 */
export class IsolatedPods {
  private readonly lock = new KeyedLock();
  private readonly options: IsolatedPodsOptions;
  private readonly ended = new EndedSandboxes();

  constructor(options: IsolatedPodsOptions) {
    this.options = options;
  }

  async handle(request: CniRequest, signal: AbortSignal): Promise<object | undefined> {
    switch (request.command) {
      case 'ADD':
        await refuseOwnNetns(request.netns);
        return this.add(request, signal);
      case 'CHECK':
        await this.check(request);
        return undefined;
      case 'DEL':
        await this.detach(request.containerID);
        return undefined;
      case 'GC':
        await this.collect(request);
        return undefined;
      case 'STATUS':
        this.expectReady();
        return undefined;
    }
  }

  private async add(request: CniRequest, signal: AbortSignal): Promise<object> {
    this.expectReady();
    const { containerID, netns, config } = request;
    const pod = identityOf(request);
    const cancelled = (): void => {
      this.ended.expectWanted(containerID, signal);
    };
    await rulesErrors(async () => {
      const inside = inNetns(netns, this.options.host);
      const input = { pod, network: config.name };
      const [first, local] = await Promise.all([this.options.verify(input), readLocal(this.options.hostIPs, inside)]);
      cancelled();
      const split = splitKey(first.pod);
      await this.lock.run(split, async () => {
        cancelled();
        // Flows may have changed since the Pod was read, when there was no sandbox to change. From here on there is one.
        const watched = this.options.watchedWiring(pod);
        const isNews = watched !== undefined && watched !== wiringText(first.pod);
        const { wiring } = isNews ? await this.options.verify(input) : first;
        await this.settle(
          {
            version: 1,
            mode: 'isolate',
            id: containerID,
            network: config.name,
            netns,
            pod,
            split,
            isPrimary: true,
            wiring: formatIsolateWiring(wiring),
            local,
          },
          cancelled,
        );
      });
    });
    this.options.log.info({ pod: `${pod.namespace}/${pod.name}`, containerID }, 'isolated');
    // No interface and no address: Multus says nothing of such a network, and leaves the routes alone.
    return { cniVersion: config.cniVersion, dns: {} };
  }

  /** All of it, or nothing is left that anybody would keep; the table goes with its namespace. */
  private async settle(sandbox: IsolatedSandbox, cancelled: () => void): Promise<void> {
    const { registry, enforcer } = this.options;
    try {
      const others = registry
        .list()
        .filter(({ id, pod, netns }) => id !== sandbox.id && (pod.uid === sandbox.pod.uid || netns === sandbox.netns));
      for (const { id } of others) await this.forget(id);
      await registry.put(sandbox);
      const installed = await enforcer.install(sandbox);
      cancelled();
      await registry.put(installed);
      cancelled();
    } catch (error) {
      await this.forget(sandbox.id);
      cancelled();
      throw error;
    }
  }

  private async check({ containerID }: CniRequest): Promise<void> {
    const { registry, enforcer } = this.options;
    const sandbox = registry.get(containerID);
    if (sandbox === undefined) throw new AgentError('RulesDiffer', `the agent knows no sandbox ${containerID}`);
    const drift = await rulesErrors(() => this.lock.run(sandbox.split, () => enforcer.inspect(sandbox)));
    if (drift.length > 0) throw new AgentError('RulesDiffer', drift.join('; '));
  }

  /** Succeeds when everything is gone already, and for sandboxes that nobody knows. */
  async detach(id: string): Promise<void> {
    this.ended.add(id);
    await this.lock.run(this.options.registry.get(id)?.split ?? id, () => this.forget(id));
  }

  private async forget(id: string): Promise<void> {
    this.options.enforcer.forget(id);
    await this.options.registry.remove(id);
  }

  private async collect(request: CniRequest): Promise<void> {
    for (const id of goneOf(request, this.options.registry.list())) await this.detach(id);
  }

  /** Flows or policies changed on a Pod that runs. Who its containers are does not change that way. */
  async rewire(raw: Pod): Promise<void> {
    const { registry, enforcer, log, applied, behind } = this.options;
    const pod = readPod(raw);
    const text = pod === undefined ? undefined : wiringText(pod);
    if (pod?.role !== 'isolated' || text === undefined) return;
    const started = performance.now();
    await this.lock.run(splitKey(pod), async () => {
      const sandbox = registry.ofPod(pod.uid);
      if (sandbox === undefined || sandbox.wiring === text) return;
      const wanted = this.newWiring(text, sandbox);
      if (wanted === undefined || wanted === sandbox.wiring) return;
      const changed = { ...sandbox, wiring: wanted };
      await registry.put(changed);
      try {
        await registry.put(await enforcer.update(changed));
      } catch (error) {
        log.warn({ err: error, pod: sandbox.pod }, 'changed flows are not in force yet');
        enforcer.forget(sandbox.id);
        behind();
        return;
      }
      applied((performance.now() - started) / 1000);
      log.info({ pod: sandbox.pod }, 'rewired');
    });
  }

  private newWiring(text: string, { wiring: before, pod }: IsolatedSandbox): string | undefined {
    try {
      const wiring = parseIsolateWiring(text);
      if (identities(wiring) === identities(parseIsolateWiring(before))) return formatIsolateWiring(wiring);
      this.sayRefused(pod, 'it names other containers or users than those that were verified.');
    } catch (error) {
      if (!(error instanceof WiringError)) throw error;
      this.sayRefused(pod, error.message);
    }
    return undefined;
  }

  private sayRefused(pod: PodIdentity, why: string): void {
    const { events, log } = this.options;
    log.error({ pod, why }, 'a wiring is not taken');
    const message = `The annotation podsplit.io/wiring is not taken, and the rules stay as they are: ${why}`;
    events.event({ apiVersion: 'v1', kind: 'Pod', ...pod }, 'Warning', 'WiringRefused', message);
  }

  /** Whatever events were missed. Does not fail: what is wrong with one Pod must not keep the audit from the others. */
  async audit(): Promise<void> {
    const { registry, log, behind } = this.options;
    for (const sandbox of registry.list()) {
      await this.auditSandbox(sandbox).catch((error: unknown) => {
        log.error({ err: error, pod: sandbox.pod }, 'the rules of an isolated Pod could not be audited');
        behind();
      });
    }
  }

  private async auditSandbox({ id, split, netns }: IsolatedSandbox): Promise<void> {
    const { registry, enforcer } = this.options;
    const isGone = (): boolean => !existsSync(netnsFile(netns));
    if (isGone()) {
      await this.detach(id);
      return;
    }
    await this.lock.run(split, async () => {
      const sandbox = registry.get(id);
      // Its ADD is under way, or has been taken back.
      if (sandbox?.loaded === undefined) return;
      try {
        const drift = await enforcer.inspect(sandbox);
        const isCurrent = enforcer.isCurrent(sandbox);
        if (drift.length === 0 && isCurrent) return;
        await registry.put(await enforcer.install(sandbox));
        if (isCurrent) this.sayRepaired(sandbox, drift);
      } catch (error) {
        if (!isGone()) throw error;
      }
    });
  }

  private sayRepaired({ pod }: IsolatedSandbox, drift: readonly string[]): void {
    const { events, log, repaired } = this.options;
    repaired();
    const what = drift.join('; ');
    log.warn({ pod, drift: what }, 'rules had been changed and were loaded anew');
    const message = `The rules of the Pod had been changed on the node, and were loaded anew: ${what}`.slice(0, 1000);
    events.event({ apiVersion: 'v1', kind: 'Pod', ...pod }, 'Warning', 'RulesRepaired', message);
  }

  private expectReady(): void {
    const why = this.options.notReady();
    if (why !== undefined) throw new AgentError('NotReady', why);
  }
}
