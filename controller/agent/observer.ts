import { existsSync } from 'node:fs';
import { sameJson } from '../api/same-json.ts';
import type { Host } from '../netns/host.ts';
import { NetnsError } from '../netns/netns-error.ts';
import type { Logger } from '../observability/log.ts';
import type { Listening } from '../rules/observe.ts';
import type { Attachments } from './attachments.ts';
import { readListening, stillListening } from './listening.ts';
import { inNetns, netnsFile } from './netns.ts';
import type { Registry } from './registry.ts';
import type { Sandbox } from './sandbox.ts';

export interface ObserverOptions {
  readonly host: Host;
  readonly registry: Registry<Sandbox>;
  readonly attachments: Attachments;
  readonly log: Logger;
}

/** How soon a new listener is reached by the other pieces: programs that start try again for as long as this at least. */
export const observeMs = 1_000;

/**
 * `podsplit.io/flows=observe`: in one Pod a program reaches whoever listens, whether that was declared or not. Who listens
 * only the sockets tell, so they are looked at again and again, and the tables follow.
 */
export class Observer {
  private readonly options: ObserverOptions;

  constructor(options: ObserverOptions) {
    this.options = options;
  }

  /** One round over the Pods that are observed. The others cost nothing. */
  async look(): Promise<void> {
    const { registry, log } = this.options;
    const observed = registry.list().filter(isObserved);
    for (const split of new Set(observed.map((sandbox) => sandbox.split))) {
      await this.lookAt(split).catch((error: unknown) => {
        // Its namespaces are going, most often.
        const level = error instanceof NetnsError ? 'debug' : 'error';
        log[level]({ err: error, split }, 'the sockets of a Pod could not be read');
      });
    }
  }

  private async lookAt(split: string): Promise<void> {
    const { registry, attachments, host, log } = this.options;
    const there = registry.ofSplit(split).filter(({ netns }) => existsSync(netnsFile(netns)));
    const found = new Map<string, readonly Listening[]>();
    for (const { id, netns } of there) found.set(id, await readListening(inNetns(netns, host)));
    if (changesOf(registry.ofSplit(split), found).length === 0) return;
    await attachments.lock.run(split, async () => {
      const changes = changesOf(registry.ofSplit(split), found);
      if (changes.length === 0) return;
      for (const { sandbox, listening } of changes) {
        await registry.put({ ...sandbox, listening });
        log.info({ pod: sandbox.pod, piece: sandbox.piece, listening }, 'observed: a piece listens');
      }
      await attachments.renew(split);
    });
  }
}

/** @param found by sandbox: what it listens at now */
function changesOf(sandboxes: readonly Sandbox[], found: ReadonlyMap<string, readonly Listening[]>) {
  return sandboxes.flatMap((sandbox) => {
    const now = found.get(sandbox.id);
    if (now === undefined || !isObserved(sandbox)) return [];
    const others = [...found].filter(([id]) => id !== sandbox.id).flatMap(([, listening]) => listening);
    const listening = stillListening(sandbox.listening ?? [], now, others);
    return sameJson(listening, sandbox.listening ?? []) ? [] : [{ sandbox, listening }];
  });
}

/** By the canonical text, without reading it: this is asked of every sandbox, every second. */
export function isObserved({ wiring }: Pick<Sandbox, 'wiring'>): boolean {
  return wiring.includes('"observe":{');
}
