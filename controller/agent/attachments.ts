import type { KubeClient } from '../kube/client.ts';
import type { Host } from '../netns/host.ts';
import { nft } from '../netns/load.ts';
import { NetnsError } from '../netns/netns-error.ts';
import { readLocal } from '../netns/read.ts';
import type { Logger } from '../observability/log.ts';
import { splitKey } from '../reconcile/piece-pod.ts';
import { closedTable } from '../rules/closed.ts';
import { hostTableName } from '../rules/host.ts';
import { printTable } from '../rules/nft.ts';
import { formatWiring } from '../rules/wiring-json.ts';
import { AgentError } from './agent-error.ts';
import { emptyResult, peerAttachment } from './cni-result.ts';
import type { CniRequest, PodIdentity } from './cni-request.ts';
import type { Enforcer } from './enforcer.ts';
import { hostEndOfEth0 } from './host-ends.ts';
import { KeyedLock } from './keyed-lock.ts';
import { inNetns, refuseOwnNetns } from './netns.ts';
import type { Registry } from './registry.ts';
import { shortId, type Sandbox } from './sandbox.ts';
import { verifyPiece } from './verify-piece.ts';

export interface AttachmentsOptions {
  readonly client: KubeClient;
  readonly host: Host;
  readonly registry: Registry;
  readonly enforcer: Enforcer;
  /** This node's name, and its addresses. */
  readonly node: string;
  readonly hostIPs: readonly string[];
  /** Why the agent cannot answer yet, if it cannot. */
  readonly notReady: () => string | undefined;
  readonly log: Logger;
}

/** What is remembered of a DEL, so that an ADD that it overtook does nothing any more. */
const maxEnded = 10_000;

/** Answers the plugin's calls. All that is done for the pieces of one split Pod is done one after the other. */
export class Attachments {
  readonly lock = new KeyedLock();
  private readonly options: AttachmentsOptions;
  /** Sandboxes that the runtime has ended, oldest first: a container id never comes back. */
  private readonly ended = new Set<string>();
  private readonly pending = new Map<string, Set<AbortController>>();

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

  /** Before net1 exists: whatever it may bring is dropped, and the sandbox' programs are not there yet. */
  private async close({ netns, config }: CniRequest, cancelled: () => void): Promise<object> {
    this.expectReady();
    await rulesErrors(() => nft(printTable(closedTable), inNetns(netns, this.options.host)));
    cancelled();
    return emptyResult(config.cniVersion);
  }

  private async wire(request: CniRequest, cancelled: () => void): Promise<object> {
    this.expectReady();
    const { client, host, node, hostIPs, registry, enforcer, log } = this.options;
    const { containerID, netns, config } = request;
    const attachment = peerAttachment(config.prevResult, netns);
    const { pod, wiring } = await verifyPiece(
      { pod: identityOf(request), network: config.name, attachment, node },
      client,
    );
    cancelled();
    await rulesErrors(async () => {
      const inside = inNetns(netns, host);
      const [local, eth0] = await Promise.all([readLocal(hostIPs, inside), hostEndOfEth0(inside)]);
      const split = splitKey(pod);
      await this.lock.run(split, async () => {
        cancelled();
        const sandbox: Sandbox = {
          version: 1,
          id: containerID,
          network: config.name,
          netns,
          pod: { namespace: pod.namespace, name: pod.name, uid: pod.uid },
          split,
          piece: pod.container,
          isPrimary: pod.role === 'primary',
          wiring: formatWiring(wiring),
          local,
          host: { net1: attachment.hostDevice, ...(eth0 === undefined ? {} : { eth0 }) },
          links: '',
        };
        await this.retireEarlier(sandbox);
        const peers = registry.ofSplit(split);
        const compiled = await enforcer.install(sandbox, peers);
        // The peers know this piece's Pod IP, and where its frames go, before its first program runs.
        await registry.put({ ...sandbox, links: compiled.linksHash });
        await this.renew(split, containerID);
        await this.undoIfCancelled(containerID, cancelled);
      });
      log.info({ pod: sandboxName(pod), piece: pod.container, containerID, local }, 'wired');
    });
    return withVersion(config.prevResult, config.cniVersion);
  }

  /** The kubelet makes a Pod's sandbox anew: the one before is gone, whether its DEL has come or not. */
  private async retireEarlier(sandbox: Sandbox): Promise<void> {
    const earlier = this.options.registry.ofPod(sandbox.pod.uid);
    if (earlier !== undefined && earlier.id !== sandbox.id) await this.forget(earlier.id);
  }

  private async undoIfCancelled(containerID: string, cancelled: () => void): Promise<void> {
    try {
      cancelled();
    } catch (error) {
      await this.forgetAndTell(containerID);
      throw error;
    }
  }

  private async check({ containerID }: CniRequest): Promise<void> {
    const { registry, enforcer } = this.options;
    const sandbox = registry.get(containerID);
    if (sandbox === undefined) throw new AgentError('RulesDiffer', `the agent knows no sandbox ${containerID}`);
    await this.lock.run(sandbox.split, async () => {
      const { drift } = await rulesErrors(() => enforcer.audit(sandbox, this.peersOf(sandbox), false));
      if (drift.length > 0) throw new AgentError('RulesDiffer', drift.join('; '));
    });
  }

  /** Succeeds when everything is gone already, and for sandboxes that nobody knows. */
  async detach(containerID: string): Promise<void> {
    this.ended.add(containerID);
    for (const [oldest] of this.ended.entries()) {
      if (this.ended.size <= maxEnded) break;
      this.ended.delete(oldest);
    }
    for (const controller of this.pending.get(containerID) ?? []) controller.abort();
    const split = this.options.registry.get(containerID)?.split;
    // An ADD of it that is at work holds the lock of its Pod: what it made is taken away after it.
    await this.lock.run(split ?? containerID, () => rulesErrors(() => this.forgetAndTell(containerID)));
  }

  private async forgetAndTell(containerID: string): Promise<void> {
    const split = this.options.registry.get(containerID)?.split;
    await this.forget(containerID);
    if (split !== undefined) await this.renew(split, containerID);
  }

  private async forget(containerID: string): Promise<void> {
    const { registry, enforcer } = this.options;
    await enforcer.remove(containerID, hostTableName(shortId(containerID)));
    await registry.remove(containerID);
  }

  /** Tells the other pieces of a Pod. To be called with its lock held. */
  async renew(split: string, except?: string): Promise<void> {
    const { registry, enforcer, log } = this.options;
    for (const sandbox of registry.ofSplit(split)) {
      if (sandbox.id === except) continue;
      try {
        const { linksHash } = await enforcer.update(sandbox, this.peersOf(sandbox));
        if (linksHash !== sandbox.links) await registry.put({ ...sandbox, links: linksHash });
      } catch (error) {
        // A peer whose namespace is going must not keep this one from starting; the audit looks at it again.
        if (!(error instanceof NetnsError)) throw error;
        log.warn({ err: error, pod: sandbox.pod, piece: sandbox.piece }, 'a peer could not be told');
        enforcer.forget(sandbox.id);
      }
    }
  }

  peersOf(sandbox: Sandbox): readonly Sandbox[] {
    return this.options.registry.ofSplit(sandbox.split).filter(({ id }) => id !== sandbox.id);
  }

  /** CNI specification 1.1, GC: of this network, what is not listed is gone. */
  private async collect({ config }: CniRequest): Promise<void> {
    const valid = new Set(config.validAttachments.map(({ containerID }) => containerID));
    for (const { id, network } of this.options.registry.list()) {
      if (network === config.name && !valid.has(id)) await this.detach(id);
    }
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
    const ended = new AbortController();
    const own = this.pending.get(containerID) ?? new Set();
    this.pending.set(containerID, own.add(ended));
    const cancelled = (): void => {
      if (ended.signal.aborted || this.ended.has(containerID)) {
        throw new AgentError('Cancelled', `the runtime has ended the sandbox ${containerID} meanwhile`);
      }
      if (gone.aborted) throw new AgentError('Cancelled', 'the plugin gave up waiting');
    };
    try {
      cancelled();
      return await work(cancelled);
    } finally {
      own.delete(ended);
      if (own.size === 0) this.pending.delete(containerID);
    }
  }
}

function identityOf({ pod, containerID }: CniRequest): PodIdentity {
  if (pod !== undefined) return pod;
  throw new AgentError('PodNotFound', `the runtime did not say of which Pod the sandbox ${containerID} is (CNI_ARGS)`);
}

function sandboxName({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `${namespace}/${name}`;
}

function withVersion(result: unknown, cniVersion: string): object {
  return { ...(typeof result === 'object' ? result : {}), cniVersion };
}

async function rulesErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof NetnsError)) throw error;
    throw new AgentError('RulesFailed', `${error.message} (${error.code})`, { cause: error });
  }
}
