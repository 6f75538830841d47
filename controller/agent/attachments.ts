import { existsSync } from 'node:fs';
import { KeyedLock } from '../kube/keyed-lock.ts';
import type { Host } from '../netns/host.ts';
import { createTable } from '../netns/load.ts';
import { readLocal } from '../netns/read.ts';
import type { Logger } from '../observability/log.ts';
import { splitKey, wiringText } from '../reconcile/piece-pod.ts';
import { closedTable } from '../rules/closed.ts';
import { hostTableName } from '../rules/host.ts';
import { formatWiring, parseWiring } from '../rules/wiring-json.ts';
import type { Endpoint, Local } from '../rules/wiring.ts';
import { dropOldest, EndedSandboxes, goneOf, identityOf, rulesErrors } from './adds.ts';
import { AgentError } from './agent-error.ts';
import { emptyResult, peerAttachment } from './cni-result.ts';
import type { CniRequest, PodIdentity } from './cni-request.ts';
import type { Compiled } from './compile-sandbox.ts';
import { allDrift, type Enforcer } from './enforcer.ts';
import { checkEgress, hostEndOfEth0 } from './host-ends.ts';
import { hasIngressFilters } from './ingress-filters.ts';
import { inNetns, netnsFile, refuseOwnNetns } from './netns.ts';
import type { Registry } from './registry.ts';
import { shortId, type Sandbox } from './sandbox.ts';
import { checkAttachment, type VerifiedPiece, type VerifyInput } from './verify-piece.ts';

export interface AttachmentsOptions {
  readonly host: Host;
  readonly registry: Registry<Sandbox>;
  readonly enforcer: Enforcer;
  /** @throws AgentError where the Pod is no piece with these addresses */
  readonly verify: (input: Omit<VerifyInput, 'node'>) => Promise<VerifiedPiece>;
  /** The Pod's wiring as the watch last told it, if it did. */
  readonly watchedWiring: (pod: PodIdentity) => string | undefined;
  /** This node's addresses. */
  readonly hostIPs: readonly string[];
  /** Why the agent cannot answer yet, if it cannot. */
  readonly notReady: () => string | undefined;
  /** A piece's rules are behind: the audit, which tries again, should not wait for its time. */
  readonly behind: () => void;
  /** Something on the node sees what comes from a new piece's eth0 before the agent's filter does. */
  readonly passedAround: (sandbox: Sandbox) => void;
  readonly log: Logger;
}

/** ADDs that a plugin between our two ended, and no DEL came: nothing is lost with what was prepared for them. */
const maxPrepared = 1000;
/** The pieces of a Pod start together, and none is to wait for what can wait. */
const confirmAfterMs = 2000;

/** Answers the plugin's calls. All that is done for the pieces of one split Pod is done one after the other. */
export class Attachments {
  readonly lock = new KeyedLock();
  private readonly options: AttachmentsOptions;
  private readonly ended = new EndedSandboxes();
  /** By sandbox, between the two calls of an ADD. */
  private readonly prepared = new Map<string, Promise<Prepared>>();
  /** How many ADDs of a sandbox are under way. */
  private readonly pending = new Map<string, number>();

  constructor(options: AttachmentsOptions) {
    this.options = options;
  }

  async handle(request: CniRequest, signal: AbortSignal): Promise<object | undefined> {
    switch (request.command) {
      case 'ADD':
        await refuseOwnNetns(request.netns);
        return this.cancellable(request.containerID, signal, (cancelled) =>
          request.config.phase === 'close' ? this.close(request, cancelled) : this.wire(request, cancelled),
        );
      case 'CHECK':
        if (request.config.phase === 'wire') await this.check(request);
        return undefined;
      case 'DEL':
        if (request.config.phase === 'wire') await this.detach(request.containerID);
        return undefined;
      case 'GC':
        await this.collect(request);
        return undefined;
      case 'STATUS':
        this.expectReady();
        return undefined;
    }
  }

  /**
   * Before net1 exists: whatever it may bring is dropped, and the sandbox' programs are not there yet. While the next plugins
   * make it, what needs no net1 is found out.
   */
  private async close(request: CniRequest, cancelled: () => void): Promise<object> {
    this.expectReady();
    const { containerID, netns, config } = request;
    await rulesErrors(() => createTable(closedTable, inNetns(netns, this.options.host)));
    cancelled();
    const preparing = this.prepare(request);
    // Whoever waits for it hears of it; if nobody does, nobody needs it.
    preparing.catch(() => undefined);
    this.prepared.set(containerID, preparing);
    dropOldest(this.prepared, maxPrepared);
    return emptyResult(config.cniVersion);
  }

  private async prepare(request: CniRequest): Promise<Prepared> {
    const { host, hostIPs, verify } = this.options;
    const inside = inNetns(request.netns, host);
    const [piece, local] = await Promise.all([
      verify({ pod: identityOf(request), network: request.config.name }),
      readLocal(hostIPs, inside),
    ]);
    return { piece: pieceOf(piece), local };
  }

  private async wire(request: CniRequest, cancelled: () => void): Promise<object> {
    this.expectReady();
    const { containerID, netns, config } = request;
    const attachment = peerAttachment(config.prevResult, netns);
    await this.retireNetns(netns, containerID);
    await rulesErrors(async () => {
      const [{ piece: first, local }, eth0] = await Promise.all([
        this.prepared.get(containerID) ?? this.prepare(request),
        // It is told from other devices by what it has in common with net1.
        hostEndOfEth0(inNetns(netns, this.options.host), this.options.host),
      ]);
      this.prepared.delete(containerID);
      cancelled();
      const { split } = first;
      await this.lock.run(split, async () => {
        cancelled();
        const piece = await this.newest(first, request);
        checkAttachment(piece, attachment);
        // To read it again is worth it only then.
        if (eth0 === undefined) checkEgress(parseWiring(piece.wiring), eth0);
        const sandbox: Sandbox = {
          version: 1,
          id: containerID,
          network: config.name,
          netns,
          pod: piece.pod,
          split,
          piece: piece.container,
          isPrimary: piece.isPrimary,
          wiring: piece.wiring,
          local,
          host: { net1: attachment.hostDevice, ...(eth0 === undefined ? {} : { eth0 }) },
          links: '',
        };
        await this.settle(sandbox, cancelled);
      });
      const { pod, container } = first;
      const fields = { pod: `${pod.namespace}/${pod.name}`, piece: container, containerID, local };
      this.options.log.info(fields, 'wired');
      if (eth0 === undefined) this.options.log.warn(fields, 'eth0 is no veth: the node filters nothing of it');
    });
    setTimeout(() => void this.confirm(containerID), confirmAfterMs).unref();
    return withVersion(config.prevResult, config.cniVersion);
  }

  /**
   * Flows may have changed since the Pod was read, and whoever heard of it (rewire.ts) found no sandbox to change. From here
   * on, with the Pod's lock held, it waits for the lock and finds one.
   */
  private async newest(first: Piece, request: CniRequest): Promise<Piece> {
    const pod = identityOf(request);
    const watched = this.options.watchedWiring(pod);
    if (watched === undefined || watched === first.annotation) return first;
    return pieceOf(await this.options.verify({ pod, network: request.config.name }));
  }

  /** All of it, or nothing is left: no table, no file, no peer that knows of it. */
  private async settle(sandbox: Sandbox, cancelled: () => void): Promise<void> {
    const { registry, enforcer } = this.options;
    const { id, split, piece } = sandbox;
    try {
      // The kubelet makes a Pod's sandbox anew: the one before is gone, whether its DEL has come or not.
      for (const earlier of registry.ofSplit(split)) {
        if (earlier.piece === piece && earlier.id !== id) await this.forget(earlier.id);
      }
      await registry.put(sandbox);
      // The peers know this piece's Pod IP, and where its frames go, before its first program runs.
      const [compiled] = await bothEnded(enforcer.install(sandbox, this.peersOf(sandbox)), this.renew(split, id));
      cancelled();
      await registry.put(loadedAs(sandbox, compiled));
      cancelled();
    } catch (error) {
      await this.abandon(sandbox);
      // A DEL that came meanwhile takes the table away under the ADD: that is why it failed.
      cancelled();
      throw error;
    }
  }

  /** The whole comparison, once nobody waits for it: what it finds the audit mends, soon. */
  private async confirm(containerID: string): Promise<void> {
    const { host, registry, enforcer, behind, log } = this.options;
    const split = registry.get(containerID)?.split;
    if (split === undefined) return;
    try {
      await this.lock.run(split, async () => {
        const sandbox = registry.get(containerID);
        if (sandbox === undefined) return;
        const { drift } = await enforcer.inspect(sandbox, this.peersOf(sandbox));
        if (allDrift(drift).length > 0) behind();
      });
      const eth0 = registry.get(containerID)?.host.eth0;
      if (eth0 !== undefined && (await hasIngressFilters(eth0.device, host))) this.sayPassedAround(containerID);
    } catch (error) {
      // Most often the sandbox has ended already.
      log.debug({ err: error, containerID }, 'a new sandbox could not be compared');
    }
  }

  private sayPassedAround(containerID: string): void {
    const { registry, passedAround, log } = this.options;
    const sandbox = registry.get(containerID);
    if (sandbox === undefined) return;
    const { pod, piece, host } = sandbox;
    log.warn({ pod, piece, device: host.eth0?.device }, 'tc filters see what comes from eth0 before the agent does');
    passedAround(sandbox);
  }

  private async abandon({ id, split, pod }: Sandbox): Promise<void> {
    try {
      await this.forget(id);
    } catch (error) {
      // The audit finds what is left: it belongs to no sandbox, or to one whose namespace is gone.
      this.options.log.warn({ err: error, pod, containerID: id }, 'what an ADD had made could not be removed');
    }
    await this.renew(split, id);
  }

  /** A namespace has one sandbox: another one that was there has ended, whether its DEL has come or not. */
  private async retireNetns(netns: string, containerID: string): Promise<void> {
    const others = this.options.registry.list().filter((other) => other.netns === netns && other.id !== containerID);
    for (const { id } of others) await this.detach(id);
  }

  private async check({ containerID }: CniRequest): Promise<void> {
    const { registry, enforcer } = this.options;
    const unknown = (): AgentError => new AgentError('RulesDiffer', `the agent knows no sandbox ${containerID}`);
    const split = registry.get(containerID)?.split;
    if (split === undefined) throw unknown();
    await this.lock.run(split, async () => {
      const sandbox = registry.get(containerID);
      if (sandbox === undefined) throw unknown();
      const { drift } = await rulesErrors(() => enforcer.inspect(sandbox, this.peersOf(sandbox)));
      const all = allDrift(drift);
      if (all.length > 0) throw new AgentError('RulesDiffer', all.join('; '));
    });
  }

  /** Succeeds when everything is gone already, and for sandboxes that nobody knows. */
  async detach(containerID: string): Promise<void> {
    this.ended.add(containerID);
    this.prepared.delete(containerID);
    const split = this.options.registry.get(containerID)?.split;
    // An ADD of it that is at work takes back itself what it makes, since it knows now that the sandbox has ended.
    await this.lock.run(split ?? containerID, async () => {
      await rulesErrors(() => this.forget(containerID));
      if (split !== undefined) await this.renew(split, containerID);
    });
  }

  private async forget(containerID: string): Promise<void> {
    const { registry, enforcer } = this.options;
    await enforcer.remove(containerID, hostTableName(shortId(containerID)));
    await registry.remove(containerID);
  }

  /**
   * Tells the other pieces of a Pod. To be called with its lock held. A piece that cannot be told must not keep the others
   * from it: the audit tries again soon.
   *
   * @returns whether all were told
   */
  async renew(split: string, except?: string): Promise<boolean> {
    const { registry, enforcer, log, behind } = this.options;
    let all = true;
    for (const sandbox of registry.ofSplit(split)) {
      // The namespace of a piece that ends goes before its sandbox does, as a rule with a DEL that is on its way.
      if (sandbox.id === except || !existsSync(netnsFile(sandbox.netns))) continue;
      try {
        const told = loadedAs(sandbox, await enforcer.update(sandbox, this.peersOf(sandbox)));
        if (told.loaded !== sandbox.loaded || told.links !== sandbox.links) await registry.put(told);
      } catch (error) {
        all = false;
        log.warn({ err: error, pod: sandbox.pod, piece: sandbox.piece }, 'a piece could not be told');
        enforcer.forget(sandbox.id);
      }
    }
    if (!all) behind();
    return all;
  }

  /** Sandboxes with an ADD under way: what is theirs on the node is nobody's stray. */
  underWay(): readonly string[] {
    return [...this.pending.keys()];
  }

  peersOf(sandbox: Sandbox): readonly Sandbox[] {
    return this.options.registry.ofSplit(sandbox.split).filter(({ id }) => id !== sandbox.id);
  }

  private async collect(request: CniRequest): Promise<void> {
    for (const id of goneOf(request, this.options.registry.list())) await this.detach(id);
  }

  private expectReady(): void {
    const why = this.options.notReady();
    if (why !== undefined) throw new AgentError('NotReady', why);
  }

  /** Hands `work` a check that throws once nobody waits for the answer, or a DEL has come. */
  private async cancellable<T>(
    containerID: string,
    gone: AbortSignal,
    work: (cancelled: () => void) => Promise<T>,
  ): Promise<T> {
    const cancelled = (): void => {
      this.ended.expectWanted(containerID, gone);
    };
    this.pending.set(containerID, (this.pending.get(containerID) ?? 0) + 1);
    try {
      cancelled();
      return await work(cancelled);
    } finally {
      const left = (this.pending.get(containerID) ?? 1) - 1;
      if (left === 0) this.pending.delete(containerID);
      else this.pending.set(containerID, left);
    }
  }
}

/** What can be found out of a sandbox before it has net1. */
interface Prepared {
  readonly piece: Piece;
  readonly local: Local;
}

/** Of a verified Pod what its sandbox needs: whole Pods have up to 1.5 MB, and a thousand ADDs may be between two calls. */
interface Piece {
  readonly pod: PodIdentity;
  readonly split: string;
  readonly container: string;
  readonly isPrimary: boolean;
  /** As the Pod has it, to compare with what the watch tells. */
  readonly annotation: string | undefined;
  /** Its canonical text. */
  readonly wiring: string;
  readonly self: Endpoint;
}

function pieceOf({ pod, wiring }: VerifiedPiece): Piece {
  const annotation = wiringText(pod);
  const canonical = formatWiring(wiring);
  return {
    pod: { namespace: pod.namespace, name: pod.name, uid: pod.uid },
    split: splitKey(pod),
    container: pod.container,
    isPrimary: pod.role === 'primary',
    annotation,
    // Equal as a rule, and then one text is kept and not two.
    wiring: annotation === canonical ? annotation : canonical,
    self: wiring.self,
  };
}

/** Fails when both have ended, and not before: neither is to go on after the Pod's lock was given away. */
async function bothEnded<A, B>(one: Promise<A>, other: Promise<B>): Promise<readonly [A, B]> {
  await Promise.allSettled([one, other]);
  return [await one, await other];
}

/** The sandbox once its tables and links are what was compiled. */
export function loadedAs(sandbox: Sandbox, { linksHash, tablesHash }: Compiled): Sandbox {
  return { ...sandbox, links: linksHash, loaded: tablesHash };
}

function withVersion(result: unknown, cniVersion: string): object {
  return { ...(typeof result === 'object' ? result : {}), cniVersion };
}
